r"""Mask R-CNN, FPN, ResNet-101 and GroupNorm: Table 10, row "ResNet-101-GN" without cascade.

Published numbers (val2017): box AP 41.1, AP50 62.1, AP75 45.1; mask AP 36.3, AP50 58.9, AP75 38.5; beside
it `cascade_mask_rcnn_r101_fpn_gn_1x.py`. Published settings: 8 GPUs with 1 image each, 180,000 steps, half
the learning rate. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/mask_rcnn_r101_fpn_gn_1x --dataset_dir COCO \
        --workdir runs/mask_r101 --backbone_weights detectron/R-101-GN
"""

import dataclasses
from pathlib import Path

from cascade_tf.config import Experiment, load_config
from cascade_tf.training.settings import TrainConfig


def experiment() -> Experiment:
    """GroupNorm in backbone, pyramid and heads; box heads of four convolutions."""
    parent = load_config(Path(__file__).with_name("mask_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace(
        {
            "backbone.depth": 101,
            "backbone.stride_in_1x1": False,
            "backbone.norm": "group",
            "neck.norm": "group",
            "heads.head.num_convs": 4,
            "heads.head.norm": "group",
            "heads.masks.head.norm": "group",
        }
    )
    train = TrainConfig(batch_size=8, steps=180_000, decay_steps=(120_000, 160_000))
    return dataclasses.replace(parent, name="coco/mask_rcnn_r101_fpn_gn_1x", model=model, train=train)
