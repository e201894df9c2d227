r"""Cascade Mask R-CNN with FPN and ResNeXt-152 32x8d on COCO, enhanced in training and at test.

Table 5, "Cascade R-CNN**, ResNeXt-152", COCO test-dev: AP 50.9, AP50 69.0, AP75 55.8, APS 33.4, APM 53.5, APL
63.3.

Table 10, "ResNeXt-152**, cascade", COCO val2017: box AP 50.2, box AP50 68.2, box AP75 55.0, box APS 33.1, box
APM 53.9, box APL 64.2, mask AP 42.3, mask AP50 65.4, mask AP75 45.8, mask APS 21.9, mask APM 45.7, mask APL
60.9.

The training is that of `cascade_mask_rcnn_x152_32x8d_fpn.py`; at test every image is seen in nine sizes, each
also mirrored, and boxes are voted on. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_mask_rcnn_x152_32x8d_fpn_tta --dataset_dir COCO \
        --workdir runs/cascade_mask_rcnn_x152_32x8d_fpn_tta --backbone_weights detectron/X-152-32x8d-IN5k
    python scripts/evaluate.py --workdir runs/cascade_mask_rcnn_x152_32x8d_fpn_tta
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


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
