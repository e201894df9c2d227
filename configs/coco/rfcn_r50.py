r"""R-FCN with ResNet-50 on COCO.

Table 6, "R-FCN, ResNet-50", COCO val2017 and test-dev: train seconds 0.19, test seconds 0.07, file MiB 133,
val AP 27.0, val AP50 48.7, val AP75 26.9, val APS 9.8, val APM 30.9, val APL 40.3, test dev AP 27.1, test dev
AP50 49.0, test dev AP75 26.9, test dev APS 10.4, test dev APM 29.7, test dev APL 39.2.

Published settings: 4 GPUs with 1 image each, 280,000 steps, 19 hours. ImageNet weights of the MSRA ResNet
with its normalisation merged, as Detectron has them. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/rfcn_r50 --dataset_dir COCO \
        --workdir runs/rfcn_r50 --backbone_weights detectron/R-50
"""

from cascade_tf.experiment.config import DataConfig, Experiment
from cascade_tf.models import rfcn
from cascade_tf.training.settings import TrainConfig


def experiment() -> Experiment:
    """What baseline and cascade share: schedule, colours and crops of training, sizes at test."""
    return Experiment(
        name="coco/rfcn_r50",
        model=rfcn.replace(
            {
                "proposals.match_crowds": True,
                "heads.match_crowds": True,
                "heads.min_side": 1.0,
                "round_sides": True,
            }
        ),
        data=DataConfig(photometric_distortion=True, crop=True, min_object_side=5.0),
        train=TrainConfig(
            batch_size=4,
            steps=280_000,
            learning_rate=0.003,
            reference_batch_size=4,
            warmup_steps=0,
            decay_steps=(160_000, 240_000),
            weight_decay=1e-4,
            undecayed=("*/proposals/objectness*/bias", "*/proposals/offsets*/bias"),
            doubled=("bias",),
        ),
    )
