r"""Faster R-CNN with VGG16 on COCO.

Table 6, "Faster R-CNN, VGG", COCO val2017 and test-dev: train seconds 0.12, test seconds 0.075, file MiB 278,
val AP 23.6, val AP50 43.9, val AP75 23.0, val APS 8.0, val APM 26.2, val APL 35.5, test dev AP 23.5, test dev
AP50 43.9, test dev AP75 22.6, test dev APS 8.1, test dev APM 25.1, test dev APL 34.7.

Published settings: 2 GPUs with 4 images each, 100,000 steps, 12.5 hours. VGG16's weights of ImageNet, fc6 and
fc7 pruned to 2048 units and copied to every stage: here the strongest of the file's 4096, see
docs/weights.md. Keras Applications' are Caffe's; torchvision's expect other pixels. The row has not been
reproduced with this code yet.

    python scripts/train.py --config coco/faster_rcnn_vgg16 --dataset_dir COCO \
        --workdir runs/faster_rcnn_vgg16 \
        --backbone_weights vgg16_weights_tf_dim_ordering_tf_kernels.h5
"""

from cascade_tf.experiment.config import DataConfig, Experiment
from cascade_tf.models import faster_rcnn_vgg16
from cascade_tf.training.settings import TrainConfig


def experiment() -> Experiment:
    """What baseline and cascade share: schedule, colours and crops of training, sizes at test."""
    return Experiment(
        name="coco/faster_rcnn_vgg16",
        model=faster_rcnn_vgg16.replace(
            {
                "proposals.match_crowds": True,
                "heads.match_crowds": True,
                "heads.min_side": 1.0,
                "round_sides": True,
            }
        ),
        data=DataConfig(photometric_distortion=True, crop=True, min_object_side=5.0),
        train=TrainConfig(
            batch_size=8,
            steps=100_000,
            learning_rate=0.003,
            reference_batch_size=8,
            warmup_steps=0,
            decay_steps=(60_000, 90_000),
            weight_decay=5e-4,
            undecayed=("*/proposals/objectness*/bias", "*/proposals/offsets*/bias"),
            doubled=("*/proposals/*/bias", "*/heads/*/bias"),
        ),
    )
