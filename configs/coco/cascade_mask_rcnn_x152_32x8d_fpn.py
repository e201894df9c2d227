r"""Cascade Mask R-CNN with FPN and ResNeXt-152 32x8d on COCO, 1.44x schedule and several sizes in training.

Table 10, "ResNeXt-152*, cascade", COCO val2017: box AP 48.1, box AP50 66.7, box AP75 52.6, box APS 29.3, box
APM 52.2, box APL 62.1, mask AP 40.7, mask AP50 63.7, mask AP75 43.8, mask APS 19.9, mask APM 44.0, mask APL
59.1.

Published settings: 8 GPUs with 1 image each, 260,000 steps, shorter sides of 640 to 800 pixels. The authors'
list of models names no time. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_mask_rcnn_x152_32x8d_fpn --dataset_dir COCO \
        --workdir runs/cascade_mask_rcnn_x152_32x8d_fpn --backbone_weights detectron/X-152-32x8d-IN5k
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """32 groups of 8 channels in the 3x3 convolutions, the stride beside them."""
    parent = load_config(Path(__file__).with_name("cascade_mask_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace(
        {
            "backbone.depth": 152,
            "backbone.cardinality": 32,
            "backbone.width_per_group": 8,
            "backbone.stride_in_1x1": False,
            "proposals.post_nms_train": 2000,
        }
    )
    train = dataclasses.replace(parent.train, batch_size=8, steps=260_000, decay_steps=(200_000, 240_000))
    data = dataclasses.replace(parent.data, short_sides=(640, 672, 704, 736, 768, 800))
    return dataclasses.replace(
        parent, name="coco/cascade_mask_rcnn_x152_32x8d_fpn", model=model, train=train, data=data
    )
