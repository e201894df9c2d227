r"""The cascade of MS-CNN on drawn faces; it differs from `drawn/faces/mscnn` as the authors' networks do.

Pictures are drawn as there.

    python scripts/train.py --config drawn/faces/cascade_mscnn --dataset_dir FACES --workdir runs/cascade
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config
from cascade_tf.parts import part
from cascade_tf.pooling import GridROIAlign


def experiment() -> Experiment:
    """Three stages, which read conv4_3's stand-in as it is instead of enlarged."""
    baseline = load_config("drawn/faces/mscnn")
    model = baseline.model.replace(
        {
            "neck.enlarged": False,
            "heads.ious": (0.45, 0.65, 0.75),
            "heads.pooling": part(
                GridROIAlign, output_size=5, levels=("P3",), strides=(8,), context_ratio=0.25
            ),
        }
    )
    return dataclasses.replace(baseline, name="drawn/faces/cascade_mscnn", model=model)
