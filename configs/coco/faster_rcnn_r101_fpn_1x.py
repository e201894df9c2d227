r"""Faster R-CNN with FPN and ResNet-101 on COCO, 1x schedule.

Table 7, "ResNet-101", COCO val2017: AP 39.4, AP50 61.2, AP75 43.4, APS 22.6, APM 42.9, APL 51.4.

Published settings: 8 GPUs with 2 images each, 90,000 steps. The authors' list of models names no time. The
paper's own baseline takes 1.27 times as long with ResNet-101 as with ResNet-50 (Table 6): about 7 hours on 8
V100. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/faster_rcnn_r101_fpn_1x --dataset_dir COCO \
        --workdir runs/faster_rcnn_r101_fpn_1x --backbone_weights detectron/R-101
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The ResNet-50 row with a deeper backbone."""
    parent = load_config(Path(__file__).with_name("faster_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace({"backbone.depth": 101})
    return dataclasses.replace(parent, name="coco/faster_rcnn_r101_fpn_1x", model=model)
