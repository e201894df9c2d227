r"""Cascade R-CNN on stored proposals with FPN and ResNet-50 on COCO, 1x schedule.

Table 7, "Fast R-CNN, ResNet-50, cascade", COCO val2017: AP 40.5, AP50 58.7, AP75 43.9, APS 21.5, APM 43.6,
APL 54.9.

Published settings: 8 GPUs with 2 images each, 90,000 steps, proposals of an RPN with FPN and ResNet-50 in
files: all for training, the best 1000 at test. The authors released no configuration of it. The authors' list
of models names no time. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/fast_cascade_rcnn_r50_fpn_1x --dataset_dir COCO \
        --workdir runs/fast_cascade_rcnn_r50_fpn_1x --backbone_weights detectron/R-50 \
        --set data.proposals=TRAIN.pkl --set data.val_proposals=VAL.pkl
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config
from cascade_tf.parts import part
from cascade_tf.proposals import GivenProposals


def experiment() -> Experiment:
    """The same detector on proposals that come with the images."""
    parent = load_config(Path(__file__).with_name("cascade_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace({"proposals": part(GivenProposals)})
    return dataclasses.replace(parent, name="coco/fast_cascade_rcnn_r50_fpn_1x", model=model)
