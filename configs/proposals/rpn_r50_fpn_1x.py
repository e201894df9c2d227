r"""The proposal network alone, with FPN and ResNet-50 on COCO, 1x schedule: no row of the paper.

The proposals of Table 7's Fast R-CNN rows come from files that Detectron's such network wrote
(rpn_R-50-FPN_1x). detectron2 reports an average recall of 58.0 with 1000 proposals for its own (val2017).

Published settings: 8 GPUs with 2 images each, 90,000 steps. The authors' list of models names no time. It has
not been reproduced with this code yet.

    python scripts/train.py --config proposals/rpn_r50_fpn_1x --dataset_dir COCO \
        --workdir runs/rpn_r50 --backbone_weights detectron/R-50
    python scripts/propose.py --workdir runs/rpn_r50 --split train --output proposals/train.npz \
        --nomeasure --set model.proposals.post_nms_test=2000
    python scripts/propose.py --workdir runs/rpn_r50 --output proposals/val.npz
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config
from cascade_tf.models import rpn_fpn


def experiment() -> Experiment:
    """The proposals of the ResNet-50 row, learnt alone; classes are not told apart."""
    parent = load_config("coco/faster_rcnn_r50_fpn_1x")
    shared = {name: parent.model.value(name) for name in ("backbone", "proposals", "inputs")}
    return dataclasses.replace(
        parent,
        name="proposals/rpn_r50_fpn_1x",
        model=rpn_fpn.replace(shared),
        data=dataclasses.replace(parent.data, one_class=True),
    )
