r"""The cascade of MS-CNN on drawn pedestrians in CityPersons' layout.

It exists to compare the cascade with MS-CNN itself; the backbone and the schedule are those of
`drawn/street/cascade_mscnn`.

    python scripts/make_demo_dataset.py --kind pedestrians --output PEDESTRIANS --num_train 400 \
        --num_val 120 --height 192 --width 320
    python scripts/train.py --config drawn/pedestrians/cascade_mscnn --dataset_dir PEDESTRIANS \
        --workdir runs/pedestrians
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config
from cascade_tf.models import cascade_mscnn_citypersons

# The authors' are from 60 to 672 pixels high, for pictures of seven times this height.
TEMPLATES = (
    ((10.0, 25.0), (14.0, 34.0)),
    ((20.0, 48.0), (28.0, 67.0)),
    ((40.0, 96.0), (54.0, 130.0)),
    ((70.0, 170.0),),
)
KERNELS = (((5, 3), (7, 5)), ((5, 3), (7, 5)), ((5, 3), (7, 5)), ((5, 3),))


def experiment() -> Experiment:
    """Templates, channels and counts for small pictures."""
    street = load_config("drawn/street/cascade_mscnn")
    model = cascade_mscnn_citypersons.replace(
        {
            "backbone": street.model.value("backbone"),
            "inputs": street.model.value("inputs"),
            "neck.channels": 64,
            "proposals.templates": TEMPLATES,
            "proposals.kernels": KERNELS,
            "proposals.hidden": (64, None, None, None),
            "proposals.negatives": "random",
            "proposals.branch_weights": street.model.value("proposals.branch_weights"),
            "proposals.min_object_side": (0.0, 16.0),
            "proposals.min_side": 5.0,
            "proposals.pre_nms_train": 400,
            "proposals.pre_nms_test": 300,
            "proposals.post_nms_train": 150,
            "proposals.post_nms_test": 80,
            "heads.head.channels": 32,
            "heads.head.units": 128,
            # More than a small picture has.
            "output.max_detections": 100,
            "short_side": 192,
            "max_side": 320,
        }
    )
    return dataclasses.replace(street, name="drawn/pedestrians/cascade_mscnn", model=model)
