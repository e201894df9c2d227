r"""Faster R-CNN with FPN and ResNeXt-101 64x4d on COCO, 1x schedule.

No table of the paper has it, the list of models beside the authors' Detectron code does, on COCO val2017: AP
41.5, AP50 63.8, AP75 44.9. Published settings: 8 GPUs with 1 image each, 180,000 steps, half the learning
rate. ImageNet weights: X-101-64x4d of the Detectron model zoo, a file to download by hand. The row has not
been reproduced with this code yet.

    python scripts/train.py --config coco/faster_rcnn_x101_64x4d_fpn_1x --dataset_dir COCO \
        --workdir runs/faster_rcnn_x101_64x4d_fpn_1x --backbone_weights X-101-64x4d.pkl
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """64 groups of 4 channels in the 3x3 convolutions, the stride beside them."""
    parent = load_config(Path(__file__).with_name("faster_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace(
        {
            "backbone.depth": 101,
            "backbone.cardinality": 64,
            "backbone.width_per_group": 4,
            "backbone.stride_in_1x1": False,
            "proposals.post_nms_train": 2000,
        }
    )
    train = dataclasses.replace(parent.train, batch_size=8, steps=180_000, decay_steps=(120_000, 160_000))
    return dataclasses.replace(parent, name="coco/faster_rcnn_x101_64x4d_fpn_1x", model=model, train=train)
