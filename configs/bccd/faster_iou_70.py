r"""The baseline of `bccd/cascade`, trained at an IoU of 0.7 instead of 0.5.

Everything else is equal; foreground is scarcer.

    python scripts/train.py --config bccd/faster_iou_70 --dataset_dir BCCD --workdir runs/bccd_faster_iou_70 \
        --backbone_weights resnet50_1by2_open_nsfw.npz
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """One stage, whose foreground starts at 0.7."""
    faster = load_config("bccd/faster")
    return dataclasses.replace(
        faster, name="bccd/faster_iou_70", model=faster.model.replace({"heads.ious": (0.7,)})
    )
