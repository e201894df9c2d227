r"""R-FCN with ResNet-101 on COCO.

Table 6, "R-FCN, ResNet-101", COCO val2017 and test-dev: train seconds 0.23, test seconds 0.075, file MiB 206,
val AP 30.3, val AP50 52.2, val AP75 30.8, val APS 12.0, val APM 34.7, val APL 44.3, test dev AP 30.5, test
dev AP50 52.9, test dev AP75 31.2, test dev APS 12.0, test dev APM 33.9, test dev APL 43.8.

Published settings: 4 GPUs with 1 image each, 280,000 steps, 29 hours. ImageNet weights of the MSRA ResNet
with its normalisation merged, as Detectron has them. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/rfcn_r101 --dataset_dir COCO \
        --workdir runs/rfcn_r101 --backbone_weights detectron/R-101
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The ResNet-50 row with a deeper backbone."""
    parent = load_config(Path(__file__).with_name("rfcn_r50.py"))
    model = parent.model.replace({"backbone.depth": 101})
    return dataclasses.replace(parent, name="coco/rfcn_r101", model=model)
