"""Draws the data set of the demo: scenes of textured shapes with exact boxes and masks, in COCO's layout.

python scripts/make_demo_dataset.py --output demo/dataset --num_train 400 --num_val 100
"""

from __future__ import annotations

import sys
from pathlib import Path

from absl import app, flags

# A clone works without being installed, from any folder.
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

_OUTPUT = flags.DEFINE_string(
    "output", None, "New folder for images/, instances_train.json and instances_val.json.", required=True
)
_NUM_TRAIN = flags.DEFINE_integer("num_train", 400, "Pictures to train on.", lower_bound=1)
_NUM_VAL = flags.DEFINE_integer("num_val", 100, "Pictures to validate on.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "The same seed gives the same bytes.", lower_bound=0)
_HEIGHT = flags.DEFINE_integer("height", 224, "Height of every picture, pixels.", lower_bound=64)
_WIDTH = flags.DEFINE_integer("width", 288, "Width of every picture, pixels.", lower_bound=64)


def main(argv: list[str]) -> None:
    """Draws the data set that the flags describe."""
    from cascade_tf.data.synthetic import CLASS_NAMES, draw_dataset

    if len(argv) > 1:
        sys.exit(f"make_demo_dataset: got the argument {argv[1]!r}, expected flags only; --help lists them")
    try:
        draw_dataset(
            _OUTPUT.value,
            num_train=_NUM_TRAIN.value,
            num_val=_NUM_VAL.value,
            image_size=(_HEIGHT.value, _WIDTH.value),
            seed=_SEED.value,
        )
    except (ValueError, OSError) as error:
        sys.exit(f"make_demo_dataset: error: {error}")
    print(
        f"{_OUTPUT.value}: {_NUM_TRAIN.value} pictures to train on and {_NUM_VAL.value} to validate on, "
        f"classes {', '.join(CLASS_NAMES)}"
    )


if __name__ == "__main__":
    app.run(main)
