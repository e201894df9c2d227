r"""The one-stage baseline of `nuclei/cascade`: Mask R-CNN with the same backbone, schedule and pictures.

Measured: box AP 56.0 (AP90 14.7), mask AP 56.5 (AP90 20.4), 20 minutes of CPU time. The cascade's gain
lies at high IoU, in boxes more than in masks, as in Tables 9 and 10; docs/reproduction.md has both.

    python scripts/train.py --config nuclei/mask --dataset_dir NUCLEI --workdir runs/nuclei_mask \
        --backbone_weights resnet50_1by2_open_nsfw.npz
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The first stage alone, with the mask head on it."""
    parent = load_config(Path(__file__).with_name("cascade.py"))
    model = parent.model.replace({"heads.ious": (0.5,), "heads.head.class_agnostic": False})
    return dataclasses.replace(parent, name="nuclei/mask", model=model)
