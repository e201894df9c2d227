r"""Cascade Mask R-CNN with FPN and ResNeXt-101 32x8d on COCO, 1x schedule.

Table 10, "ResNeXt-101, cascade", COCO val2017: box AP 45.8, box AP50 64.1, box AP75 50.3, box APS 27.2, box
APM 49.5, box APL 60.1, mask AP 38.6, mask AP50 60.6, mask AP75 41.5, mask APS 18.5, mask APM 41.3, mask APL
57.2.

Published settings: 8 GPUs with 1 image each, 180,000 steps, half the learning rate. The authors' list of
models names no time. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_mask_rcnn_x101_32x8d_fpn_1x --dataset_dir COCO \
        --workdir runs/cascade_mask_rcnn_x101_32x8d_fpn_1x --backbone_weights detectron/X-101-32x8d
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """32 groups of 8 channels in the 3x3 convolutions, the stride beside them."""
    parent = load_config(Path(__file__).with_name("cascade_mask_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace(
        {
            "backbone.depth": 101,
            "backbone.cardinality": 32,
            "backbone.width_per_group": 8,
            "backbone.stride_in_1x1": False,
            "proposals.post_nms_train": 2000,
        }
    )
    train = dataclasses.replace(parent.train, batch_size=8, steps=180_000, decay_steps=(120_000, 160_000))
    return dataclasses.replace(
        parent, name="coco/cascade_mask_rcnn_x101_32x8d_fpn_1x", model=model, train=train
    )
