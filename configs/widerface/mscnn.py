r"""MS-CNN on WIDER FACE.

Table 14, "AP50", WiderFace val: Easy 91.1, Medium 90.6, Hard 81.0.
Table 14, "AP75", WiderFace val: Easy 59.7, Medium 61.3, Hard 40.7.

Published settings: 1 GPU with 8 images each, 25,000 steps after 10,000 of the proposals alone; no time is
published. The authors' solver adds the gradients of two batches of 4 images for an update, which is one
batch of 8 here. VGG16's weights of ImageNet. Keras Applications' are Caffe's; torchvision's expect other
pixels. The rows have not been reproduced with this code yet.

The paper's text: --set train.batch_size=4 --set model.heads.ious=0.5

The rate goes with the batch: 4 images learn at the 0.0005 of the text.

    python scripts/train.py --config widerface/mscnn --dataset_dir WIDER --workdir runs/mscnn_widerface \
        --backbone_weights vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5
"""

from cascade_tf.experiment.config import DataConfig, Experiment
from cascade_tf.models import mscnn_widerface
from cascade_tf.training.settings import TrainConfig


def experiment() -> Experiment:
    """What baseline and cascade share: crops of the images at their own size, and the schedule."""
    return Experiment(
        name="widerface/mscnn",
        model=mscnn_widerface,
        data=DataConfig(crop=True, crop_size=(512, 512), min_object_side=8.0, aspect_grouping=False),
        train=TrainConfig(
            batch_size=8,
            steps=25_000,
            learning_rate=1e-3,
            reference_batch_size=8,
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
            "train.batch_size": 4,
            "train.reference_batch_size": 4,
            "train.steps": 10_000,
            "train.learning_rate": 1e-4,
            "train.decay_steps": (),
        },
    )
