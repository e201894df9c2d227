r"""MS-CNN, the baseline of `drawn/street/cascade_mscnn`; the two differ as the authors' networks for KITTI.

Pictures are drawn as there.

    python scripts/train.py --config drawn/street/mscnn --dataset_dir STREET --workdir runs/mscnn
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """One stage, with boxes for each class."""
    cascade = load_config("drawn/street/cascade_mscnn")
    model = cascade.model.replace(
        {
            "heads.ious": (0.5,),
            "heads.head.class_agnostic": False,
            "heads.background_range": (0.1, 0.49),
        }
    )
    return dataclasses.replace(cascade, name="drawn/street/mscnn", model=model)
