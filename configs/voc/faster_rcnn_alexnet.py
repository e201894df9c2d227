r"""Faster R-CNN with AlexNet on VOC.

Table 11, "Faster R-CNN, AlexNet", VOC 2007 test: AP 29.4, AP50 63.2, AP75 23.7.
They are COCO's numbers, which evaluate.py prints below those of VOC's own protocol of 2007.

Published settings: 2 GPUs with 4 images each, 45,000 steps, 2.5 hours. AlexNet's weights of ImageNet, fc6 and
fc7 pruned to 2048 units and copied to every stage: here the strongest of the 4096 of Caffe's file, see
docs/weights.md. The row has not been reproduced with this code yet.

    python scripts/train.py --config voc/faster_rcnn_alexnet --dataset_dir VOCdevkit \
        --workdir runs/faster_rcnn_alexnet --backbone_weights bvlc_alexnet.caffemodel
"""

from cascade_tf.experiment.config import DataConfig, Experiment
from cascade_tf.models import faster_rcnn_alexnet
from cascade_tf.training.settings import TrainConfig


def experiment() -> Experiment:
    """What baseline and cascade share: schedule, colours and crops of training, sizes at test."""
    return Experiment(
        name="voc/faster_rcnn_alexnet",
        model=faster_rcnn_alexnet.replace(
            {
                "proposals.match_crowds": True,
                "heads.match_crowds": True,
                "heads.min_side": 1.0,
                "round_sides": True,
                "proposals.min_object_side": 0.0,
            }
        ),
        data=DataConfig(photometric_distortion=True, crop=True),
        train=TrainConfig(
            batch_size=8,
            steps=45_000,
            learning_rate=0.001,
            reference_batch_size=8,
            warmup_steps=0,
            decay_steps=(30_000,),
            weight_decay=5e-4,
            undecayed=(
                "conv?/bias",
                "*/proposals/objectness*/bias",
                "*/proposals/offsets*/bias",
                "*/box_head1/fc?/bias",
            ),
            doubled=("bias",),
        ),
    )
