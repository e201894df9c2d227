r"""Cascade Mask R-CNN with FPN, ResNet-101 and GroupNorm on COCO, 1x schedule.

Table 10, "ResNet-101-GN, cascade", COCO val2017: box AP 44.8, box AP50 62.8, box AP75 48.8, box APS 26.4, box
APM 48.0, box APL 58.7, mask AP 38.0, mask AP50 59.8, mask AP75 40.8, mask APS 18.1, mask APM 40.7, mask APL
56.0.

Published settings: 8 GPUs with 1 image each, 180,000 steps, half the learning rate. The authors' list of
models names no time. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_mask_rcnn_r101_fpn_gn_1x --dataset_dir COCO \
        --workdir runs/cascade_mask_rcnn_r101_fpn_gn_1x --backbone_weights detectron/R-101-GN
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


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
            "proposals.post_nms_train": 2000,
        }
    )
    train = dataclasses.replace(parent.train, batch_size=8, steps=180_000, decay_steps=(120_000, 160_000))
    return dataclasses.replace(parent, name="coco/cascade_mask_rcnn_r101_fpn_gn_1x", model=model, train=train)
