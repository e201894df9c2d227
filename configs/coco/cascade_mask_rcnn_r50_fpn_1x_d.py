r"""Cascade Mask R-CNN with FPN and ResNet-50 on COCO, strategy (d) of Fig. 6, 1x schedule.

Table 9, "strategy (d)", COCO val2017: AP 35.5, AP50 56.5, AP60 51.2, AP70 43.4, AP80 30.8, AP90 10.0.

Published settings: 8 GPUs with 2 images each, 90,000 steps. The authors' list of models names no time. The
row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_mask_rcnn_r50_fpn_1x_d --dataset_dir COCO \
        --workdir runs/cascade_mask_rcnn_r50_fpn_1x_d --backbone_weights detectron/R-50
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """A mask head on every stage; at test the mean of all three."""
    parent = load_config(Path(__file__).with_name("cascade_mask_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace({"heads.masks.stages": (1, 2, 3)})
    return dataclasses.replace(parent, name="coco/cascade_mask_rcnn_r50_fpn_1x_d", model=model)
