r"""The integral loss on blood cells: `bccd/faster` with two further classifiers, everything else equal.

    python scripts/train.py --config bccd/integral --dataset_dir BCCD --workdir runs/bccd_integral \
        --backbone_weights resnet50_1by2_open_nsfw.npz

Its evaluations by stages measure each classifier by itself (Fig. 9 (b)), and last the mean of all.
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config
from cascade_tf.heads import integral
from cascade_tf.parts import part


def experiment() -> Experiment:
    """Classifiers of 0.5, 0.6 and 0.7 on the same hidden layers."""
    faster = load_config("bccd/faster")
    baseline = faster.model.value("heads")
    same = {name: baseline.value(name) for name in ("head", "pooling", "num_samples")}
    heads = part(integral, ious=(0.5, 0.6, 0.7), **same)
    return dataclasses.replace(faster, name="bccd/integral", model=faster.model.replace({"heads": heads}))
