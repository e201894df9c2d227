"""Draws the data set of the demo: scenes of textured shapes with exact boxes and masks, in COCO's layout.

python scripts/make_demo_dataset.py --output demo/dataset --num_train 400 --num_val 100
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import program

OPTIONS = program.Flags(of_runs=False, settings=False)
OPTIONS.string("output", None, "New folder for images/, instances_train.json and instances_val.json.", "DIR")
OPTIONS.integer("num_train", 400, "Pictures to train on.", lower=1)
OPTIONS.integer("num_val", 100, "Pictures to validate on.", lower=1)
OPTIONS.integer("seed", 0, "The same seed gives the same bytes.", lower=0)
OPTIONS.integer("height", 224, "Height of every picture, pixels.", lower=64)
OPTIONS.integer("width", 288, "Width of every picture, pixels.", lower=64)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(draw, OPTIONS, __doc__ or "", argv)


def draw(arguments: Sequence[str]) -> None:
    """Draws the data set that the flags describe."""
    values, output = OPTIONS.values, OPTIONS.need("output")
    from cascade_tf.data.synthetic import CLASS_NAMES, draw_dataset

    with program.progress_bar(values.num_train + values.num_val, "drawing", "picture") as bar:
        draw_dataset(
            output,
            num_train=values.num_train,
            num_val=values.num_val,
            image_size=(values.height, values.width),
            seed=values.seed,
            progress=bar.update,
        )
    print(
        f"{output}: {values.num_train} pictures to train on and {values.num_val} to validate on, "
        f"classes {', '.join(CLASS_NAMES)}"
    )


if __name__ == "__main__":
    sys.exit(main())
