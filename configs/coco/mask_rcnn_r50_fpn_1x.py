r"""Mask R-CNN, FPN, ResNet-50: Table 10, row "ResNet-50" without cascade.

Published numbers (val2017): box AP 37.7, AP50 59.2, AP75 40.9; mask AP 33.9, AP50 55.8, AP75 35.8; beside
it `cascade_mask_rcnn_r50_fpn_1x.py`. Published settings: 8 GPUs with 2 images each, 90,000 steps. The row
has not been reproduced with this code yet.

    python scripts/train.py --config coco/mask_rcnn_r50_fpn_1x --dataset_dir COCO \
        --workdir runs/mask_r50 --backbone_weights detectron/R-50
"""

from cascade_tf.config import Experiment
from cascade_tf.models import mask_rcnn_fpn


def experiment() -> Experiment:
    """One stage with a mask head; the rest are the defaults of recipe and schedule."""
    return Experiment(name="coco/mask_rcnn_r50_fpn_1x", model=mask_rcnn_fpn.replace({"backbone.depth": 50}))
