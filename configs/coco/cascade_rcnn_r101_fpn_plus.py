r"""Cascade R-CNN with FPN+ and ResNet-101 on COCO.

Table 5, "Cascade R-CNN, ResNet-101", COCO test-dev: AP 42.8, AP50 62.1, AP75 46.3, APS 23.7, APM 45.5, APL
55.2.

Table 6, "FPN+, ResNet-101, cascade", COCO val2017 and test-dev: train seconds 0.41, test seconds 0.14, file
MiB 345, val AP 42.7, val AP50 61.6, val AP75 46.6, val APS 23.8, val APM 46.2, val APL 57.4, test dev AP
42.8, test dev AP50 62.1, test dev AP75 46.3, test dev APS 23.7, test dev APM 45.5, test dev APL 55.2.

Published settings: 8 GPUs with 1 image each, 280,000 steps, 46 hours. ImageNet weights of the MSRA ResNet
with its normalisation merged, as Detectron has them. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_rcnn_r101_fpn_plus --dataset_dir COCO \
        --workdir runs/cascade_rcnn_r101_fpn_plus --backbone_weights detectron/R-101
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """A deeper backbone, and anchors that stick out are no exception."""
    parent = load_config(Path(__file__).with_name("cascade_rcnn_r50_fpn_plus.py"))
    model = parent.model.replace(
        {
            "backbone.depth": 101,
            "proposals.max_outside": None,
        }
    )
    return dataclasses.replace(parent, name="coco/cascade_rcnn_r101_fpn_plus", model=model)
