r"""Cascade R-CNN with VGG16 on COCO, with all units of fc6 and fc7.

The paper says without a number that pruning them to 2048 units, and taking out dropout, has a negligible
effect (Sec. 6.1.3): what is to be compared is Table 6, "Faster R-CNN, VGG, cascade", COCO val2017, AP 27.0.
Dropout is not put back.

Published settings: 2 GPUs with 4 images each, 100,000 steps, 15.5 hours with 2048 units. VGG16's weights of
ImageNet, fc6 and fc7 copied to every stage. Keras Applications' are Caffe's; torchvision's expect other
pixels. It has not been reproduced with this code yet.

    python scripts/train.py --config ablations/cascade_rcnn_vgg16_4096_units --dataset_dir COCO \
        --workdir runs/cascade_rcnn_vgg16_4096_units \
        --backbone_weights vgg16_weights_tf_dim_ordering_tf_kernels.h5
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """4096 units in both layers of each stage."""
    parent = load_config("coco/cascade_rcnn_vgg16")
    model = parent.model.replace({"heads.head.units": 4096})
    return dataclasses.replace(parent, name="ablations/cascade_rcnn_vgg16_4096_units", model=model)
