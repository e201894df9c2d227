r"""Mask R-CNN, FPN, ResNet-101: Table 10, row "ResNet-101" without cascade.

Published numbers (val2017): box AP 40.0, AP50 61.8, AP75 43.7; mask AP 35.9, AP50 58.3, AP75 38.0; beside
it `cascade_mask_rcnn_r101_fpn_1x.py`. Published settings: 8 GPUs with 2 images each, 90,000 steps. The row
has not been reproduced with this code yet.

    python scripts/train.py --config coco/mask_rcnn_r101_fpn_1x --dataset_dir COCO \
        --workdir runs/mask_r101 --backbone_weights detectron/R-101
"""

import dataclasses
from pathlib import Path

from cascade_tf.config import Experiment, load_config


def experiment() -> Experiment:
    """The ResNet-50 row with a deeper backbone."""
    parent = load_config(Path(__file__).with_name("mask_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace({"backbone.depth": 101})
    return dataclasses.replace(parent, name="coco/mask_rcnn_r101_fpn_1x", model=model)
