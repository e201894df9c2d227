r"""Mask R-CNN, FPN, ResNeXt-101 32x8d: Table 10, row "ResNeXt-101" without cascade.

Published numbers (val2017): box AP 42.1, AP50 64.1, AP75 45.9; mask AP 37.3, AP50 60.3, AP75 39.5; beside
it `cascade_mask_rcnn_x101_32x8d_fpn_1x.py`. Published settings: 8 GPUs with 1 image each, 180,000 steps,
half the learning rate. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/mask_rcnn_x101_32x8d_fpn_1x --dataset_dir COCO \
        --workdir runs/mask_x101_32x8d --backbone_weights detectron/X-101-32x8d
"""

import dataclasses
from pathlib import Path

from cascade_tf.config import Experiment, load_config
from cascade_tf.training.settings import TrainConfig


def experiment() -> Experiment:
    """32 groups of 8 channels in the 3x3 convolutions, the stride beside them."""
    parent = load_config(Path(__file__).with_name("mask_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace(
        {
            "backbone.depth": 101,
            "backbone.cardinality": 32,
            "backbone.width_per_group": 8,
            "backbone.stride_in_1x1": False,
        }
    )
    train = TrainConfig(batch_size=8, steps=180_000, decay_steps=(120_000, 160_000))
    return dataclasses.replace(parent, name="coco/mask_rcnn_x101_32x8d_fpn_1x", model=model, train=train)
