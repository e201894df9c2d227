r"""Cascade R-CNN with FPN+ and ResNet-50 on COCO.

Table 6, "FPN+, ResNet-50, cascade", COCO val2017 and test-dev: train seconds 0.33, test seconds 0.115, file
MiB 272, val AP 40.3, val AP50 59.4, val AP75 43.7, val APS 22.9, val APM 43.7, val APL 54.1, test dev AP
40.6, test dev AP50 59.9, test dev AP75 44.0, test dev APS 22.6, test dev APM 42.7, test dev APL 52.1.

Published settings: 8 GPUs with 1 image each, 280,000 steps, 36 hours. ImageNet weights of the MSRA ResNet
with its normalisation merged, as Detectron has them. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_rcnn_r50_fpn_plus --dataset_dir COCO \
        --workdir runs/cascade_rcnn_r50_fpn_plus --backbone_weights detectron/R-50
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """Three stages at IoU 0.5, 0.6 and 0.7; more RoIs and more and weaker proposals in training."""
    parent = load_config(Path(__file__).with_name("faster_rcnn_r50_fpn_plus.py"))
    model = parent.model.replace(
        {
            "heads.ious": (0.5, 0.6, 0.7),
            "heads.num_samples": 512,
            "proposals.score_threshold_train": (0.05, 0.05, 0.05, 0.0),
            "proposals.pre_nms_train": (1500, 1500, 1000, 1000),
        }
    )
    return dataclasses.replace(parent, name="coco/cascade_rcnn_r50_fpn_plus", model=model)
