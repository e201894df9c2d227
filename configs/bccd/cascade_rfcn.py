r"""Cascade R-FCN on the blood cells of `bccd/cascade`: same features, images, order and schedule.

docs/reproduction.md has the floor that its AP has to reach.

    python scripts/train.py --config bccd/cascade_rfcn --dataset_dir BCCD --workdir runs/bccd_cascade_rfcn \
        --backbone_weights resnet50_1by2_open_nsfw.npz
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config
from cascade_tf.models import cascade_rfcn
from cascade_tf.proposals.anchor_shapes import COCO_ANCHORS


def experiment() -> Experiment:
    """Three stages on one map; anchors and counts scaled with the image size."""
    model = cascade_rfcn.replace(
        {
            "backbone.width": 0.5,
            "backbone.stem_channels": 64,
            # Images are about half as large as those that the anchors were made for.
            "proposals.anchors": (tuple((width / 2, height / 2) for width, height in COCO_ANCHORS),),
            "proposals.channels": 256,
            "proposals.pre_nms_train": 500,
            "proposals.pre_nms_test": 500,
            "proposals.post_nms_train": 300,
            "heads.head.channels": 256,
            "heads.num_samples": 128,
            "short_side": 320,
            "max_side": 448,
        }
    )
    pyramid = load_config("bccd/cascade")
    # The pyramid's rate leaves the new layers, whose gradients are small, untrained in so few steps.
    train = dataclasses.replace(pyramid.train, learning_rate=0.08)
    return dataclasses.replace(pyramid, name="bccd/cascade_rfcn", model=model, train=train)
