r"""Faster R-CNN with FPN+ and ResNet-101 on COCO.

Table 5, "Faster R-CNN FPN+, ResNet-101", COCO test-dev: AP 38.8, AP50 61.1, AP75 41.9, APS 21.3, APM 41.8,
APL 49.8.

Table 6, "FPN+, ResNet-101", COCO val2017 and test-dev: train seconds 0.38, test seconds 0.115, file MiB 238,
val AP 38.5, val AP50 60.6, val AP75 41.7, val APS 22.1, val APM 41.9, val APL 51.1, test dev AP 38.8, test
dev AP50 61.1, test dev AP75 41.9, test dev APS 21.3, test dev APM 41.8, test dev APL 49.8.

Published settings: 8 GPUs with 1 image each, 280,000 steps, 37 hours. ImageNet weights of the MSRA ResNet
with its normalisation merged, as Detectron has them. 256 RoIs as in the ResNet-50 row. The row has not been
reproduced with this code yet.

    python scripts/train.py --config coco/faster_rcnn_r101_fpn_plus --dataset_dir COCO \
        --workdir runs/faster_rcnn_r101_fpn_plus --backbone_weights detectron/R-101
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """A deeper backbone, the weakest proposals of P5 too, and anchors that stick out are no exception."""
    parent = load_config(Path(__file__).with_name("faster_rcnn_r50_fpn_plus.py"))
    model = parent.model.replace(
        {
            "backbone.depth": 101,
            "proposals.score_threshold_train": (0.1, 0.1, 0.05, 0.0),
            "proposals.max_outside": None,
        }
    )
    return dataclasses.replace(parent, name="coco/faster_rcnn_r101_fpn_plus", model=model)
