"""The one-stage baseline of the demonstration: same pictures, same schedule, Faster R-CNN.

Beside `cascade.py` it shows the paper's claim in the small: the cascade's gain grows with the IoU that is
asked for.

    python scripts/demo.py --config demo/faster --workdir runs/demo_baseline
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The cascade cut down to its first stage."""
    parent = load_config(Path(__file__).with_name("cascade.py"))
    model = parent.model.replace({"heads.ious": (0.5,), "heads.masks": None})
    return dataclasses.replace(parent, name="demo/faster", model=model)
