r"""Cascade R-CNN with VGG16 on COCO.

Table 6, "Faster R-CNN, VGG, cascade", COCO val2017 and test-dev: train seconds 0.14, test seconds 0.115, file
MiB 704, val AP 27.0, val AP50 44.2, val AP75 27.7, val APS 8.6, val APM 29.1, val APL 42.2, test dev AP 26.9,
test dev AP50 44.3, test dev AP75 27.8, test dev APS 8.3, test dev APM 28.2, test dev APL 41.1.

Published settings: 2 GPUs with 4 images each, 100,000 steps, 15.5 hours. VGG16's weights of ImageNet, fc6 and
fc7 pruned to 2048 units and copied to every stage: here the strongest of the file's 4096, see
docs/weights.md. Keras Applications' are Caffe's; torchvision's expect other pixels. The row has not been
reproduced with this code yet.

    python scripts/train.py --config coco/cascade_rcnn_vgg16 --dataset_dir COCO \
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
    return dataclasses.replace(parent, name="coco/cascade_rcnn_vgg16", model=model)
