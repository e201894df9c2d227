r"""Cascade R-CNN with FPN+ on the blood cells of `bccd/cascade`: same features, images, order and schedule.

docs/reproduction.md has the floor that its AP has to reach.

    python scripts/train.py --config bccd/cascade_fpn_plus --dataset_dir BCCD \
        --workdir runs/bccd_cascade_fpn_plus --backbone_weights resnet50_1by2_open_nsfw.npz
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config
from cascade_tf.models import cascade_rcnn_fpn_plus
from cascade_tf.proposals.anchor_shapes import FPN_PLUS_ANCHORS


def experiment() -> Experiment:
    """Three stages; anchors, pooling levels and counts scaled with the image size."""
    model = cascade_rcnn_fpn_plus.replace(
        {
            "backbone.width": 0.5,
            "backbone.stem_channels": 64,
            "neck.channels": 64,
            # Images are about half as large as those that the anchors were made for.
            "proposals.anchors": tuple(
                tuple((width / 2, height / 2) for width, height in level) for level in FPN_PLUS_ANCHORS
            ),
            "proposals.channels": 64,
            "proposals.score_threshold_train": 0.0,
            "proposals.score_threshold_test": 0.01,
            "proposals.min_side": 5.0,
            "proposals.pre_nms_train": 200,
            "proposals.pre_nms_test": 200,
            "proposals.post_nms_train": 300,
            "proposals.post_nms_test": 300,
            "heads.head.units": 256,
            "heads.pooling.canonical_size": 112.0,
            "heads.num_samples": 128,
            "short_side": 320,
            "max_side": 448,
        }
    )
    return dataclasses.replace(load_config("bccd/cascade"), name="bccd/cascade_fpn_plus", model=model)
