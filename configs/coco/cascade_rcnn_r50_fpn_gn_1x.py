r"""Cascade R-CNN with FPN, ResNet-50 and GroupNorm on COCO, 1x schedule.

Table 7, "ResNet-50-GN, cascade", COCO val2017: AP 42.2, AP50 60.6, AP75 45.8, APS 24.7, APM 45.2, APL 55.7.

Published settings: 8 GPUs with 2 images each, 90,000 steps. The authors' list of models names no time. The
row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_rcnn_r50_fpn_gn_1x --dataset_dir COCO \
        --workdir runs/cascade_rcnn_r50_fpn_gn_1x --backbone_weights detectron/R-50-GN
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """GroupNorm in backbone, pyramid and heads; heads of four convolutions."""
    parent = load_config(Path(__file__).with_name("cascade_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace(
        {
            "backbone.stride_in_1x1": False,
            "backbone.norm": "group",
            "neck.norm": "group",
            "heads.head.num_convs": 4,
            "heads.head.norm": "group",
        }
    )
    return dataclasses.replace(parent, name="coco/cascade_rcnn_r50_fpn_gn_1x", model=model)
