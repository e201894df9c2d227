r"""MS-CNN on KITTI's cars, trained on all frames with labels, for the benchmark's server.

Table 12, "MS-CNN", KITTI test: Easy 90.22, Moderate 89.08, Hard 76.5.

Published settings: 1 GPU with 4 images each, 35,000 steps after 15,000 of the proposals alone; no time is
published. VGG16's weights of ImageNet. Keras Applications' are Caffe's; torchvision's expect other
pixels. The row has not been reproduced with this code yet: its frames are measured by the server alone,
see docs/mscnn.md. What training itself measures are frames that it learns from.

The paper's text: --set train.steps=25000 --set train.decay_steps=10000,20000 --set data.object_scales=()
--set model.heads.head.class_agnostic=true

    python scripts/train.py --config kitti/mscnn_trainval --dataset_dir KITTI --workdir runs/mscnn_kitti \
        --backbone_weights vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """All 7,481 frames and a longer schedule; without lists a part of them is measured at the end."""
    parent = load_config(Path(__file__).with_name("mscnn.py"))
    return dataclasses.replace(
        parent,
        name="kitti/mscnn_trainval",
        data=dataclasses.replace(parent.data, train_split="trainval", val_fraction=0.05),
        train=dataclasses.replace(parent.train, steps=35_000, decay_steps=(15_000, 30_000)),
        first_step={**parent.first_step, "train.steps": 15_000},
    )
