r"""Mask R-CNN with FPN, ResNet-50 and GroupNorm on COCO, 1x schedule.

Table 10, "ResNet-50-GN", COCO val2017: box AP 39.2, box AP50 60.5, box AP75 42.9, box APS 22.9, box APM 42.2,
box APL 50.6, mask AP 34.9, mask AP50 57.1, mask AP75 36.9, mask APS 16.0, mask APM 37.7, mask APL 51.2.

Published settings: 8 GPUs with 2 images each, 90,000 steps. The authors' list of models names no time. The
row has not been reproduced with this code yet.

    python scripts/train.py --config coco/mask_rcnn_r50_fpn_gn_1x --dataset_dir COCO \
        --workdir runs/mask_rcnn_r50_fpn_gn_1x --backbone_weights detectron/R-50-GN
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """GroupNorm in backbone, pyramid and heads; box heads of four convolutions."""
    parent = load_config(Path(__file__).with_name("mask_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace(
        {
            "backbone.stride_in_1x1": False,
            "backbone.norm": "group",
            "neck.norm": "group",
            "heads.head.num_convs": 4,
            "heads.head.norm": "group",
            "heads.masks.head.norm": "group",
        }
    )
    return dataclasses.replace(parent, name="coco/mask_rcnn_r50_fpn_gn_1x", model=model)
