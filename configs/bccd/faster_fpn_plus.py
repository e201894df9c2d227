r"""The baseline of `bccd/cascade_fpn_plus`: one stage at IoU 0.5, everything else equal.

The two differ in the number of stages only.

    python scripts/train.py --config bccd/faster_fpn_plus --dataset_dir BCCD \
        --workdir runs/bccd_faster_fpn_plus --backbone_weights resnet50_1by2_open_nsfw.npz
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The cascade cut down to its first stage."""
    cascade = load_config("bccd/cascade_fpn_plus")
    return dataclasses.replace(
        cascade, name="bccd/faster_fpn_plus", model=cascade.model.replace({"heads.ious": (0.5,)})
    )
