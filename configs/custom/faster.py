r"""The one-stage baseline of `cascade.py` on the same images: same schedule, Faster R-CNN instead.

Trained beside `cascade.py` it shows what the cascade gains on these images; expect most of it at high IoU
(AP85 and AP90), where the paper reports it.

    python scripts/train.py --config custom/faster --dataset_dir MY_DATA \
        --workdir runs/base --backbone_weights R-50.npz
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The cascade cut down to its first stage."""
    parent = load_config(Path(__file__).with_name("cascade.py"))
    model = parent.model.replace({"heads.ious": (0.5,)})
    return dataclasses.replace(parent, name="custom/faster", model=model)
