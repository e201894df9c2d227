r"""The integral loss on blood cells with three whole heads: `bccd/integral` without shared hidden layers.

The one regressor is that of the first head.

    python scripts/train.py --config bccd/integral_own_layers --dataset_dir BCCD \
        --workdir runs/bccd_integral_own_layers --backbone_weights resnet50_1by2_open_nsfw.npz
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """Hidden layers of its own for each classifier."""
    shared = load_config("bccd/integral")
    model = shared.model.replace({"heads.hidden_layers": "own"})
    return dataclasses.replace(shared, name="bccd/integral_own_layers", model=model)
