r"""Mask R-CNN, FPN, ResNeXt-152 32x8d, enhanced at test: Table 10, row "ResNeXt-152**" without cascade.

Published numbers (val2017): box AP 48.1, AP50 68.3, AP75 52.9; mask AP 41.5, AP50 65.1, AP75 44.7; beside
it `cascade_mask_rcnn_x152_32x8d_fpn_tta.py`. The training is that of `mask_rcnn_x152_32x8d_fpn.py`; at test
every image is seen in nine sizes, each also mirrored, and boxes are voted on. The row has not been reproduced
with this code yet.

    python scripts/train.py --config coco/mask_rcnn_x152_32x8d_fpn_tta --dataset_dir COCO \
        --workdir runs/mask_x152_32x8d --backbone_weights detectron/X-152-32x8d-IN5k
    python scripts/evaluate.py --workdir runs/mask_x152_32x8d
"""

import dataclasses
from pathlib import Path

from cascade_tf.config import Experiment, load_config


def experiment() -> Experiment:
    """18 passes: the model's own size and eight more, each also mirrored."""
    parent = load_config(Path(__file__).with_name("mask_rcnn_x152_32x8d_fpn.py"))
    evaluation = dataclasses.replace(
        parent.evaluation,
        scales=(400, 500, 600, 700, 900, 1000, 1100, 1200),
        scales_max_side=2000,
        flip=True,
        vote_iou=0.9,
    )
    return dataclasses.replace(parent, name="coco/mask_rcnn_x152_32x8d_fpn_tta", evaluation=evaluation)
