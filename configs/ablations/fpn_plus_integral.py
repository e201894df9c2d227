r"""The integral loss on the ablations' detector: three classifiers on the same hidden layers, one regressor.

Table 1, "integral loss", COCO val2017: AP 35.4, AP50 57.3, AP60 52.5, AP70 44.4, AP80 29.9, AP90 6.9.

The classifiers learn the labels of IoU 0.5, 0.6 and 0.7 over one draw of RoIs, whose foreground starts at
0.5 (Eq. 14); at test the probability is the mean of all. The paper does not say whether they share hidden
layers, as here, or each has its own, as in `ablations/fpn_plus_integral_own_layers`. `scripts/evaluate.py
--per_stage` measures each classifier by itself as well (Fig. 9 (b)).

Published settings: 8 GPUs with 1 image each, 180,000 steps, 256 RoIs. The authors name no time; 32 hours for
the 280,000 steps of the baseline make 21. The row has not been reproduced with this code yet.

    python scripts/train.py --config ablations/fpn_plus_integral --dataset_dir COCO \
        --workdir runs/fpn_plus_integral --backbone_weights detectron/R-50
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config
from cascade_tf.heads import integral
from cascade_tf.parts import part


def experiment() -> Experiment:
    """The baseline with two further classifiers (Sec. 6.3)."""
    parent = load_config(Path(__file__).with_name("fpn_plus_baseline.py"))
    baseline = parent.model.value("heads")
    same = ("head", "pooling", "num_samples", "match_crowds")
    heads = part(integral, ious=(0.5, 0.6, 0.7), **{name: baseline.value(name) for name in same})
    model = parent.model.replace({"heads": heads})
    return dataclasses.replace(parent, name="ablations/fpn_plus_integral", model=model)
