r"""Iterative box regression: the head of the ablations' baseline, applied three times at test.

Table 1, "iterative BBox", COCO val2017: AP 35.4, AP50 57.2, AP60 52.1, AP70 44.2, AP80 30.4, AP90 8.1.

Training is that of `ablations/fpn_plus_baseline`, whose run serves as well: `scripts/evaluate.py --workdir
runs/fpn_plus_baseline --set model.heads.iterations=3`. With `--per_stage` the rows are those of one, two and
three iterations (Fig. 9 (a)). The paper does not say whose score counts: here it is the classifier's on the
last boxes, as in the cascade; `--set model.heads.ensemble=first_stage` takes its word on the proposals,
`own_boxes` the mean of all.

Published settings: 8 GPUs with 1 image each, 180,000 steps, 256 RoIs. The authors name no time; 32 hours for
the 280,000 steps of the same baseline make 21. The row has not been reproduced with this code yet.

    python scripts/train.py --config ablations/fpn_plus_iterative --dataset_dir COCO \
        --workdir runs/fpn_plus_iterative --backbone_weights detectron/R-50
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """Three iterations (Sec. 6.3)."""
    parent = load_config(Path(__file__).with_name("fpn_plus_baseline.py"))
    model = parent.model.replace({"heads.iterations": 3})
    return dataclasses.replace(parent, name="ablations/fpn_plus_iterative", model=model)
