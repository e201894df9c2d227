"""The main job from end to end, on pictures that it draws itself.

Draws a data set of textured shapes, trains a small Cascade Mask R-CNN on it, measures each of its stages,
exports a SavedModel, loads that in a fresh process, detects in pictures that it has not seen, and writes a
report. It takes 3 to 15 minutes of CPU time, spread over the cores, starts anew each time, and fails if the
AP is not above --least_ap.

    python scripts/demo.py
    python scripts/demo.py --config demo/faster --workdir runs/demo_baseline
"""

from __future__ import annotations

import collections
import dataclasses
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import program
import train

if TYPE_CHECKING:
    import numpy as np
    from evaluate import Measured

    from cascade_tf.data.coco import CocoDataset
    from cascade_tf.experiment.config import Experiment

OPTIONS = program.Flags(workdir="runs/demo")
OPTIONS.string("config", "demo/cascade", "File with experiment(), or a name in configs/.", "CONFIG")
OPTIONS.integer("num_train", 400, "Pictures to train on.", lower=1)
OPTIONS.integer("num_val", 80, "Pictures to validate on.", lower=1)
OPTIONS.number(
    "least_ap", 0.5, "The AP on the validation pictures has to be above this.", lower=-1.0, upper=1.0
)

# Parts of the whole time, in percent.
SHARES = {"drawing": 2, "training": 86, "exporting": 5, "detecting": 6, "reporting": 1}
NUM_UNSEEN = 12
SEED = 7
IMAGE_SIZE = (192, 256)
MARKER = ".demo"


class Layout(NamedTuple):
    """What lies where.

    Attributes:
        workdir: folder of everything, and of the run itself.
        dataset: pictures to train on and to validate on.
        unseen: data set whose validation pictures the detector has never seen.
        export: the SavedModel's versions.
        pictures: what the exported model found in the unseen pictures.
        report: the page about it all.
    """

    workdir: Path
    dataset: Path
    unseen: Path
    export: Path
    pictures: Path
    report: Path


class Job:
    """The whole job as one bar with the time left; without a terminal, a line of the log now and then."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._bar = program.progress_bar(100, "demo", "%", leave=True)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times one of the `SHARES`."""
        self._bar.rename(f"demo {list(SHARES).index(name) + 1}/{len(SHARES)}: {name}")
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start
        self.advance(None, 0.0)

    def advance(self, name: str | None, part: float) -> None:
        """Shows that a part (0..1) of the current phase is done."""
        self._bar.reach(sum(SHARES[done] for done in self.seconds) + (part * SHARES[name] if name else 0.0))

    def counter(self, name: str, total: int) -> Callable[[int], None]:
        """Returns what counts things, ``total`` in all, that the current phase is made of."""
        counts: list[int] = []

        def progress(count: int) -> None:
            counts.append(count)
            self.advance(name, sum(counts) / total)

        return progress

    def close(self) -> None:
        """Leaves the bar as it is; after the last step it tells the time of all of them."""
        finished = len(self.seconds) == len(SHARES)
        if finished:
            self._bar.rename("demo")
        self._bar.close(finished=finished)


class Counted:
    """Batches that tell the job how far the training is."""

    def __init__(self, batches: Any, job: Job, steps: int) -> None:
        self.element_spec = batches.element_spec
        self._batches = batches
        self._job = job
        self._steps = steps

    def __iter__(self) -> Iterator[Any]:
        for step, batch in enumerate(self._batches):
            self._job.advance("training", step / self._steps)
            yield batch


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(demo, OPTIONS, __doc__, argv)


def demo(arguments: Sequence[str]) -> int:
    """Does everything; returns 1 if the AP is too low."""
    experiment = program.configured_experiment(OPTIONS)
    layout = _prepare(Path(OPTIONS.need("workdir")), experiment.data.dataset_dir)
    job = Job()
    try:
        with job.phase("drawing"):
            _draw(layout, job)
        with job.phase("training"):
            experiment, measured, val_set = _train(experiment, layout, job)
        with job.phase("exporting"):
            _export(experiment, layout)
        with job.phase("detecting"):
            _detect_in_fresh_process(layout)
        with job.phase("reporting"):
            _report(experiment, measured, val_set, layout, job)
    finally:
        job.close()
    return _conclude(measured, layout, sum(job.seconds.values()))


def _prepare(workdir: Path, dataset_dir: str | None) -> Layout:
    """Empties the folder of an earlier demo; a folder with anything else in it is left alone."""
    if workdir.is_dir() and any(workdir.iterdir()):
        if not (workdir / MARKER).is_file():
            raise ValueError(f"workdir {workdir}: got a folder with other files, expected a new or empty one")
        shutil.rmtree(workdir)
    program.writable_folder(workdir, "workdir")
    (workdir / MARKER).touch()
    dataset = Path(dataset_dir or workdir / "dataset")
    unseen = Path(dataset_dir or workdir / "unseen")
    return Layout(workdir, dataset, unseen, workdir / "export", workdir / "pictures", workdir / "report.html")


def _draw(layout: Layout, job: Job) -> None:
    from cascade_tf.data.synthetic import draw_dataset

    counts = {"num_train": OPTIONS.values.num_train, "num_val": OPTIONS.values.num_val}
    if layout.unseen != layout.dataset:
        draw_dataset(
            layout.dataset,
            **counts,
            image_size=IMAGE_SIZE,
            seed=SEED,
            progress=job.counter("drawing", sum(counts.values())),
        )
        draw_dataset(layout.unseen, num_train=1, num_val=NUM_UNSEEN, image_size=IMAGE_SIZE, seed=SEED + 1)


def _train(experiment: Experiment, layout: Layout, job: Job) -> tuple[Experiment, Measured, CocoDataset]:
    data = dataclasses.replace(experiment.data, dataset_dir=str(layout.dataset))
    experiment, train_set, val_set = program.read_data(dataclasses.replace(experiment, data=data))
    measurements: list[Measured] = []
    result = train.make_trainer(
        experiment,
        layout.workdir,
        train_set,
        val_set,
        on_measured=measurements.append,
        watch=lambda batches: Counted(batches, job, experiment.train.steps),
    ).run()
    if not result.finished:
        raise KeyboardInterrupt
    return experiment, measurements[-1], val_set


def _export(experiment: Experiment, layout: Layout) -> None:
    from cascade_tf.serving.export import export_saved_model

    detector = program.load_run(experiment, layout.workdir)
    export_saved_model(detector, layout.export, upright=experiment.data.upright)


def _detect_in_fresh_process(layout: Layout) -> None:
    """The exported model alone, without anything that this process holds."""
    places = {"--model": layout.export, "--dataset_dir": layout.unseen, "--output": layout.pictures}
    flags = [text for name, place in places.items() for text in (name, str(place))]
    command = [sys.executable, str(program.SCRIPTS / "predict.py"), *flags, "--batch_size", "4"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"detecting with the exported model failed: {done.stderr.strip()}")


def _report(
    experiment: Experiment, measured: Measured, val_set: CocoDataset, layout: Layout, job: Job
) -> None:
    from cascade_tf.experiment import config
    from cascade_tf.report import write_report
    from cascade_tf.training.run_log import read_metrics

    errors = program.find_errors(val_set, measured.records, masks=measured.result.coco.mask is not None)
    write_report(
        layout.report,
        title=f"Cascade R-CNN on drawn pictures: {experiment.name}",
        summary=f"{_summary(measured)}. What the section Pictures shows is drawn with another seed.",
        settings=config.settings(experiment),
        history=read_metrics(layout.workdir),
        results=measured.rows(),
        errors=errors,
        error_pictures=program.draw_worst(errors, val_set, upright=experiment.data.upright),
        pictures=_pictures(layout),
        timings=job.seconds,
        files={name: str(place) for name, place in layout._asdict().items()},
    )


def _pictures(layout: Layout) -> list[tuple[str, np.ndarray]]:
    import numpy as np
    from PIL import Image

    content = json.loads((layout.pictures / "detections.json").read_text(encoding="utf-8"))
    counts = collections.Counter(found["image_id"] for found in content["annotations"])
    pictures = []
    for image in content["images"][:NUM_UNSEEN]:
        name = Path(image["file_name"]).stem
        with Image.open(layout.pictures / f"{name}.jpg") as picture:
            pictures.append((f"{name}: {counts[image['id']]} found", np.asarray(picture)))
    return pictures


def _summary(measured: Measured) -> str:
    numbers, shown = measured.result.numbers(), ("AP", "AP50", "AP75", "AP90")
    names = [*shown, *(f"mask_{name}" for name in shown if measured.result.coco.mask)]
    return ", ".join(f"{name.replace('_', ' ')} {numbers[name]:.3f}" for name in names)


def _conclude(measured: Measured, layout: Layout, seconds: float) -> int:
    from cascade_tf.metrics import compare_measurements

    print(compare_measurements(measured.rows()))
    places = {
        "report": layout.report,
        "pictures of what was found": layout.pictures,
        "SavedModel for TensorFlow Serving": layout.export / "1",
        "trained detector": layout.workdir,
        "data set": layout.dataset,
    }
    print("\n" + "\n".join(f"{name:34} {place}" for name, place in places.items()))
    least = OPTIONS.values.least_ap
    passed = measured.result.coco.summary["AP"] > least
    verdict = "as expected" if passed else f"expected more than {least:.3f}"
    minutes = f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    print(f"\n{_summary(measured)} on the validation pictures after {minutes}: {verdict}.")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
