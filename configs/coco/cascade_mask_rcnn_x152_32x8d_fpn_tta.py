r"""Cascade Mask R-CNN, FPN, ResNeXt-152 32x8d, enhanced at test: Table 10, row "ResNeXt-152**" with cascade.

Published numbers (val2017): box AP 50.2, AP50 68.2, AP75 55.0; mask AP 42.3, AP50 65.4, AP75 45.8; beside
it `mask_rcnn_x152_32x8d_fpn_tta.py`. On test-dev it is the row "Cascade R-CNN**" of Table 5, box AP 50.9.
The training is that of `cascade_mask_rcnn_x152_32x8d_fpn.py`; at test every image is seen in nine sizes, each
also mirrored, and boxes are voted on. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_mask_rcnn_x152_32x8d_fpn_tta --dataset_dir COCO \
        --workdir runs/cascade_mask_x152_32x8d --backbone_weights detectron/X-152-32x8d-IN5k
    python scripts/evaluate.py --workdir runs/cascade_mask_x152_32x8d
"""

import dataclasses
from pathlib import Path

from cascade_tf.config import Experiment, load_config


def experiment() -> Experiment:
    """18 passes: the model's own size and eight more, each also mirrored."""
    parent = load_config(Path(__file__).with_name("cascade_mask_rcnn_x152_32x8d_fpn.py"))
    evaluation = dataclasses.replace(
        parent.evaluation,
        scales=(400, 500, 600, 700, 900, 1000, 1100, 1200),
        scales_max_side=2000,
        flip=True,
        vote_iou=0.9,
    )
    return dataclasses.replace(
        parent, name="coco/cascade_mask_rcnn_x152_32x8d_fpn_tta", evaluation=evaluation
    )
