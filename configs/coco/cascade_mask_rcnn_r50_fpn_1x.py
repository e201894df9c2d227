r"""Cascade Mask R-CNN, FPN, ResNet-50: Table 10, row "ResNet-50" with cascade.

Published numbers (val2017): box AP 41.3, AP50 59.4, AP75 45.3; mask AP 35.4, AP50 56.4, AP75 37.7; beside
it `mask_rcnn_r50_fpn_1x.py`. Published settings: 8 GPUs with 2 images each, 90,000 steps. The row has not
been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_mask_rcnn_r50_fpn_1x --dataset_dir COCO \
        --workdir runs/cascade_mask_r50 --backbone_weights detectron/R-50
"""

from cascade_tf.config import Experiment
from cascade_tf.models import cascade_mask_rcnn_fpn


def experiment() -> Experiment:
    """Three stages, a mask head on the last: strategy (c) of Fig. 6."""
    return Experiment(
        name="coco/cascade_mask_rcnn_r50_fpn_1x", model=cascade_mask_rcnn_fpn.replace({"backbone.depth": 50})
    )
