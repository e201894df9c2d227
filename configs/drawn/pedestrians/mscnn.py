r"""MS-CNN, the baseline of `drawn/pedestrians/cascade_mscnn`: one stage, everything else equal.

Pictures are drawn as there.

    python scripts/train.py --config drawn/pedestrians/mscnn --dataset_dir PEDESTRIANS --workdir runs/mscnn
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The cascade cut down to its first stage, as the authors' two networks for CityPersons differ."""
    cascade = load_config("drawn/pedestrians/cascade_mscnn")
    model = cascade.model.replace({"heads.ious": (0.45,)})
    return dataclasses.replace(cascade, name="drawn/pedestrians/mscnn", model=model)
