r"""Cascade of MS-CNN on KITTI's cars, trained on the list train, for numbers of one's own on the list val.

The lists are not KITTI's: those of 3DOP and MS-CNN have 3,712 and 3,769 frames, see docs/own_data.md; without
lists, --set data.val_fraction=0.5 halves the frames with labels. The row of the paper's table, which is of
the frames that only the server has labels for, is cascade_mscnn_trainval.py.

Published settings: 1 GPU with 4 images each, 25,000 steps after 10,000 of the proposals alone; no time is
published. VGG16's weights of ImageNet. Keras Applications' are Caffe's; torchvision's expect other
pixels. There is no row of it to be reproduced.

The paper's text: --set data.object_scales=() --set model.heads.ensemble=last_boxes

    python scripts/train.py --config kitti/cascade_mscnn --dataset_dir KITTI \
        --workdir runs/cascade_mscnn_kitti \
        --backbone_weights vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config
from cascade_tf.models import cascade_mscnn_kitti


def experiment() -> Experiment:
    """Three stages at IoU 0.5, 0.6 and 0.7, of which the last alone says the class, as released."""
    parent = load_config(Path(__file__).with_name("mscnn.py"))
    return dataclasses.replace(parent, name="kitti/cascade_mscnn", model=cascade_mscnn_kitti)
