r"""Cascade R-CNN with FPN and ResNet-50 on COCO, 1x schedule.

Table 7, "ResNet-50, cascade", COCO val2017: AP 40.9, AP50 59.0, AP75 44.6, APS 22.5, APM 43.6, APL 55.3.

Table 8, "stage 1" (scripts/propose.py), COCO val2017: AR@100 46.8, ARs@100 31.0, ARm@100 53.8, ARl@100 64.8,
AR@1k 58.7, ARs@1k 47.6, ARm@1k 65.9, ARl@1k 68.2.

Table 8, "stage 2" (scripts/propose.py --stage 2), COCO val2017: AR@100 55.3, ARs@100 35.1, ARm@100 61.1,
ARl@100 82.5, AR@1k 70.7, ARs@1k 55.2, ARm@1k 77.7, ARl@1k 88.1.

Table 8, "stage 3" (scripts/propose.py --stage 3), COCO val2017: AR@100 56.5, ARs@100 36.1, ARm@100 62.4,
ARl@100 84.1, AR@1k 71.4, ARs@1k 55.5, ARm@1k 78.1, ARl@1k 89.8.

Published settings: 8 GPUs with 2 images each, 90,000 steps. The authors' list of models names no time. A step
costs about a fifth more than the baseline's: 6 to 7 hours on 8 V100. The row has not been reproduced with
this code yet.

    python scripts/train.py --config coco/cascade_rcnn_r50_fpn_1x --dataset_dir COCO \
        --workdir runs/cascade_rcnn_r50_fpn_1x --backbone_weights detectron/R-50
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """Three stages at IoU 0.5, 0.6 and 0.7 (Sec. 6.1.2), each with one box for all classes."""
    parent = load_config(Path(__file__).with_name("faster_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace(
        {
            "heads.ious": (0.5, 0.6, 0.7),
            "heads.head.class_agnostic": True,
        }
    )
    return dataclasses.replace(parent, name="coco/cascade_rcnn_r50_fpn_1x", model=model)
