r"""The baseline of the ablations: Faster R-CNN with FPN+ and ResNet-50, the short schedule.

Table 1, "FPN+ baseline", COCO val2017: AP 34.9, AP50 57.0, AP60 51.9, AP70 43.6, AP80 29.7, AP90 7.1.

Table 2, "FPN+ baseline", COCO val2017: AP 34.9, AP50 57.0, AP60 51.9, AP70 43.6, AP80 29.7, AP90 7.1.

Table 4, "1 stage", COCO val2017: AP 34.9, AP50 57.0, AP60 51.9, AP70 43.6, AP80 29.7, AP90 7.1.

Published settings: 8 GPUs with 1 image each, 180,000 steps, 256 RoIs. The authors name no time; 32 hours for
the 280,000 steps of the same baseline make 21. The row has not been reproduced with this code yet.

    python scripts/train.py --config ablations/fpn_plus_baseline --dataset_dir COCO \
        --workdir runs/fpn_plus_baseline --backbone_weights detectron/R-50
"""

import dataclasses

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """One drop of the learning rate (Sec. 6.1.3)."""
    parent = load_config("coco/faster_rcnn_r50_fpn_plus")
    train = dataclasses.replace(parent.train, steps=180_000, decay_steps=(120_000,))
    return dataclasses.replace(parent, name="ablations/fpn_plus_baseline", train=train)
