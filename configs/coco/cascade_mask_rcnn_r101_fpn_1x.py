r"""Cascade Mask R-CNN with FPN and ResNet-101 on COCO, 1x schedule.

Table 10, "ResNet-101, cascade", COCO val2017: box AP 43.3, box AP50 61.7, box AP75 47.2, box APS 24.2, box
APM 46.3, box APL 58.2, mask AP 37.1, mask AP50 58.6, mask AP75 39.8, mask APS 16.7, mask APM 39.7, mask APL
55.7.

Published settings: 8 GPUs with 2 images each, 90,000 steps. The authors' list of models names no time. The
row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_mask_rcnn_r101_fpn_1x --dataset_dir COCO \
        --workdir runs/cascade_mask_rcnn_r101_fpn_1x --backbone_weights detectron/R-101
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The ResNet-50 row with a deeper backbone."""
    parent = load_config(Path(__file__).with_name("cascade_mask_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace({"backbone.depth": 101})
    return dataclasses.replace(parent, name="coco/cascade_mask_rcnn_r101_fpn_1x", model=model)
