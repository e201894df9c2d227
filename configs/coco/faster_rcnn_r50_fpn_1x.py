r"""Faster R-CNN with FPN and ResNet-50 on COCO, 1x schedule.

Table 7, "ResNet-50", COCO val2017: AP 36.7, AP50 58.4, AP75 39.6, APS 21.1, APM 39.8, APL 48.1.

Table 8, "FPN" (scripts/propose.py), COCO val2017: AR@100 47.8, ARs@100 32.2, ARm@100 54.9, ARl@100 65.2,
AR@1k 59.1, ARs@1k 48.0, ARm@1k 66.3, ARl@1k 68.4.

Published settings: 8 GPUs with 2 images each, 90,000 steps. ImageNet weights of the Detectron model zoo (BGR,
stride in the 1x1 convolution). The authors' list of models names no time. detectron2 reports 0.210 s a step
on 8 V100, which makes 5 hours. The row has not been reproduced with this code yet.

    python scripts/train.py --config coco/faster_rcnn_r50_fpn_1x --dataset_dir COCO \
        --workdir runs/faster_rcnn_r50_fpn_1x --backbone_weights detectron/R-50
"""

from cascade_tf.experiment.config import Experiment
from cascade_tf.models import faster_rcnn_fpn
from cascade_tf.training.settings import TrainConfig


def experiment() -> Experiment:
    """One class-aware stage, as the public models of Detectron; what all rows on Detectron share is here."""
    return Experiment(
        name="coco/faster_rcnn_r50_fpn_1x",
        model=faster_rcnn_fpn.replace(
            {
                "backbone.depth": 50,
                "inputs.mean": (102.9801, 115.9465, 122.7717),
                "heads.redundant_iou": 1.0,
            }
        ),
        train=TrainConfig(doubled=("bias",), decay_biases=False),
    )
