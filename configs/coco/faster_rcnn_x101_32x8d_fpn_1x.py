r"""Faster R-CNN with FPN and ResNeXt-101 32x8d on COCO, 1x schedule.

Table 7, "ResNeXt-101", COCO val2017: AP 41.3, AP50 63.7, AP75 44.7, APS 25.5, APM 45.3, APL 52.9.

Published settings: 8 GPUs with 1 image each, 180,000 steps, half the learning rate. The authors' list of
models names no time. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/faster_rcnn_x101_32x8d_fpn_1x --dataset_dir COCO \
        --workdir runs/faster_rcnn_x101_32x8d_fpn_1x --backbone_weights detectron/X-101-32x8d
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """32 groups of 8 channels in the 3x3 convolutions, the stride beside them."""
    parent = load_config(Path(__file__).with_name("faster_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace(
        {
            "backbone.depth": 101,
            "backbone.cardinality": 32,
            "backbone.width_per_group": 8,
            "backbone.stride_in_1x1": False,
            "proposals.post_nms_train": 2000,
        }
    )
    train = dataclasses.replace(parent.train, batch_size=8, steps=180_000, decay_steps=(120_000, 160_000))
    return dataclasses.replace(parent, name="coco/faster_rcnn_x101_32x8d_fpn_1x", model=model, train=train)
