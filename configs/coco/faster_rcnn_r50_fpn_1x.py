r"""Faster R-CNN with FPN and ResNet-50 on COCO; 1x schedule, Table 7, row "ResNet-50" without cascade.

Published numbers (val2017, box): AP 36.7, AP50 58.4, AP75 39.6, APs 21.1, APm 39.8, APl 48.1.
Published settings: 8 GPUs with 2 images each, 90,000 steps, ImageNet weights of the Detectron model zoo (BGR,
stride in the 1x1 convolution). detectron2 reports 0.210 s a step on 8 V100, which makes 5 hours. The row has
not been reproduced with this code yet.

    python scripts/train.py --config coco/faster_rcnn_r50_fpn_1x --dataset_dir COCO \
        --workdir runs/faster_r50 --backbone_weights R-50.npz
"""

from cascade_tf.config import Experiment
from cascade_tf.models import cascade_rcnn_fpn


def experiment() -> Experiment:
    """One class-aware stage; the rest are the defaults of recipe and schedule."""
    return Experiment(
        name="coco/faster_rcnn_r50_fpn_1x",
        model=cascade_rcnn_fpn.replace(
            {"backbone.depth": 50, "heads.ious": (0.5,), "heads.head.class_agnostic": False}
        ),
    )
