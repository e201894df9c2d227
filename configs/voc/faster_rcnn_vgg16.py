r"""Faster R-CNN with VGG16 on VOC.

Table 11, "Faster R-CNN, VGG", VOC 2007 test: AP 42.9, AP50 76.4, AP75 44.1.
They are COCO's numbers, which evaluate.py prints below those of VOC's own protocol of 2007.

Published settings: 2 GPUs with 4 images each, 45,000 steps, 6 hours. VGG16's weights of ImageNet, fc6 and fc7
pruned to 2048 units and copied to every stage: here the strongest of the file's 4096, see docs/weights.md.
Keras Applications' are Caffe's; torchvision's expect other pixels. The row has not been reproduced with this
code yet.

    python scripts/train.py --config voc/faster_rcnn_vgg16 --dataset_dir VOCdevkit \
        --workdir runs/faster_rcnn_vgg16 \
        --backbone_weights vgg16_weights_tf_dim_ordering_tf_kernels.h5
"""

from cascade_tf.experiment.config import DataConfig, Experiment
from cascade_tf.models import faster_rcnn_vgg16
from cascade_tf.proposals.anchor_shapes import VOC_ANCHORS
from cascade_tf.training.settings import TrainConfig


def experiment() -> Experiment:
    """What baseline and cascade share: schedule, colours and crops of training, sizes at test."""
    return Experiment(
        name="voc/faster_rcnn_vgg16",
        model=faster_rcnn_vgg16.replace(
            {
                "proposals.match_crowds": True,
                "heads.match_crowds": True,
                "heads.min_side": 1.0,
                "round_sides": True,
                "proposals.anchors": (VOC_ANCHORS,),
                "proposals.min_side": 15.0,
                "proposals.min_object_side": 0.0,
                "proposals.max_outside": None,
                "proposals.pre_nms_train": 3000,
                "output.score_threshold": 0.1,
                "output.nms_iou": 0.3,
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
            undecayed=("*/proposals/objectness*/bias", "*/proposals/offsets*/bias"),
            doubled=("*/proposals/*/bias", "*/heads/*/bias"),
        ),
    )
