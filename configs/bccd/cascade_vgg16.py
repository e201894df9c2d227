r"""Cascade R-CNN on a narrow VGG16, on blood cells, from features that it learns itself on drawn scenes.

Two runs of one configuration: the first learns the drawn scenes from random weights, the second starts from
what it has learnt.

    python scripts/make_demo_dataset.py --output DRAWN --num_train 600 --num_val 60 --height 320 --width 448
    python scripts/train.py --config bccd/cascade_vgg16 --dataset_dir DRAWN --workdir runs/drawn_cascade_vgg16
    python scripts/train.py --config bccd/cascade_vgg16 --dataset_dir BCCD --workdir runs/bccd_cascade_vgg16 \
        --weights runs/drawn_cascade_vgg16
"""

from cascade_tf.experiment.config import DataConfig, EvaluationConfig, Experiment
from cascade_tf.models import cascade_rcnn_vgg16
from cascade_tf.proposals.anchor_shapes import COCO_ANCHORS
from cascade_tf.training.settings import TrainConfig


def experiment() -> Experiment:
    """A quarter of VGG16's channels, all of them trained; anchors and counts scaled with the image size."""
    return Experiment(
        name="bccd/cascade_vgg16",
        model=cascade_rcnn_vgg16.replace(
            {
                "backbone.width": 0.25,
                "backbone.freeze_at": 0,
                # Unlike ImageNet's weights, random ones want pixels of about unit variance.
                "inputs.std": (64.0, 64.0, 64.0),
                # Images are about half as large as those that the anchors were made for.
                "proposals.anchors": (tuple((width / 2, height / 2) for width, height in COCO_ANCHORS),),
                "proposals.channels": 128,
                "proposals.pre_nms_train": 500,
                "proposals.pre_nms_test": 500,
                "proposals.post_nms_train": 300,
                "heads.head.units": 256,
                "heads.num_samples": 128,
                "short_side": 320,
                "max_side": 448,
            }
        ),
        data=DataConfig(),
        train=TrainConfig(
            batch_size=4,
            steps=1400,
            learning_rate=0.02,
            reference_batch_size=4,
            warmup_steps=100,
            warmup_factor=0.1,
            decay_steps=(1040, 1280),
            clip_norm=5.0,
            checkpoint_every=100,
        ),
        evaluation=EvaluationConfig(batch_size=4, per_stage=True),
    )
