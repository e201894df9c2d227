r"""The baseline of `bccd/cascade_rfcn`: one stage at IoU 0.5, everything else equal.

The two differ in the number of stages only.

    python scripts/train.py --config bccd/rfcn --dataset_dir BCCD --workdir runs/bccd_rfcn \
        --backbone_weights resnet50_1by2_open_nsfw.npz
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The cascade cut down to its first stage."""
    cascade = load_config("bccd/cascade_rfcn")
    return dataclasses.replace(cascade, name="bccd/rfcn", model=cascade.model.replace({"heads.ious": (0.5,)}))
