r"""Cascade of MS-CNN on WIDER FACE.

Table 14, "AP50, cascade", WiderFace val: Easy 91.3, Medium 90.3, Hard 81.1.
Table 14, "AP75, cascade", WiderFace val: Easy 68.7, Medium 66.3, Hard 42.8.

Published settings: 1 GPU with 8 images each, 25,000 steps after 10,000 of the proposals alone; no time is
published. The authors' solver adds the gradients of two batches of 4 images for an update, which is one
batch of 8 here. VGG16's weights of ImageNet. Keras Applications' are Caffe's; torchvision's expect other
pixels. The rows have not been reproduced with this code yet.

The paper's text: --set train.batch_size=4 --set model.heads.ious=0.5,0.6,0.7

The rate goes with the batch: 4 images learn at the 0.0005 of the text.

    python scripts/train.py --config widerface/cascade_mscnn --dataset_dir WIDER \
        --workdir runs/cascade_mscnn_widerface \
        --backbone_weights vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config
from cascade_tf.models import cascade_mscnn_widerface


def experiment() -> Experiment:
    """Three stages at IoU 0.45, 0.65 and 0.75, whose heads read conv4_3 as it is, as in the released net."""
    parent = load_config(Path(__file__).with_name("mscnn.py"))
    return dataclasses.replace(parent, name="widerface/cascade_mscnn", model=cascade_mscnn_widerface)
