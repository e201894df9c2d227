r"""Mask R-CNN, FPN, ResNeXt-152 32x8d: Table 10, row "ResNeXt-152*" without cascade.

Published numbers (val2017): box AP 45.2, AP50 66.9, AP75 49.7; mask AP 39.7, AP50 63.5, AP75 42.4; beside
it `cascade_mask_rcnn_x152_32x8d_fpn.py`. Published settings: 8 GPUs with 1 image each, 260,000 steps,
shorter sides of 640 to 800 pixels. With flips, several scales and box voting at test (row "ResNeXt-152**")
box 48.1 and mask 41.5. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/mask_rcnn_x152_32x8d_fpn --dataset_dir COCO \
        --workdir runs/mask_x152_32x8d --backbone_weights detectron/X-152-32x8d-IN5k
"""

import dataclasses
from pathlib import Path

from cascade_tf.config import DataConfig, Experiment, load_config
from cascade_tf.training.settings import TrainConfig


def experiment() -> Experiment:
    """32 groups of 8 channels in the 3x3 convolutions, the stride beside them."""
    parent = load_config(Path(__file__).with_name("mask_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace(
        {
            "backbone.depth": 152,
            "backbone.cardinality": 32,
            "backbone.width_per_group": 8,
            "backbone.stride_in_1x1": False,
        }
    )
    train = TrainConfig(batch_size=8, steps=260_000, decay_steps=(200_000, 240_000))
    data = DataConfig(short_sides=(640, 672, 704, 736, 768, 800))
    return dataclasses.replace(
        parent, name="coco/mask_rcnn_x152_32x8d_fpn", model=model, train=train, data=data
    )
