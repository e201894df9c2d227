"""Draws a data set: the demo's textured shapes, or scenes of KITTI's, CityPersons' or WIDER FACE's kind.

python scripts/make_demo_dataset.py --output demo/dataset --num_train 400 --num_val 100
python scripts/make_demo_dataset.py --kind crowd --output drawn/crowd --height 144 --width 192
python scripts/make_demo_dataset.py --kind street --output drawn/street --num_test 50

Shapes, and crowds of smaller and more hidden ones, have exact boxes and masks, in COCO's layout; the other
kinds have their benchmark's layout, with what it says of objects that are hidden, cut off or not to be found.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import program

SHAPES = ("shapes", "crowd")
KINDS = (*SHAPES, "street", "pedestrians", "faces")
SHAPES_SIZE = (224, 288)

OPTIONS = program.Flags(of_runs=False, settings=False)
OPTIONS.choice("kind", "shapes", KINDS, "What is drawn.")
OPTIONS.string("output", None, "New folder for the data set.", "DIR")
OPTIONS.integer("num_train", 400, "Pictures to train on.", lower=1)
OPTIONS.integer("num_val", 100, "Pictures to validate on.", lower=1)
OPTIONS.integer("num_test", 0, "Pictures without labels; of shapes there are none.", lower=0)
OPTIONS.integer("seed", 0, "The same seed gives the same bytes.", lower=0)
OPTIONS.integer("height", None, "Height of a picture, pixels; default: the kind's own.", lower=64)
OPTIONS.integer("width", None, "Width of a picture, pixels; default: the kind's own.", lower=64)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(draw, OPTIONS, __doc__ or "", argv)


def draw(arguments: Sequence[str]) -> None:
    """Draws the data set that the flags describe."""
    values, output = OPTIONS.values, OPTIONS.need("output")
    total = values.num_train + values.num_val + values.num_test
    with program.progress_bar(total, "drawing", "picture") as bar:
        wanted = {
            "num_train": values.num_train,
            "num_val": values.num_val,
            "seed": values.seed,
            "progress": bar.update,
        }
        if values.kind in SHAPES:
            classes = _draw_shapes(output, wanted)
        else:
            classes = _draw_scenes(output, wanted)
    unlabelled = f", {values.num_test} without labels" if values.num_test else ""
    print(
        f"{output}: {values.num_train} pictures to train on and {values.num_val} to validate on{unlabelled}, "
        f"classes {', '.join(classes)}"
    )


def _draw_shapes(output: str, wanted: dict) -> Sequence[str]:
    from cascade_tf.data.synthetic import CLASS_NAMES, draw_dataset

    if OPTIONS.values.num_test:
        raise ValueError(
            f"flag --num_test: got {OPTIONS.values.num_test}, expected 0 for shapes, which are all labelled"
        )
    draw_dataset(output, kind=OPTIONS.values.kind, image_size=_size(SHAPES_SIZE), **wanted)
    return CLASS_NAMES


def _draw_scenes(output: str, wanted: dict) -> Sequence[str]:
    from cascade_tf.data.coco import read_dataset_dir
    from cascade_tf.data.scenes.writing import KINDS, draw_scenes

    kind = OPTIONS.values.kind
    size = _size(KINDS[kind].size)
    draw_scenes(output, kind, num_test=OPTIONS.values.num_test, image_size=size, **wanted)
    return read_dataset_dir(output, "val").class_names


def _size(own: tuple[int, int]) -> tuple[int, int]:
    """(height, width) that the flags name, else the kind's own."""
    return OPTIONS.values.height or own[0], OPTIONS.values.width or own[1]


if __name__ == "__main__":
    sys.exit(main())
