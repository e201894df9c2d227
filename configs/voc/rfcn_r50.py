r"""R-FCN with ResNet-50 on VOC.

Table 11, "R-FCN, ResNet-50", VOC 2007 test: AP 44.8, AP50 77.5, AP75 46.8.
They are COCO's numbers, which evaluate.py prints below those of VOC's own protocol of 2007.

Published settings: 2 GPUs with 2 images each, 90,000 steps, 8 hours. ImageNet weights of the MSRA ResNet with
its normalisation merged, as Detectron has them. The row has not been reproduced with this code yet.

    python scripts/train.py --config voc/rfcn_r50 --dataset_dir VOCdevkit \
        --workdir runs/rfcn_r50 --backbone_weights detectron/R-50
"""

from cascade_tf.experiment.config import DataConfig, Experiment
from cascade_tf.models import rfcn
from cascade_tf.proposals.anchor_shapes import VOC_ANCHORS
from cascade_tf.training.settings import TrainConfig


def experiment() -> Experiment:
    """What baseline and cascade share: schedule, colours and crops of training, sizes at test."""
    return Experiment(
        name="voc/rfcn_r50",
        model=rfcn.replace(
            {
                "proposals.match_crowds": True,
                "heads.match_crowds": True,
                "heads.min_side": 1.0,
                "round_sides": True,
                "heads.num_samples": 128,
                "proposals.anchors": (VOC_ANCHORS,),
                "proposals.min_side": 15.0,
                "proposals.min_object_side": 0.0,
                "proposals.max_outside": None,
                "proposals.score_threshold_train": 0.001,
                "proposals.score_threshold_test": 0.005,
                "proposals.pre_nms_train": 5000,
                "output.score_threshold": 0.1,
                "output.nms_iou": 0.3,
            }
        ),
        data=DataConfig(crop=True),
        train=TrainConfig(
            batch_size=4,
            steps=90_000,
            learning_rate=0.002,
            reference_batch_size=4,
            warmup_steps=0,
            decay_steps=(60_000,),
            weight_decay=1e-4,
            undecayed=("*/proposals/objectness*/bias", "*/proposals/offsets*/bias"),
            doubled=("bias",),
        ),
    )
