r"""The cascade of the ablations without new statistics.

Table 3, "rising IoU, same statistics, decay", COCO val2017: AP 38.5, AP50 58.4, AP60 54.1, AP70 47.1, AP80
35.0, AP90 13.1.

Published settings: 8 GPUs with 1 image each, 180,000 steps, 256 RoIs. The authors name no time; 36 hours for
the 280,000 steps of the same cascade make 23. The row has not been reproduced with this code yet.

    python scripts/train.py --config ablations/fpn_plus_same_statistics --dataset_dir COCO \
        --workdir runs/fpn_plus_same_statistics --backbone_weights detectron/R-50
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The statistics of the first stage in all stages."""
    parent = load_config(Path(__file__).with_name("fpn_plus_cascade.py"))
    model = parent.model.replace({"heads.update_statistics": False})
    return dataclasses.replace(parent, name="ablations/fpn_plus_same_statistics", model=model)
