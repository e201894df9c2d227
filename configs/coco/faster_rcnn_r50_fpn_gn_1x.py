r"""Faster R-CNN with FPN, ResNet-50 and GroupNorm on COCO, 1x schedule.

Table 7, "ResNet-50-GN", COCO val2017: AP 38.4, AP50 59.9, AP75 41.7, APS 22.2, APM 41.2, APL 50.0.

Published settings: 8 GPUs with 2 images each, 90,000 steps. The authors' list of models names no time. The
row has not been reproduced with this code yet.

    python scripts/train.py --config coco/faster_rcnn_r50_fpn_gn_1x --dataset_dir COCO \
        --workdir runs/faster_rcnn_r50_fpn_gn_1x --backbone_weights detectron/R-50-GN
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """GroupNorm in backbone, pyramid and heads; heads of four convolutions."""
    parent = load_config(Path(__file__).with_name("faster_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace(
        {
            "backbone.stride_in_1x1": False,
            "backbone.norm": "group",
            "neck.norm": "group",
            "heads.head.num_convs": 4,
            "heads.head.norm": "group",
        }
    )
    return dataclasses.replace(parent, name="coco/faster_rcnn_r50_fpn_gn_1x", model=model)
