r"""MS-CNN on drawn faces in WIDER FACE's layout, the baseline of `drawn/faces/cascade_mscnn`.

The backbone and the schedule are those of `drawn/street/cascade_mscnn`.

    python scripts/make_demo_dataset.py --kind faces --output FACES --num_train 400 --num_val 120 \
        --height 128 --width 208
    python scripts/train.py --config drawn/faces/mscnn --dataset_dir FACES --workdir runs/faces
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config
from cascade_tf.models import mscnn_widerface

TEMPLATES = (
    ((10.0, 10.0), (14.0, 14.0), (20.0, 20.0), (28.0, 28.0)),
    ((40.0, 40.0), (56.0, 56.0)),
    ((80.0, 80.0),),
    ((112.0, 112.0),),
)


def experiment() -> Experiment:
    """Small templates, and pictures enlarged by half, since half of the faces are lower than 12 pixels."""
    street = load_config("drawn/street/cascade_mscnn")
    model = mscnn_widerface.replace(
        {
            "backbone": street.model.value("backbone"),
            "inputs": street.model.value("inputs"),
            "proposals.templates": TEMPLATES,
            "proposals.kernels": tuple(((1, 1),) * len(branch) for branch in TEMPLATES),
            "proposals.hidden": (64, 64, 64, 64),
            "proposals.negatives": "random",
            "proposals.branch_weights": street.model.value("proposals.branch_weights"),
            "proposals.min_object_side": 6.0,
            "proposals.min_side": 4.0,
            "proposals.pre_nms_train": 400,
            "proposals.pre_nms_test": 400,
            "proposals.post_nms_train": 200,
            "proposals.post_nms_test": 150,
            "heads.head.channels": 32,
            "heads.head.units": 128,
            "short_side": 192,
            "max_side": 320,
            "resize": "shorter_side",
        }
    )
    return dataclasses.replace(street, name="drawn/faces/mscnn", model=model)
