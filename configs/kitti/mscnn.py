r"""MS-CNN on KITTI's cars, trained on the list train, for numbers of one's own on the list val.

The lists are not KITTI's: those of 3DOP and MS-CNN have 3,712 and 3,769 frames, see docs/own_data.md; without
lists, --set data.val_fraction=0.5 halves the frames with labels. The row of the paper's table, which is of
the frames that only the server has labels for, is mscnn_trainval.py.

Published settings: 1 GPU with 4 images each, 25,000 steps after 10,000 of the proposals alone; no time is
published. VGG16's weights of ImageNet. Keras Applications' are Caffe's; torchvision's expect other
pixels. There is no row of it to be reproduced.

The paper's text: --set data.object_scales=() --set model.heads.head.class_agnostic=true

    python scripts/train.py --config kitti/mscnn --dataset_dir KITTI --workdir runs/mscnn_kitti \
        --backbone_weights vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5
"""

from cascade_tf.experiment.config import DataConfig, Experiment
from cascade_tf.models import mscnn_kitti
from cascade_tf.training.settings import TrainConfig


def experiment() -> Experiment:
    """What all of KITTI's rows share: four kinds of vehicles, crops, and the schedule of the list train."""
    return Experiment(
        name="kitti/mscnn",
        model=mscnn_kitti,
        data=DataConfig(
            classes=("Car", "Van", "Truck", "Tram"),
            crop=True,
            crop_size=(576, 768),
            object_scales=(60.0, 480.0),
            min_object_height=35.0,
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
            "model.proposals.box_weight": 0.05,
            "model.backbone.freeze_at": 0,
            "train.steps": 10_000,
            "train.learning_rate": 5e-5,
            "train.decay_steps": (),
        },
    )
