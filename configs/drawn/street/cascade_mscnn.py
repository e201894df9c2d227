r"""The cascade of MS-CNN on drawn streets in KITTI's layout, small and from random weights.

It exists to compare the cascade with MS-CNN itself (`drawn/street/mscnn`); docs/reproduction.md has the
numbers of both.

    python scripts/make_demo_dataset.py --kind street --output STREET --num_train 400 --num_val 120 \
        --height 192 --width 320
    python scripts/train.py --config drawn/street/cascade_mscnn --dataset_dir STREET --workdir runs/street
"""

from cascade_tf.backbones import ResNet
from cascade_tf.experiment.config import EvaluationConfig, Experiment
from cascade_tf.models import cascade_mscnn_kitti
from cascade_tf.parts import part
from cascade_tf.training.settings import TrainConfig

# The authors' for cars, 0.3 times as large as the objects are, and upright ones for people.
TEMPLATES = (
    ((18.0, 18.0), (25.0, 25.0), (13.0, 25.0)),
    ((36.0, 36.0), (50.0, 50.0), (18.0, 36.0), (25.0, 50.0)),
    ((72.0, 72.0), (100.0, 100.0), (36.0, 72.0)),
    ((144.0, 144.0),),
)
KERNELS = (
    ((5, 5), (7, 7), (5, 3)),
    ((5, 5), (7, 7), (5, 3), (7, 5)),
    ((5, 5), (7, 7), (5, 3)),
    ((5, 5),),
)
# VGG16, which does not normalise, learns too slowly from random weights. The maps are of the strides of its
# conv4_3 and conv5_3.
BACKBONE = part(ResNet, depth=14, width=0.25, norm="group", freeze_at=0, levels=("C3", "C4"))
TRAIN = TrainConfig(
    batch_size=4,
    steps=500,
    learning_rate=0.04,
    reference_batch_size=4,
    warmup_steps=50,
    warmup_factor=0.1,
    decay_steps=(380, 470),
    clip_norm=20.0,
    checkpoint_every=100,
)


def experiment() -> Experiment:
    """Templates, channels and counts for small pictures, and a backbone that learns from nothing."""
    return Experiment(
        name="drawn/street/cascade_mscnn",
        model=cascade_mscnn_kitti.replace(
            {
                "backbone": BACKBONE,
                "inputs.std": (64.0, 64.0, 64.0),
                "neck.channels": 64,
                "proposals.templates": TEMPLATES,
                "proposals.kernels": KERNELS,
                "proposals.hidden": (64, None, None, None),
                # As in the authors' other networks: offsets of deviation 1 are learnt slowly.
                "proposals.std": (0.1, 0.1, 0.2, 0.2),
                "proposals.negatives": "random",
                # The heads' losses, one stage's above all, are small beside those of so many templates.
                "proposals.branch_weights": (0.27, 0.3, 0.3, 0.3),
                "proposals.min_object_side": (0.0, 10.0),
                "proposals.min_side": 5.0,
                "proposals.pre_nms_train": 400,
                "proposals.pre_nms_test": 300,
                "proposals.post_nms_train": 150,
                "proposals.post_nms_test": 80,
                "heads.num_samples": 64,
                "heads.head.channels": 32,
                "heads.head.units": 128,
                # More than a small picture has.
                "output.max_detections": 100,
                "short_side": 192,
                "max_side": 320,
            }
        ),
        train=TRAIN,
        evaluation=EvaluationConfig(batch_size=4),
    )
