r"""Cascade R-CNN on a narrow AlexNet, on blood cells; everything but the backbone is `bccd/cascade_vgg16`'s.

Two runs, as there: the second starts from what the first has learnt on drawn scenes.

    python scripts/train.py --config bccd/cascade_alexnet --dataset_dir DRAWN \
        --workdir runs/drawn_cascade_alexnet
    python scripts/train.py --config bccd/cascade_alexnet --dataset_dir BCCD \
        --workdir runs/bccd_cascade_alexnet --weights runs/drawn_cascade_alexnet
"""

import dataclasses

from cascade_tf.backbones import AlexNet
from cascade_tf.experiment.config import Experiment, load_config
from cascade_tf.parts import part


def experiment() -> Experiment:
    """Half of AlexNet's channels, and its pooling to 6 x 6 cells."""
    vgg16 = load_config("bccd/cascade_vgg16")
    model = vgg16.model.replace(
        {
            "backbone": part(AlexNet, channels=(48, 128, 192, 192, 128), levels=("C5",)),
            "heads.pooling.output_size": 6,
        }
    )
    return dataclasses.replace(vgg16, name="bccd/cascade_alexnet", model=model)
