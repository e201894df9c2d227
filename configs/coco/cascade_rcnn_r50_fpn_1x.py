r"""Cascade R-CNN with FPN and ResNet-50 on COCO, 1x schedule: Table 7, row "ResNet-50" with cascade.

Published numbers (val2017, box): AP 40.9, AP50 59.0, AP75 44.6, APs 22.5, APm 43.6, APl 55.3; the baseline
beside it is `faster_rcnn_r50_fpn_1x.py` with AP 36.7. Published settings: 8 GPUs with 2 images each, 90,000
steps, ImageNet weights of the Detectron model zoo (BGR, stride in the 1x1 convolution). A step costs about a
fifth more than the baseline's: 6 to 7 hours on 8 V100. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_rcnn_r50_fpn_1x --dataset_dir COCO \
        --workdir runs/cascade_r50 --backbone_weights R-50.npz
"""

from cascade_tf.config import Experiment
from cascade_tf.models import cascade_rcnn_fpn


def experiment() -> Experiment:
    """Three stages at IoU 0.5, 0.6 and 0.7 (Sec. 6.1); the rest are defaults of recipe and schedule."""
    return Experiment(
        name="coco/cascade_rcnn_r50_fpn_1x",
        model=cascade_rcnn_fpn.replace({"backbone.depth": 50, "heads.ious": (0.5, 0.6, 0.7)}),
    )
