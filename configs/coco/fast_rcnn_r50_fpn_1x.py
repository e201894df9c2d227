r"""Fast R-CNN with FPN and ResNet-50 on COCO, 1x schedule.

Table 7, "Fast R-CNN, ResNet-50", COCO val2017: AP 36.4, AP50 58.4, AP75 39.3, APS 20.3, APM 39.8, APL 48.1.

Published settings: 8 GPUs with 2 images each, 90,000 steps, proposals of an RPN with FPN and ResNet-50 in
files: all for training, the best 1000 at test. The authors' list of models names no time. detectron2 reports
0.140 s a step on 8 V100, which makes 3.5 hours. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/fast_rcnn_r50_fpn_1x --dataset_dir COCO \
        --workdir runs/fast_rcnn_r50_fpn_1x --backbone_weights detectron/R-50 \
        --set data.proposals=TRAIN.pkl --set data.val_proposals=VAL.pkl
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config
from cascade_tf.parts import part
from cascade_tf.proposals import GivenProposals


def experiment() -> Experiment:
    """The same detector on proposals that come with the images."""
    parent = load_config(Path(__file__).with_name("faster_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace({"proposals": part(GivenProposals)})
    return dataclasses.replace(parent, name="coco/fast_rcnn_r50_fpn_1x", model=model)
