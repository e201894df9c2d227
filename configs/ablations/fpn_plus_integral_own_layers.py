r"""The integral loss on the ablations' detector: three classifiers, each with hidden layers of its own.

The other reading of the paper beside `ablations/fpn_plus_integral`: three heads, the regressor being that of
the first. Its figures for an integral loss, whichever it is: Table 1, "integral loss", COCO val2017: AP 35.4,
AP50 57.3, AP60 52.5, AP70 44.4, AP80 29.9, AP90 6.9.

Published settings: 8 GPUs with 1 image each, 180,000 steps, 256 RoIs. The authors name no time; 32 hours for
the 280,000 steps of the baseline make 21. It has not been reproduced with this code yet.

    python scripts/train.py --config ablations/fpn_plus_integral_own_layers --dataset_dir COCO \
        --workdir runs/fpn_plus_integral_own_layers --backbone_weights detectron/R-50
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """Three heads."""
    parent = load_config(Path(__file__).with_name("fpn_plus_integral.py"))
    model = parent.model.replace({"heads.hidden_layers": "own"})
    return dataclasses.replace(parent, name="ablations/fpn_plus_integral_own_layers", model=model)
