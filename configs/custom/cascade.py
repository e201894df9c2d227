r"""A starting point for one's own images: Cascade R-CNN, ResNet-50, one GPU or a patient CPU.

Expects a folder of COCO layout (`images/`, `instances_train.json`, `instances_val.json`); the number of
classes and their names follow from it. Made for a backbone that has seen many images before; without such
weights train longer, with `--set model.backbone.norm=group --set model.neck.norm=group` and
`--set model.backbone.freeze_at=0`.

What to change first: the steps (`--set train.steps=12000 --set train.decay_steps=8000,11000`), the image size
(`--set model.short_side=800`), and the batch (`--set train.batch_size=8`; the learning rate follows it).

    python scripts/train.py --config custom/cascade --dataset_dir MY_DATA \
        --workdir runs/mine --backbone_weights R-50.npz
"""

from cascade_tf.experiment.config import DataConfig, EvaluationConfig, Experiment
from cascade_tf.models import cascade_rcnn_fpn
from cascade_tf.training.settings import TrainConfig


def experiment() -> Experiment:
    """Three stages, several training sizes, a short schedule."""
    return Experiment(
        name="custom/cascade",
        model=cascade_rcnn_fpn.replace({"backbone.depth": 50, "short_side": 640, "max_side": 1066}),
        data=DataConfig(short_sides=(512, 576, 640, 704)),
        train=TrainConfig(batch_size=4, steps=6000, decay_steps=(4000, 5500), checkpoint_every=1000),
        evaluation=EvaluationConfig(batch_size=1, per_stage=True),
    )
