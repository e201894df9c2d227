r"""Cascade R-CNN with VGG16 on VOC.

Table 11, "Faster R-CNN, VGG, cascade", VOC 2007 test: AP 51.2, AP50 79.1, AP75 56.3.
They are COCO's numbers, which evaluate.py prints below those of VOC's own protocol of 2007.

Published settings: 2 GPUs with 4 images each, 45,000 steps, 7.5 hours. VGG16's weights of ImageNet, fc6 and
fc7 pruned to 2048 units and copied to every stage: here the strongest of the file's 4096, see
docs/weights.md. Keras Applications' are Caffe's; torchvision's expect other pixels. The row has not been
reproduced with this code yet.

    python scripts/train.py --config voc/cascade_rcnn_vgg16 --dataset_dir VOCdevkit \
        --workdir runs/cascade_rcnn_vgg16 \
        --backbone_weights vgg16_weights_tf_dim_ordering_tf_kernels.h5
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """Three stages at IoU 0.5, 0.6 and 0.7, each with fc6 and fc7 of its own."""
    parent = load_config(Path(__file__).with_name("faster_rcnn_vgg16.py"))
    model = parent.model.replace({"heads.ious": (0.5, 0.6, 0.7)})
    return dataclasses.replace(parent, name="voc/cascade_rcnn_vgg16", model=model)
