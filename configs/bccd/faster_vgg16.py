r"""The baseline of `bccd/cascade_vgg16`: one stage at IoU 0.5, everything else equal.

Two runs, as there: the second starts from what the first has learnt on drawn scenes.

    python scripts/train.py --config bccd/faster_vgg16 --dataset_dir DRAWN --workdir runs/drawn_faster_vgg16
    python scripts/train.py --config bccd/faster_vgg16 --dataset_dir BCCD --workdir runs/bccd_faster_vgg16 \
        --weights runs/drawn_faster_vgg16
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The cascade cut down to its first stage."""
    cascade = load_config("bccd/cascade_vgg16")
    return dataclasses.replace(
        cascade, name="bccd/faster_vgg16", model=cascade.model.replace({"heads.ious": (0.5,)})
    )
