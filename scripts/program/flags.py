"""The flags of a program, and the page that ``--help`` prints."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any

from absl import flags

WEIGHTS_TEXT = (
    "a name of the catalogue such as detectron2/cascade_mask_rcnn_R_50_FPN_3x, a checkpoint of detectron2, "
    "MMDetection, Detectron, tensorpack or Caffe, the folder of a run such as runs/mine (its best weights, "
    "else its last), a .weights.h5 of a run or of convert_weights.py, or a .keras file."
)
PRECISIONS = ("float32", "bfloat16")
# Of choices, characters; more are listed in the text.
_LONGEST_HEAD = 80
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
                "Data set: a folder or file in any of the layouts of docs/own_data.md: COCO, VOC, KITTI, "
                "CityPersons, WIDER FACE, or of a labelling tool.",
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

    def choice(self, name: str, default: str | None, choices: Sequence[str], text: str) -> None:
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
        choices = "|".join(_choices(flag))
        if len(choices) > _LONGEST_HEAD:
            choices = "NAME"
        return f"--{flag.name}={choices or self._shown.get(flag.name, 'NUMBER')}"


def _choices(flag: flags.Flag) -> tuple[str, ...]:
    return tuple(getattr(flag.parser, "enum_values", ()))


def _text(flag: flags.Flag) -> str:
    # absl adds the choices before the help, and a sentence behind it where a flag may be repeated.
    text = re.sub(r"^<[^>]*>: |;\s+repeat this option.*$", "", flag.help, flags=re.DOTALL)
    if len("|".join(_choices(flag))) > _LONGEST_HEAD:
        text += f" One of {', '.join(_choices(flag))}."
    return text if flag.boolean or flag.default in (None, []) else f"{text} Default: {flag.default}."
