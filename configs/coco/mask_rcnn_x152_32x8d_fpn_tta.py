r"""Mask R-CNN with FPN and ResNeXt-152 32x8d on COCO, enhanced in training and at test.

Table 10, "ResNeXt-152**", COCO val2017: box AP 48.1, box AP50 68.3, box AP75 52.9, box APS 32.6, box APM
51.8, box APL 61.3, mask AP 41.5, mask AP50 65.1, mask AP75 44.7, mask APS 22.0, mask APM 44.8, mask APL 59.8.

The training is that of `mask_rcnn_x152_32x8d_fpn.py`; at test every image is seen in nine sizes, each also
mirrored, and boxes are voted on. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/mask_rcnn_x152_32x8d_fpn_tta --dataset_dir COCO \
        --workdir runs/mask_rcnn_x152_32x8d_fpn_tta --backbone_weights detectron/X-152-32x8d-IN5k
    python scripts/evaluate.py --workdir runs/mask_rcnn_x152_32x8d_fpn_tta
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


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
