r"""Cascade of MS-CNN on KITTI's cars, trained on all frames with labels, for the benchmark's server.

Table 12, "MS-CNN, cascade", KITTI test: Easy 90.68, Moderate 89.95, Hard 78.4.

Published settings: 1 GPU with 4 images each, 35,000 steps after 15,000 of the proposals alone; no time is
published. VGG16's weights of ImageNet. Keras Applications' are Caffe's; torchvision's expect other
pixels. The row has not been reproduced with this code yet: its frames are measured by the server alone,
see docs/mscnn.md. What training itself measures are frames that it learns from.

The paper's text: --set train.steps=25000 --set train.decay_steps=10000,20000 --set data.object_scales=()
--set model.heads.ensemble=last_boxes

    python scripts/train.py --config kitti/cascade_mscnn_trainval --dataset_dir KITTI \
        --workdir runs/cascade_mscnn_kitti \
        --backbone_weights vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config
from cascade_tf.models import cascade_mscnn_kitti


def experiment() -> Experiment:
    """Three stages at IoU 0.5, 0.6 and 0.7, of which the last alone says the class, as released."""
    parent = load_config(Path(__file__).with_name("mscnn_trainval.py"))
    return dataclasses.replace(parent, name="kitti/cascade_mscnn_trainval", model=cascade_mscnn_kitti)
