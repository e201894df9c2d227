r"""Cascade R-FCN with ResNet-101 on COCO.

Table 6, "R-FCN, ResNet-101, cascade", COCO val2017 and test-dev: train seconds 0.29, test seconds 0.083, file
MiB 256, val AP 33.3, val AP50 52.0, val AP75 35.2, val APS 11.8, val APM 37.2, val APL 51.1, test dev AP
33.3, test dev AP50 52.6, test dev AP75 35.2, test dev APS 12.1, test dev APM 36.2, test dev APL 49.3.

Published settings: 4 GPUs with 1 image each, 280,000 steps, 30.5 hours. ImageNet weights of the MSRA ResNet
with its normalisation merged, as Detectron has them. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_rfcn_r101 --dataset_dir COCO \
        --workdir runs/cascade_rfcn_r101 --backbone_weights detectron/R-101
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The ResNet-50 row with a deeper backbone and, as the authors have it, weaker proposals in training."""
    parent = load_config(Path(__file__).with_name("cascade_rfcn_r50.py"))
    model = parent.model.replace(
        {
            "backbone.depth": 101,
            "proposals.score_threshold_train": 0.025,
        }
    )
    return dataclasses.replace(parent, name="coco/cascade_rfcn_r101", model=model)
