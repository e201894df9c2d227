r"""Cascade of MS-CNN on CityPersons.

Table 13, "MR50, cascade", CityPersons val: Reasonable 11.96, Small 38.37, Heavy 49.41, All 36.83.
Table 13, "MR75, cascade", CityPersons val: Reasonable 28.45, Small 56.24, Heavy 81.86, All 58.24.
They are miss rates, lower is better. Which pedestrians are Small the paper does not say: docs/protocols.md.

Published settings: 2 GPUs with 2 images each, 25,000 steps after 10,000 of the proposals alone; no time
is published. VGG16's weights of ImageNet. Keras Applications' are Caffe's; torchvision's expect other
pixels. The rows have not been reproduced with this code yet.

The paper's text: --set model.heads.ious=0.5,0.6,0.7 --set data.object_scales=()

    python scripts/train.py --config citypersons/cascade_mscnn --dataset_dir CityPersons \
        --workdir runs/cascade_mscnn_citypersons \
        --backbone_weights vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config
from cascade_tf.models import cascade_mscnn_citypersons


def experiment() -> Experiment:
    """Three stages at IoU 0.45, 0.65 and 0.75, as in the released net."""
    parent = load_config(Path(__file__).with_name("mscnn.py"))
    return dataclasses.replace(parent, name="citypersons/cascade_mscnn", model=cascade_mscnn_citypersons)
