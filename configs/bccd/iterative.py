r"""Iterative box regression on blood cells: the head of `bccd/faster`, applied three times at test.

Training is that of `bccd/faster`, whose run can be looked at instead:

    python scripts/evaluate.py --workdir runs/bccd_faster --set model.heads.iterations=3 --per_stage

    python scripts/train.py --config bccd/iterative --dataset_dir BCCD --workdir runs/bccd_iterative \
        --backbone_weights resnet50_1by2_open_nsfw.npz
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """Three iterations; the evaluation by stages has a row for one, two and three."""
    faster = load_config("bccd/faster")
    return dataclasses.replace(
        faster, name="bccd/iterative", model=faster.model.replace({"heads.iterations": 3})
    )
