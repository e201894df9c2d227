r"""Cascade R-FCN with ResNet-50 on COCO.

Table 6, "R-FCN, ResNet-50, cascade", COCO val2017 and test-dev: train seconds 0.24, test seconds 0.075, file
MiB 184, val AP 31.1, val AP50 49.8, val AP75 32.8, val APS 10.4, val APM 34.4, val APL 48.5, test dev AP
30.9, test dev AP50 49.9, test dev AP75 32.6, test dev APS 10.5, test dev APM 33.1, test dev APL 46.9.

Published settings: 4 GPUs with 1 image each, 280,000 steps, 22.5 hours. ImageNet weights of the MSRA ResNet
with its normalisation merged, as Detectron has them. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_rfcn_r50 --dataset_dir COCO \
        --workdir runs/cascade_rfcn_r50 --backbone_weights detectron/R-50
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """Three stages at IoU 0.5, 0.6 and 0.7, each with three convolutions of its own."""
    parent = load_config(Path(__file__).with_name("rfcn_r50.py"))
    model = parent.model.replace({"heads.ious": (0.5, 0.6, 0.7)})
    return dataclasses.replace(parent, name="coco/cascade_rfcn_r50", model=model)
