r"""Cascade R-FCN with ResNet-50 on VOC.

Table 11, "R-FCN, ResNet-50, cascade", VOC 2007 test: AP 51.8, AP50 78.5, AP75 57.1.
They are COCO's numbers, which evaluate.py prints below those of VOC's own protocol of 2007.

Published settings: 2 GPUs with 2 images each, 90,000 steps, 9 hours. ImageNet weights of the MSRA ResNet with
its normalisation merged, as Detectron has them. The row has not been reproduced with this code yet.

    python scripts/train.py --config voc/cascade_rfcn_r50 --dataset_dir VOCdevkit \
        --workdir runs/cascade_rfcn_r50 --backbone_weights detectron/R-50
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """Three stages at IoU 0.5, 0.6 and 0.7, each with three convolutions of its own."""
    parent = load_config(Path(__file__).with_name("rfcn_r50.py"))
    model = parent.model.replace({"heads.ious": (0.5, 0.6, 0.7)})
    return dataclasses.replace(parent, name="voc/cascade_rfcn_r50", model=model)
