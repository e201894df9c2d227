r"""Mask R-CNN with FPN and ResNet-101 on COCO, 1x schedule.

Table 10, "ResNet-101", COCO val2017: box AP 40.0, box AP50 61.8, box AP75 43.7, box APS 22.5, box APM 43.4,
box APL 52.7, mask AP 35.9, mask AP50 58.3, mask AP75 38.0, mask APS 15.9, mask APM 38.9, mask APL 53.2.

Published settings: 8 GPUs with 2 images each, 90,000 steps. The authors' list of models names no time.
detectron2 reports 0.340 s a step on 8 V100, which makes 8.5 hours. The row has not been reproduced with this
code yet.

    python scripts/train.py --config coco/mask_rcnn_r101_fpn_1x --dataset_dir COCO \
        --workdir runs/mask_rcnn_r101_fpn_1x --backbone_weights detectron/R-101
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The ResNet-50 row with a deeper backbone."""
    parent = load_config(Path(__file__).with_name("mask_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace({"backbone.depth": 101})
    return dataclasses.replace(parent, name="coco/mask_rcnn_r101_fpn_1x", model=model)
