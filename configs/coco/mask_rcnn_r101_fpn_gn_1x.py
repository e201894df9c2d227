r"""Mask R-CNN with FPN, ResNet-101 and GroupNorm on COCO, 1x schedule.

Table 10, "ResNet-101-GN", COCO val2017: box AP 41.1, box AP50 62.1, box AP75 45.1, box APS 23.6, box APM
44.3, box APL 53.1, mask AP 36.3, mask AP50 58.9, mask AP75 38.5, mask APS 16.2, mask APM 39.4, mask APL 53.6.

Published settings: 8 GPUs with 1 image each, 180,000 steps, half the learning rate. The authors' list of
models names no time. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/mask_rcnn_r101_fpn_gn_1x --dataset_dir COCO \
        --workdir runs/mask_rcnn_r101_fpn_gn_1x --backbone_weights detectron/R-101-GN
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


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
            "proposals.post_nms_train": 2000,
        }
    )
    train = dataclasses.replace(parent.train, batch_size=8, steps=180_000, decay_steps=(120_000, 160_000))
    return dataclasses.replace(parent, name="coco/mask_rcnn_r101_fpn_gn_1x", model=model, train=train)
