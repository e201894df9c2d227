r"""Cascade R-CNN with AlexNet on VOC.

Table 11, "Faster R-CNN, AlexNet, cascade", VOC 2007 test: AP 38.9, AP50 66.5, AP75 40.5.
They are COCO's numbers, which evaluate.py prints below those of VOC's own protocol of 2007.

Published settings: 2 GPUs with 4 images each, 45,000 steps, 3 hours. AlexNet's weights of ImageNet, fc6 and
fc7 pruned to 2048 units and copied to every stage: here the strongest of the 4096 of Caffe's file, see
docs/weights.md. The row has not been reproduced with this code yet.

    python scripts/train.py --config voc/cascade_rcnn_alexnet --dataset_dir VOCdevkit \
        --workdir runs/cascade_rcnn_alexnet --backbone_weights bvlc_alexnet.caffemodel
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """Three stages at IoU 0.5, 0.6 and 0.7, each with fc6 and fc7 of its own."""
    parent = load_config(Path(__file__).with_name("faster_rcnn_alexnet.py"))
    model = parent.model.replace({"heads.ious": (0.5, 0.6, 0.7)})
    return dataclasses.replace(parent, name="voc/cascade_rcnn_alexnet", model=model)
