r"""Cascade R-CNN on the 364 pictures of the Blood Cell Count and Detection set, from a half-width ResNet-50.

Small enough for two CPU cores: images at 320 pixels, ImageNet features of half the usual channels, 700
steps of 4 images. It exists to compare a cascade with its own one-stage baseline (`bccd/faster`): the same
backbone, schedule, seed and images; docs/reproduction.md has the numbers of both and what the run took.

    python scripts/train.py --config bccd/cascade --dataset_dir BCCD --workdir runs/bccd_cascade \
        --backbone_weights resnet50_1by2_open_nsfw.npz
"""

from cascade_tf.experiment.config import DataConfig, EvaluationConfig, Experiment
from cascade_tf.models import cascade_rcnn_fpn
from cascade_tf.training.settings import TrainConfig


def experiment() -> Experiment:
    """Three stages; anchors, pooling levels and sample counts scaled with the image size."""
    return Experiment(
        name="bccd/cascade",
        model=cascade_rcnn_fpn.replace(
            {
                "backbone.depth": 50,
                "backbone.width": 0.5,
                "backbone.stem_channels": 64,
                "neck.channels": 64,
                "inputs.mean": (104.0, 117.0, 123.0),
                "proposals.anchor_sizes": (16, 32, 64, 128, 256),
                "proposals.pre_nms_train": 500,
                "proposals.pre_nms_test": 500,
                "proposals.post_nms_train": 300,
                "proposals.post_nms_test": 300,
                "heads.head.units": 256,
                "heads.pooling.canonical_size": 112.0,
                "heads.num_samples": 128,
                "short_side": 320,
                "max_side": 448,
            }
        ),
        data=DataConfig(),
        train=TrainConfig(
            batch_size=4,
            steps=700,
            learning_rate=0.03,
            warmup_steps=100,
            warmup_factor=0.1,
            decay_steps=(520, 640),
            clip_norm=20.0,
            checkpoint_every=100,
        ),
        evaluation=EvaluationConfig(batch_size=4, per_stage=True),
    )
