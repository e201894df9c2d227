r"""Measures the deltas that each stage of a trained cascade regresses on a data set.

The table that goes to the standard output has the means and standard deviations of (dx, dy, dw, dh) before
they are normalised, with and without outliers: boxes whose IoU with their object is below their stage's
threshold, and their share. Behind it stand the settings that normalise by the figures without outliers, in
place of those of the paper. Images and boxes are drawn as in training.

    python scripts/measure_deltas.py --workdir runs/mine
    python scripts/measure_deltas.py --workdir runs/mine --images 500
    python scripts/measure_deltas.py --weights detectron2/cascade_mask_rcnn_R_50_FPN_3x --dataset_dir COCO
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import program
import train

OPTIONS = program.Flags(weights=True)
OPTIONS.string("split", None, "Which split, val say. Default: the one that the run is trained on.")
OPTIONS.integer("images", None, "How many images to look at, rounded up to batches. Default: the split's.", 1)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(measure, OPTIONS, __doc__, argv)


def measure(arguments: Sequence[str]) -> None:
    """Measures the deltas of the detector of ``--workdir`` or ``--weights``."""
    from cascade_tf.analysis.delta_statistics import as_settings, deltas_table, measure_deltas

    detector, experiment = program.open_detector(OPTIONS)
    dataset = program.read_split(experiment, OPTIONS.values.split or experiment.data.train_split)
    steps = -(-(OPTIONS.values.images or len(dataset.examples)) // experiment.train.batch_size)
    batches = train.training_batches(experiment, dataset, num_steps=steps, masks=False)
    images = steps * experiment.train.batch_size
    with program.progress_bar(images, "measuring", "image", first="tracing the network") as bar:
        stages = measure_deltas(detector, batches, bar.update)
    print(deltas_table(stages))
    means, stds = as_settings(stages)
    print(f"\n--set 'model.heads.{means}' \\\n--set 'model.heads.{stds}'")


if __name__ == "__main__":
    sys.exit(main())
