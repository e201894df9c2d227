r"""Mask R-CNN with FPN and ResNeXt-152 32x8d on COCO, 1.44x schedule and several sizes in training.

Table 10, "ResNeXt-152*", COCO val2017: box AP 45.2, box AP50 66.9, box AP75 49.7, box APS 28.5, box APM 49.4,
box APL 56.8, mask AP 39.7, mask AP50 63.5, mask AP75 42.4, mask APS 19.8, mask APM 42.9, mask APL 57.3.

Published settings: 8 GPUs with 1 image each, 260,000 steps, shorter sides of 640 to 800 pixels. The authors'
list of models names no time. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/mask_rcnn_x152_32x8d_fpn --dataset_dir COCO \
        --workdir runs/mask_rcnn_x152_32x8d_fpn --backbone_weights detectron/X-152-32x8d-IN5k
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """32 groups of 8 channels in the 3x3 convolutions, the stride beside them."""
    parent = load_config(Path(__file__).with_name("mask_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace(
        {
            "backbone.depth": 152,
            "backbone.cardinality": 32,
            "backbone.width_per_group": 8,
            "backbone.stride_in_1x1": False,
            "proposals.post_nms_train": 2000,
        }
    )
    train = dataclasses.replace(parent.train, batch_size=8, steps=260_000, decay_steps=(200_000, 240_000))
    data = dataclasses.replace(parent.data, short_sides=(640, 672, 704, 736, 768, 800))
    return dataclasses.replace(
        parent, name="coco/mask_rcnn_x152_32x8d_fpn", model=model, train=train, data=data
    )
