r"""R-FCN with ResNet-101 on VOC.

Table 11, "R-FCN, ResNet-101", VOC 2007 test: AP 49.4, AP50 79.8, AP75 53.2.
They are COCO's numbers, which evaluate.py prints below those of VOC's own protocol of 2007.

Published settings: 2 GPUs with 2 images each, 90,000 steps, 10.5 hours. ImageNet weights of the MSRA ResNet
with its normalisation merged, as Detectron has them. The row has not been reproduced with this code yet.

    python scripts/train.py --config voc/rfcn_r101 --dataset_dir VOCdevkit \
        --workdir runs/rfcn_r101 --backbone_weights detectron/R-101
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The ResNet-50 row with a deeper backbone."""
    parent = load_config(Path(__file__).with_name("rfcn_r50.py"))
    model = parent.model.replace({"backbone.depth": 101})
    return dataclasses.replace(parent, name="voc/rfcn_r101", model=model)
