r"""Cascade Mask R-CNN, FPN, ResNet-101 and GroupNorm: Table 10, row "ResNet-101-GN" with cascade.

Published numbers (val2017): box AP 44.8, AP50 62.8, AP75 48.8; mask AP 38.0, AP50 59.8, AP75 40.8; beside
it `mask_rcnn_r101_fpn_gn_1x.py`. Published settings: 8 GPUs with 1 image each, 180,000 steps, half the
learning rate. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_mask_rcnn_r101_fpn_gn_1x --dataset_dir COCO \
        --workdir runs/cascade_mask_r101 --backbone_weights detectron/R-101-GN
"""

import dataclasses
from pathlib import Path

from cascade_tf.config import Experiment, load_config
from cascade_tf.training.settings import TrainConfig


def experiment() -> Experiment:
    """GroupNorm in backbone, pyramid and heads; box heads of four convolutions."""
    parent = load_config(Path(__file__).with_name("cascade_mask_rcnn_r50_fpn_1x.py"))
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
    return dataclasses.replace(parent, name="coco/cascade_mask_rcnn_r101_fpn_gn_1x", model=model, train=train)
