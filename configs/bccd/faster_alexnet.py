r"""The baseline of `bccd/cascade_alexnet`: one stage at IoU 0.5, everything else equal.

Two runs, as there: the second starts from what the first has learnt on drawn scenes.

    python scripts/train.py --config bccd/faster_alexnet --dataset_dir DRAWN \
        --workdir runs/drawn_faster_alexnet
    python scripts/train.py --config bccd/faster_alexnet --dataset_dir BCCD \
        --workdir runs/bccd_faster_alexnet --weights runs/drawn_faster_alexnet
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The cascade cut down to its first stage."""
    cascade = load_config("bccd/cascade_alexnet")
    return dataclasses.replace(
        cascade, name="bccd/faster_alexnet", model=cascade.model.replace({"heads.ious": (0.5,)})
    )
