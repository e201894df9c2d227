r"""Cascade R-CNN with FPN and ResNet-101 on COCO, 1x schedule.

Table 7, "ResNet-101, cascade", COCO val2017: AP 42.8, AP50 61.4, AP75 46.8, APS 24.1, APM 45.8, APL 57.4.

Published settings: 8 GPUs with 2 images each, 90,000 steps. The authors' list of models names no time. The
paper's own cascade takes 1.24 times as long with ResNet-101 as with ResNet-50 (Table 6): about 8 hours on 8
V100. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_rcnn_r101_fpn_1x --dataset_dir COCO \
        --workdir runs/cascade_rcnn_r101_fpn_1x --backbone_weights detectron/R-101
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The ResNet-50 row with a deeper backbone."""
    parent = load_config(Path(__file__).with_name("cascade_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace({"backbone.depth": 101})
    return dataclasses.replace(parent, name="coco/cascade_rcnn_r101_fpn_1x", model=model)
