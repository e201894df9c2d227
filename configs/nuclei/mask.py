r"""The one-stage baseline of `nuclei/cascade`: Mask R-CNN with the same backbone, schedule and pictures.

Measured: box AP 56.0 (AP90 14.7), mask AP 56.5 (AP90 20.4), 20 minutes of CPU time. The cascade's gain
lies at high IoU, in boxes more than in masks, as in Tables 9 and 10; docs/reproduction.md has both.

    python scripts/train.py --config nuclei/mask --dataset_dir NUCLEI --workdir runs/nuclei_mask \
        --backbone_weights resnet50_1by2_open_nsfw.npz
"""

import dataclasses
import functools
from pathlib import Path

from cascade_tf.config import Experiment, load_config
from cascade_tf.models import mask_rcnn_fpn


def experiment() -> Experiment:
    """The first stage alone, with the mask head on it."""
    parent = load_config(Path(__file__).with_name("cascade.py"))
    model = functools.partial(mask_rcnn_fpn, **parent.model.keywords)
    return dataclasses.replace(parent, name="nuclei/mask", model=model)
