r"""Cascade Mask R-CNN, FPN, ResNet-101: Table 10, row "ResNet-101" with cascade.

Published numbers (val2017): box AP 43.3, AP50 61.7, AP75 47.2; mask AP 37.1, AP50 58.6, AP75 39.8; beside
it `mask_rcnn_r101_fpn_1x.py`. Published settings: 8 GPUs with 2 images each, 90,000 steps. The row has not
been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_mask_rcnn_r101_fpn_1x --dataset_dir COCO \
        --workdir runs/cascade_mask_r101 --backbone_weights detectron/R-101
"""

import dataclasses
from pathlib import Path

from cascade_tf.config import Experiment, load_config


def experiment() -> Experiment:
    """The ResNet-50 row with a deeper backbone."""
    parent = load_config(Path(__file__).with_name("cascade_mask_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace({"backbone.depth": 101})
    return dataclasses.replace(parent, name="coco/cascade_mask_rcnn_r101_fpn_1x", model=model)
