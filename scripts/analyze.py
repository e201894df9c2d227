r"""Looks into the stages of a trained detector: the figures of the paper, drawn from one's own run.

Each figure becomes a chart on analysis.html and a CSV file beside it, in WORKDIR/analysis or --output.

    localization    IoU of the boxes that a stage makes over that of the boxes it gets; and along the stages,
                    or the iterations of one, over that of the proposals (Fig. 2 (a), 9 (a))
    classification  the classifiers' loss over the IoU of a box (Fig. 2 (b))
    precision       AP over the IoU threshold after each stage, or of each classifier of an integral loss
                    (Fig. 2 (c), 9 (b))
    samples         IoU of the boxes that each stage is trained on, and of those that it gets at test (Fig. 4)
    offsets         offsets from boxes to objects at each stage, with and without outliers (Fig. 5)
    truth           AP where the objects are among the proposals (Fig. 7 (b))
    others          AP on the boxes of another run's stages, --boxes_of (Fig. 7 (a))
    stages          AP of every stage's head on every stage's boxes (Fig. 8)
    detections      boxes with their IoU in some pictures (Fig. 1)

localization, classification, precision and detections also show the runs of --beside.

    python scripts/analyze.py --workdir runs/mine
    python scripts/analyze.py --workdir runs/mine --figures samples,offsets --images 200
    python scripts/analyze.py --workdir runs/u50 --figures classification --beside runs/u60,runs/u70
    python scripts/analyze.py --workdir runs/u50 --figures localization --beside runs/cascade \
        --set model.heads.iterations=3
    python scripts/analyze.py --workdir runs/u50 --figures detections --beside runs/cascade \
        --image_ids 17,42
    python scripts/analyze.py --workdir runs/u70 --figures others --boxes_of runs/cascade

Training samples are drawn from the images to train on, as in training; everything else is measured on
--split. --set changes the run of --workdir alone.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import program
from absl import logging
from program.look import Look

if TYPE_CHECKING:
    from cascade_tf.data.dataset import CocoDataset
    from cascade_tf.report.analysis import Figure

PICTURES = 4
# What can be drawn of any detector.
WITHOUT_STAGES = ["precision", "detections"]
# What shows several runs.
OF_SEVERAL = ["localization", "classification", "precision", "detections"]

OPTIONS = program.Flags(weights=True)
OPTIONS.string("figures", None, "Which figures, with commas. Default: all that the flags allow.", "LIST")
OPTIONS.string("split", "val", "Which split is measured: val, train, test, or all.")
OPTIONS.string("output", None, "Folder for the results. Default: analysis in --workdir.", "DIR")
OPTIONS.string("beside", None, "Other runs to show beside this one, with commas.", "WORKDIR,...")
OPTIONS.string("boxes_of", None, "Another run, for the figure others.", "WORKDIR")
OPTIONS.string(
    "image_ids", None, f"The pictures of detections, with commas. Default: the first {PICTURES}.", "LIST"
)
OPTIONS.number(
    "score_threshold",
    program.SCORE_THRESHOLD,
    "The least score of the boxes of detections.",
    lower=0.0,
    upper=1.0,
)
OPTIONS.integer("images", None, "How many images to look at, at most. Default: all.", lower=1)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(analyze, OPTIONS, __doc__, argv)


def analyze(arguments: Sequence[str]) -> None:
    """Draws the figures of the detector of ``--workdir`` or ``--weights``."""
    chosen = chosen_figures()
    folder = program.writable_folder(program.output_folder(OPTIONS, "analysis"), "output folder")
    look = open_look()
    from cascade_tf.report.analysis import write_analysis

    figures: list[Figure] = []
    for name in figures_of([look, *look.beside], chosen):
        figures += FIGURES[name](look)
    for figure in figures:
        for table in figure.tables:
            table.write_csv(folder)
    page = write_analysis(folder / "analysis.html", look.experiment.name, figures)
    count = "1 figure lies" if len(figures) == 1 else f"{len(figures)} figures lie"
    print(f"{count} in {page}, the numbers beside it.")


def open_look() -> Look:
    """The detector of the flags, with those of ``--beside``."""
    others = listed("beside")
    detector, experiment = program.open_detector(OPTIONS)
    names = program.short_names([OPTIONS.values.workdir or experiment.name, *others])
    beside = [
        Look(OPTIONS, *program.open_beside(OPTIONS, folder, experiment), name)
        for folder, name in zip(others, names[1:], strict=True)
    ]
    return Look(OPTIONS, detector, experiment, names[0], beside)


def listed(flag: str) -> list[str]:
    """What a flag lists with commas; nothing where it is not given."""
    return [name.strip() for name in (OPTIONS.values[flag].value or "").split(",") if name.strip()]


def chosen_figures() -> list[str]:
    """The names of ``--figures``.

    Raises:
        ValueError: one is unknown, or lacks the run that it takes, or none shows the runs of ``--beside``.
    """
    names = listed("figures")
    if not names:
        return [name for name in FIGURES if name != "others" or OPTIONS.values.boxes_of]
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        raise ValueError(f"figures: got {unknown[0]!r}, expected some of {', '.join(FIGURES)}")
    if "others" in names and not OPTIONS.values.boxes_of:
        raise ValueError("figures: got others without --boxes_of, expected the run whose boxes are taken")
    if OPTIONS.values.beside and not {*names} & {*OF_SEVERAL}:
        raise ValueError(
            f"beside: got runs for {', '.join(names)}, expected one of {', '.join(OF_SEVERAL)}, which show "
            "several"
        )
    return names


def figures_of(looks: Sequence[Look], chosen: list[str]) -> list[str]:
    """The chosen figures, of which detectors without stages have some where none is asked for by name."""
    if OPTIONS.values.figures or all(hasattr(look.detector.heads, "stages") for look in looks):
        return chosen
    logging.info("a detector has no stages: %s are the figures", " and ".join(WITHOUT_STAGES))
    return WITHOUT_STAGES


def localization(look: Look) -> list[Figure]:
    """Fig. 2 (a) and 9 (a)."""
    from cascade_tf.report.analysis import localization_figures

    return localization_figures(look.of_each(Look.at_test))


def classification(look: Look) -> list[Figure]:
    """Fig. 2 (b)."""
    from cascade_tf.report.analysis import classification_figure

    return [classification_figure(look.of_each(Look.at_test))]


def precision(look: Look) -> list[Figure]:
    """Fig. 2 (c) and 9 (b)."""
    from cascade_tf.report.analysis import lines_of, precision_figure

    curves = lines_of(look.of_each(Look.precisions))
    return [precision_figure("precision", "AP of each stage or classifier", curves)]


def samples(look: Look) -> list[Figure]:
    """Fig. 4, in training and at test."""
    from cascade_tf.analysis.stage_boxes import training_overlaps
    from cascade_tf.report.analysis import overlap_figures

    count, batches = look.train_batches()
    with program.image_bar(count, "sampling") as bar:
        trained = training_overlaps(look.detector, batches, bar.update)
    tested = [stage.before for stage in look.at_test().outputs[: len(look.thresholds)]]
    return [
        *overlap_figures("samples", "Training", trained, look.thresholds),
        *overlap_figures("proposals", "Test", tested, look.thresholds),
    ]


def offsets(look: Look) -> list[Figure]:
    """Fig. 5."""
    from cascade_tf.analysis.delta_statistics import stage_deltas
    from cascade_tf.report.analysis import offset_figures

    count, batches = look.train_batches()
    with program.image_bar(count, "measuring") as bar:
        found = list(stage_deltas(look.detector, batches, bar.update))
    return offset_figures(found, look.thresholds)


def truth(look: Look) -> list[Figure]:
    """Fig. 7 (b), of the last stage's head on the proposals."""
    from cascade_tf.report.analysis import precision_figure

    head = len(look.thresholds)
    curves = {
        "proposals": look.precision_on_boxes(head=head),
        "proposals and objects": look.precision_on_boxes(head=head, add_objects=True),
    }
    return [precision_figure("truth", "AP with the objects among the proposals", curves)]


def others(look: Look) -> list[Figure]:
    """Fig. 7 (a), of the last stage's head on the boxes of another run."""
    from cascade_tf.analysis.delta_statistics import stages_of
    from cascade_tf.report.analysis import precision_figure

    head = len(look.thresholds)
    (name,) = program.short_names([OPTIONS.values.boxes_of])
    source, _ = program.open_beside(OPTIONS, OPTIONS.values.boxes_of, look.experiment)
    curves = {"own proposals": look.precision_on_boxes(head=head)}
    for stage in range(1, len(stages_of(source)) + 1):
        curves[f"boxes of stage {stage}"] = look.precision_on_boxes(head=head, stage=stage, source=source)
    return [precision_figure("others", f"AP on the boxes of {name}", curves)]


def stages(look: Look) -> list[Figure]:
    """Fig. 8."""
    from cascade_tf.report.analysis import precision_figure

    numbers = range(1, len(look.thresholds) + 1)
    return [
        precision_figure(
            f"stages_{stage}",
            f"AP of the heads on the boxes of stage {stage}",
            {f"head {head}": look.precision_on_boxes(head=head, stage=stage) for head in numbers},
        )
        for stage in numbers
    ]


def detections(look: Look) -> list[Figure]:
    """Fig. 1."""
    from cascade_tf.report.analysis import detections_figure

    dataset = dataclasses.replace(look.measured, examples=chosen_pictures(look.measured))
    found = look.of_each(lambda one: look.boxes(one.detector, dataset))
    scenes = program.scenes_of(dataset, found, upright=look.experiment.data.upright)
    return [detections_figure(scenes)]


def chosen_pictures(dataset: CocoDataset) -> tuple[Any, ...]:
    """The examples of ``--image_ids``, else the first of the split.

    Raises:
        ValueError: an id that no image of the split has.
    """
    names = listed("image_ids")
    if not names:
        return dataset.examples[:PICTURES]
    known = {str(example.image_id): example for example in dataset.examples}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"image_ids: got {unknown[0]!r}, expected ids of images of {dataset.annotation_file}"
        )
    return tuple(known[name] for name in names)


FIGURES: dict[str, Callable[[Look], list[Any]]] = {
    "localization": localization,
    "classification": classification,
    "precision": precision,
    "samples": samples,
    "offsets": offsets,
    "truth": truth,
    "others": others,
    "stages": stages,
    "detections": detections,
}
"""What draws each figure, by the names of ``--figures``."""


if __name__ == "__main__":
    sys.exit(main())
