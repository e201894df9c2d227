"""What every program shares: its flags, the settings of a run, and errors that a user can act on.

Nothing here imports TensorFlow, so that ``--help`` and wrong flags answer at once.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import re
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Callable, Sequence
from logging import INFO, Formatter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags, logging
from tqdm import tqdm

if TYPE_CHECKING:
    from cascade_tf.config import Experiment
    from cascade_tf.data.coco import CocoDataset

# TensorFlow's own start-up lines say nothing to a user; it reads this once, when it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

ROOT = Path(__file__).resolve().parents[1]
# A clone works without being installed, from any folder.
if str(ROOT) not in sys.path:
    sys.path.insert(1, str(ROOT))


WEIGHTS_TEXT = (
    "a name of the catalogue such as detectron2/cascade_mask_rcnn_R_50_FPN_3x, a checkpoint of detectron2, "
    "MMDetection, Detectron or tensorpack, or a .weights.h5 of convert_weights.py."
)
PRECISIONS = ("float32", "bfloat16")
_SHOWN_LINES = 10
_INDENT: dict[str, Any] = {"initial_indent": " " * 6, "subsequent_indent": " " * 6}


class Flags:
    """The flags of one program, kept apart from absl's process-wide ones.

    Attributes:
        values: the parsed flags as attributes, for example ``flags.values.workdir``.
        positional: the meaning of the arguments without a flag; empty: there are none.

    Args:
        positional: see above.
        workdir: default of ``--workdir``.
        of_runs: whether there are the flags of a run, ``--workdir`` and ``--dataset_dir``.
        settings: whether there is ``--set``.
        weights: whether ``--weights`` may stand in for ``--workdir``; such programs have ``--precision`` too.
    """

    def __init__(
        self,
        *,
        positional: str = "",
        workdir: str | None = None,
        of_runs: bool = True,
        settings: bool = True,
        weights: bool = False,
    ) -> None:
        self.values = flags.FlagValues()
        self.positional = positional
        self._shown = {"set": "NAME=VALUE"}
        if of_runs:
            self.string("workdir", workdir, "Folder of the run.", "DIR")
            self.string(
                "dataset_dir",
                None,
                "Data set: folder with images/, instances_train.json, instances_val.json.",
                "DIR",
            )
        if weights:
            self.string("weights", None, f"Instead of --workdir: {WEIGHTS_TEXT}", "NAME")
            self.choice(
                "precision",
                "float32",
                PRECISIONS,
                "What convolutions and heads compute in; boxes and scores are float32 either way.",
            )
        if settings:
            flags.DEFINE_multi_string(
                "set", [], "Changes one setting, as a.b=value; may be repeated.", flag_values=self.values
            )
        self.boolean("debug", False, "Shows where in the code an error came from.")

    def string(self, name: str, default: str | None, text: str, value: str = "TEXT") -> None:
        """Declares a flag that takes a text, which ``--help`` shows as ``value``."""
        flags.DEFINE_string(name, default, text, flag_values=self.values)
        self._shown[name] = value

    def boolean(self, name: str, default: bool | None, text: str) -> None:
        """Declares a flag that is ``--name`` or ``--noname``."""
        flags.DEFINE_boolean(name, default, text, flag_values=self.values)

    def integer(self, name: str, default: int | None, text: str, lower: int) -> None:
        """Declares a flag that takes a whole number of at least ``lower``."""
        flags.DEFINE_integer(name, default, text, lower_bound=lower, flag_values=self.values)

    def number(self, name: str, default: float | None, text: str, lower: float, upper: float) -> None:
        """Declares a flag that takes a number in ``[lower, upper]``."""
        flags.DEFINE_float(name, default, text, lower_bound=lower, upper_bound=upper, flag_values=self.values)

    def choice(self, name: str, default: str, choices: Sequence[str], text: str) -> None:
        """Declares a flag that takes one of a few words."""
        flags.DEFINE_enum(name, default, list(choices), text, flag_values=self.values)

    @property
    def overrides(self) -> list[str]:
        """The texts of ``--set``, in order."""
        return list(self.values["set"].value or ())

    def need(self, name: str) -> str:
        """Returns the value of a flag that must be given.

        Raises:
            ValueError: it is missing.
        """
        value = self.values[name].value
        if value in (None, ""):
            raise ValueError(f"flag --{name} is missing, expected: {self.values[name].help}")
        return value

    def help(self, document: str, name: str) -> str:
        """Returns the page that ``--help`` prints."""
        usage = f"usage: python scripts/{name} [flags] {self.positional}".rstrip()
        lines = [document.strip(), "", usage, "", "flags:"]
        for flag in (self.values[n] for n in self.values):
            lines += [f"  {self._head(flag)}", *textwrap.wrap(_text(flag), 96, **_INDENT)]
        return "\n".join(lines)

    def _head(self, flag: flags.Flag) -> str:
        if flag.boolean:
            return f"--[no]{flag.name}"
        choices = "|".join(getattr(flag.parser, "enum_values", ()))
        return f"--{flag.name}={choices or self._shown.get(flag.name, 'NUMBER')}"


def _text(flag: flags.Flag) -> str:
    # absl adds the choices before the help, and a sentence behind it where a flag may be repeated.
    text = re.sub(r"^<[^>]*>: |;\s+repeat this option.*$", "", flag.help, flags=re.DOTALL)
    return text if flag.boolean or flag.default in (None, []) else f"{text} Default: {flag.default}."


def run(
    work: Callable[[list[str]], int | None], options: Flags, document: str, argv: Sequence[str] | None
) -> int:
    """Parses the command line, runs a program and returns its exit status.

    What the user can mend (a wrong flag, setting, file or data set) becomes one line on the standard error.
    An error from the inside of a library keeps its traceback, since that is a defect and not the user's.

    Args:
        work: the program; takes the arguments without a flag and returns the exit status, None for 0.
        options: its flags.
        document: what ``--help`` says first.
        argv: the command line with the program's name; None: the process's own.
    """
    argv = list(sys.argv if argv is None else argv)
    name = Path(argv[0]).name
    if any(argument in ("--help", "-h", "-help") for argument in argv[1:]):
        print(options.help(document, _shown_path(argv[0])))
        return 0
    for flag in options.values:
        # A program may be called more than once in a process.
        options.values[flag].unparse()
    try:
        rest = options.values(argv)[1:]
    except flags.Error as error:
        return _fail(name, f"{error}; --help lists the flags")
    if rest and not options.positional:
        return _fail(name, f"got the argument {rest[0]!r}, expected flags only; --help lists them")
    return _guarded(work, rest, name, debug=options.values.debug)


def _shown_path(path: str) -> str:
    """The program's path below this folder, as a command line names it."""
    here = Path(__file__).resolve().parent
    program = Path(path).resolve()
    return program.relative_to(here).as_posix() if program.is_relative_to(here) else program.name


def _guarded(work: Callable[[list[str]], int | None], rest: list[str], name: str, *, debug: bool) -> int:
    _start_log()
    _keep_freed_memory()
    try:
        return work(rest) or 0
    except KeyboardInterrupt:
        return _fail(name, "interrupted", status=130)
    except Exception as error:
        line = _broken_image(error)
        if debug or not (line or _is_users(error)):
            traceback.print_exception(error)
        return _fail(name, line or _one_line(error))


def _keep_freed_memory() -> None:
    """Makes glibc reuse large blocks, which it would otherwise map afresh for every tensor.

    Activations of tens of megabytes come and go with every op; faulting in their pages took a quarter of the
    CPU time of a training step. Elsewhere than with glibc this does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def _start_log() -> None:
    # The flags live apart from absl's own, which logging would otherwise wait for.
    flags.FLAGS.mark_as_parsed()
    logging.use_absl_handler()
    handler = logging.get_absl_handler()
    handler.setFormatter(Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    # TensorFlow says how long it took to arrange each checkpoint.
    handler.addFilter(lambda record: record.levelno > INFO or "/tensorflow/" not in record.pathname)
    logging.set_verbosity(logging.INFO)


def _is_users(error: Exception) -> bool:
    """Whether the error was raised on purpose: by the operating system, or by a check of this project."""
    if isinstance(error, OSError):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    ours = bool(frames) and Path(frames[-1].filename).resolve().is_relative_to(ROOT / "cascade_tf")
    ours = ours or (bool(frames) and Path(frames[-1].filename).resolve().is_relative_to(ROOT / "scripts"))
    return ours and isinstance(error, (ValueError, TypeError, ArithmeticError, RuntimeError))


def _broken_image(error: Exception) -> str | None:
    """The line about an image that a tf.data graph could not read; None where the error is another."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not isinstance(error, tensorflow.errors.OpError):
        return None
    from cascade_tf.data.images import broken_image_line

    return broken_image_line(error)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _fail(name: str, message: str, status: int = 1) -> int:
    print(f"{name}: error: {message}", file=sys.stderr)
    return status


def configured_experiment(options: Flags) -> Experiment:
    """Returns the experiment of ``--config`` with ``--set`` and ``--dataset_dir`` applied."""
    from cascade_tf.config import load_config

    return _adjusted(load_config(options.need("config")), options)


def open_detector(options: Flags, precision: str | None = None) -> tuple[Any, Experiment]:
    """Returns the detector of ``--workdir`` or ``--weights``, and its experiment with ``--set`` applied.

    It computes in ``--precision``, whatever it was trained in.

    Args:
        options: the program's flags.
        precision: in place of the flag, for a program that has none.

    Raises:
        ValueError: both flags or none are given, or the detector cannot be loaded.
        FileNotFoundError: there is nothing to load.
    """
    from cascade_tf.training.precision import dtype_policy

    wanted = precision or options.values.precision
    policy = "float32" if wanted == "float32" else "mixed_bfloat16"
    if not options.values.weights:
        experiment = trained_experiment(options)
        with dtype_policy(policy):
            return load_run(experiment, options.values.workdir), experiment
    from cascade_tf.weights_source import find_weights, load_weights

    _refuse_both(options)
    changes, blank = model_changes(options)
    with dtype_policy(policy):
        detector, experiment = load_weights(find_weights(options.values.weights), changes)
    return detector, dataclasses.replace(experiment, data=blank.data, evaluation=blank.evaluation)


def _refuse_both(options: Flags) -> None:
    if options.values.workdir:
        raise ValueError("got both --weights and --workdir, expected one of them")


def model_changes(options: Flags) -> tuple[dict[str, Any], Experiment]:
    """Returns the settings of the model in ``--set``, and a blank experiment with the other settings."""
    from functools import partial

    from cascade_tf.config import Experiment
    from cascade_tf.models import cascade_rcnn_fpn

    blank = _adjusted(Experiment(name="", model=partial(cascade_rcnn_fpn)), options)
    return dict(blank.model.keywords), blank


def output_folder(options: Flags, inside: str) -> Path:
    """Returns ``--output``, or a folder of that name in ``--workdir``.

    Raises:
        ValueError: there is neither.
    """
    if options.values.output:
        return Path(options.values.output)
    if not options.values.workdir:
        raise ValueError(
            "flag --output is missing, expected a folder: there is no run to put the results into"
        )
    return Path(options.values.workdir) / inside


def trained_experiment(options: Flags) -> Experiment:
    """Returns the experiment that trained ``--workdir``, with ``--set`` and ``--dataset_dir`` applied."""
    from cascade_tf.config import read_experiment

    return _adjusted(read_experiment(options.need("workdir")), options)


def _adjusted(experiment: Experiment, options: Flags) -> Experiment:
    from cascade_tf.overrides import apply_overrides

    folder = options.values["dataset_dir"].value if "dataset_dir" in options.values else None
    extra = [f"data.dataset_dir={folder}"] if folder else []
    return apply_overrides(experiment, [*options.overrides, *extra])


def warn(line: str) -> None:
    """Writes a line on the standard error, above a progress bar if there is one."""
    tqdm.write(line, file=sys.stderr)


def read_split(experiment: Experiment, split: str, *, segmentations: bool = False) -> CocoDataset:
    """Returns one split of the experiment's data set; what was dropped from it is logged.

    Args:
        experiment: names the folder.
        split: "train" or "val".
        segmentations: read the objects' masks too, each of which must be usable.

    Raises:
        ValueError: there is no data set, it is broken, or has other classes than the experiment.
    """
    from cascade_tf.config import with_classes
    from cascade_tf.data.coco import read_dataset_dir

    folder = experiment.data.dataset_dir
    if not folder:
        raise ValueError("flag --dataset_dir is missing, expected a folder with images/ and instances_*.json")
    skip_broken = experiment.data.skip_broken
    dataset = read_dataset_dir(folder, split, skip_broken=skip_broken, segmentations=segmentations)
    for line in dataset.dropped[:_SHOWN_LINES]:
        logging.warning("%s", line)
    if len(dataset.dropped) > _SHOWN_LINES:
        logging.warning("... and %d more records dropped", len(dataset.dropped) - _SHOWN_LINES)
    logging.info("%s: %s", split, dataset.summary())
    try:
        with_classes(experiment, dataset.class_names, dataset.category_ids)
    except ValueError as error:
        raise ValueError(f"{dataset.annotation_file}: {error}") from None
    return dataset


def has_masks(experiment: Experiment) -> bool:
    """Whether the experiment's detector has mask heads, which no other setting can give it."""
    from cascade_tf.config import settings

    return bool(settings(experiment).get("model.mask_stages"))


def read_split_to_measure(experiment: Experiment, split: str) -> CocoDataset:
    """Returns a split to evaluate on, with its masks where the detector has mask heads and they are usable.

    Without usable masks boxes can be measured all the same; what is wrong with the masks is logged.

    Raises:
        ValueError: as in ``read_split``, for all but masks.
    """
    if not has_masks(experiment):
        return read_split(experiment, split)
    try:
        return read_split(experiment, split, segmentations=True)
    except ValueError as error:
        if "segmentation" not in str(error):
            raise
        logging.warning("masks will not be measured: %s", error)
    return read_split(experiment, split)


def load_run(experiment: Experiment, workdir: str | os.PathLike) -> Any:
    """Returns the detector that a run has trained, built from its experiment as it was adjusted here.

    Raises:
        FileNotFoundError: the run has no weights.
        ValueError: the weights do not fit.
    """
    from cascade_tf import config, loading

    trained = config.read_experiment(workdir)
    changed = [line for line in config.differences(trained, experiment) if line.startswith("model.")]
    # Keras would load a smaller network's weights from a larger one's file without a word.
    if changed and _shapes(experiment) != _shapes(trained):
        raise ValueError(f"workdir {workdir} has trained another network: {'; '.join(changed)}")
    return loading.load_run(workdir, experiment)


def _shapes(experiment: Experiment) -> list[tuple[int, ...]]:
    from cascade_tf.config import build_detector

    return [tuple(variable.shape) for variable in build_detector(experiment).weights]


def progress_bar(total: int, text: str, unit: str) -> tqdm:
    """Returns a bar that counts to ``total`` and shows the time left; there is none without a terminal."""
    return tqdm(total=total, desc=text, unit=unit, dynamic_ncols=True, leave=False, disable=None)


def writable_folder(path: str | os.PathLike, name: str) -> Path:
    """Makes a folder if need be and returns it.

    Args:
        path: the folder.
        name: what the user calls it, for the error.

    Raises:
        ValueError: it cannot be made or written.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(
            f"{name} {str(path)!r}: got {error.strerror}, expected a folder that can be written"
        ) from None
    return folder
