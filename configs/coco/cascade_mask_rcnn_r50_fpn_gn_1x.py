r"""Cascade Mask R-CNN with FPN, ResNet-50 and GroupNorm on COCO, 1x schedule.

Table 10, "ResNet-50-GN, cascade", COCO val2017: box AP 42.9, box AP50 60.7, box AP75 46.6, box APS 25.1, box
APM 45.9, box APL 56.7, mask AP 36.6, mask AP50 57.7, mask AP75 39.2, mask APS 16.8, mask APM 39.3, mask APL
54.5.

Published settings: 8 GPUs with 2 images each, 90,000 steps. The authors' list of models names no time. The
row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_mask_rcnn_r50_fpn_gn_1x --dataset_dir COCO \
        --workdir runs/cascade_mask_rcnn_r50_fpn_gn_1x --backbone_weights detectron/R-50-GN
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """GroupNorm in backbone, pyramid and heads; box heads of four convolutions."""
    parent = load_config(Path(__file__).with_name("cascade_mask_rcnn_r50_fpn_1x.py"))
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
    return dataclasses.replace(parent, name="coco/cascade_mask_rcnn_r50_fpn_gn_1x", model=model)
