r"""MS-CNN on CityPersons.

Table 13, "MR50", CityPersons val: Reasonable 13.07, Small 40.42, Heavy 53.55, All 38.74.
Table 13, "MR75", CityPersons val: Reasonable 38.23, Small 59.84, Heavy 85.06, All 65.56.
They are miss rates, lower is better. Which pedestrians are Small the paper does not say: docs/protocols.md.

Published settings: 1 GPU with 4 images each, 25,000 steps after 10,000 of the proposals alone; no time is
published. VGG16's weights of ImageNet. Keras Applications' are Caffe's; torchvision's expect other
pixels. The rows have not been reproduced with this code yet.

The paper's text: --set model.heads.ious=0.5 --set data.object_scales=()

    python scripts/train.py --config citypersons/mscnn --dataset_dir CityPersons \
        --workdir runs/mscnn_citypersons \
        --backbone_weights vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5
"""

from cascade_tf.experiment.config import DataConfig, Experiment
from cascade_tf.models import mscnn_citypersons
from cascade_tf.training.settings import TrainConfig


def experiment() -> Experiment:
    """What baseline and cascade share: crops of the images at 1.3 times their size, and the schedule."""
    return Experiment(
        name="citypersons/mscnn",
        model=mscnn_citypersons,
        data=DataConfig(
            crop=True,
            crop_size=(960, 960),
            object_scales=(40.0, 475.0),
            min_object_height=40.0,
            aspect_grouping=False,
        ),
        train=TrainConfig(
            batch_size=4,
            steps=25_000,
            learning_rate=5e-4,
            reference_batch_size=4,
            warmup_steps=0,
            decay_steps=(10_000, 20_000),
            weight_decay=5e-4,
            undecayed=("*/neck/*/bias", "*/proposals/*/bias", "*/heads/*/conv1/bias"),
            doubled=("*/neck/*/bias", "*/proposals/*/bias", "*/heads/*/bias"),
        ),
        first_step={
            "model.learns": "proposals",
            "model.proposals.negatives": "random",
            "model.proposals.box_weight": 0.5,
            "train.steps": 10_000,
            "train.learning_rate": 5e-5,
            "train.decay_steps": (),
        },
    )
