r"""Cascade Mask R-CNN on 538 pictures of cell nuclei (2018 Data Science Bowl), half-width ResNet-50.

One class, many small objects of which every one has a mask: 31 a picture, up to 151. Small enough for two CPU
cores: pictures at 384 pixels, ImageNet features of half the usual channels. It exists to compare a cascade of
strategy (c) with its own one-stage baseline (`nuclei/mask`): the same backbone, schedule, seed and pictures.
Measured: box AP 57.3 (AP90 20.0), mask AP 57.3 (AP90 21.5), 30 minutes of CPU time; docs/reproduction.md has
the numbers of both.

    python scripts/train.py --config nuclei/cascade --dataset_dir NUCLEI --workdir runs/nuclei_cascade \
        --backbone_weights resnet50_1by2_open_nsfw.npz
"""

from cascade_tf.experiment.config import EvaluationConfig, Experiment
from cascade_tf.models import cascade_mask_rcnn_fpn
from cascade_tf.training.settings import TrainConfig


def experiment() -> Experiment:
    """Three stages, a mask head on the last; anchors and pooling levels for objects of 10 to 60 pixels."""
    return Experiment(
        name="nuclei/cascade",
        model=cascade_mask_rcnn_fpn.replace(
            {
                "backbone.depth": 50,
                "backbone.width": 0.5,
                "backbone.stem_channels": 64,
                "neck.channels": 96,
                "inputs.mean": (104.0, 117.0, 123.0),
                "proposals.anchor_sizes": (12, 24, 48, 96, 192),
                "proposals.aspect_ratios": (0.5, 1.0, 2.0),
                "proposals.pre_nms_train": 1000,
                "proposals.pre_nms_test": 1000,
                "proposals.post_nms_train": 400,
                "proposals.post_nms_test": 400,
                "heads.head.units": 256,
                "heads.masks.head.channels": 96,
                "heads.pooling.canonical_size": 112.0,
                "heads.masks.pooling.canonical_size": 112.0,
                "heads.num_samples": 192,
                "output.max_detections": 200,
                "short_side": 384,
                "max_side": 544,
            }
        ),
        train=TrainConfig(
            batch_size=2,
            steps=1600,
            learning_rate=0.01,
            reference_batch_size=2,
            warmup_steps=200,
            warmup_factor=0.1,
            decay_steps=(1200, 1450),
            clip_norm=20.0,
            checkpoint_every=200,
        ),
        evaluation=EvaluationConfig(batch_size=2, per_stage=True),
    )
