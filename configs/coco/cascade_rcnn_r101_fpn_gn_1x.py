r"""Cascade R-CNN with FPN, ResNet-101 and GroupNorm on COCO, 1x schedule.

Table 7, "ResNet-101-GN, cascade", COCO val2017: AP 43.8, AP50 62.2, AP75 47.6, APS 26.2, APM 47.2, APL 57.7.

Published settings: 8 GPUs with 1 image each, 180,000 steps, half the learning rate. The authors' list of
models names no time. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_rcnn_r101_fpn_gn_1x --dataset_dir COCO \
        --workdir runs/cascade_rcnn_r101_fpn_gn_1x --backbone_weights detectron/R-101-GN
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """GroupNorm in backbone, pyramid and heads; heads of four convolutions."""
    parent = load_config(Path(__file__).with_name("cascade_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace(
        {
            "backbone.depth": 101,
            "backbone.stride_in_1x1": False,
            "backbone.norm": "group",
            "neck.norm": "group",
            "heads.head.num_convs": 4,
            "heads.head.norm": "group",
            "proposals.post_nms_train": 2000,
        }
    )
    train = dataclasses.replace(parent.train, batch_size=8, steps=180_000, decay_steps=(120_000, 160_000))
    return dataclasses.replace(parent, name="coco/cascade_rcnn_r101_fpn_gn_1x", model=model, train=train)
