r"""The baseline of `bccd/cascade`: one stage at IoU 0.5, everything else equal.

Its regression is class-agnostic, as in all detectors of the paper (Sec. 6.1.2), so that the two differ in the
number of stages only.

    python scripts/train.py --config bccd/faster --dataset_dir BCCD --workdir runs/bccd_faster \
        --backbone_weights resnet50_1by2_open_nsfw.npz
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The cascade cut down to its first stage."""
    cascade = load_config("bccd/cascade")
    return dataclasses.replace(
        cascade, name="bccd/faster", model=cascade.model.replace({"heads.ious": (0.5,)})
    )
