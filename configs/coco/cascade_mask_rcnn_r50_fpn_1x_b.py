r"""Cascade Mask R-CNN with FPN and ResNet-50 on COCO, strategy (b) of Fig. 6, 1x schedule.

Table 9, "strategy (b)", COCO val2017: AP 35.0, AP50 56.3, AP60 50.8, AP70 43.0, AP80 30.0, AP90 9.3.

Published settings: 8 GPUs with 2 images each, 90,000 steps. The authors' list of models names no time. The
row has not been reproduced with this code yet.

    python scripts/train.py --config coco/cascade_mask_rcnn_r50_fpn_1x_b --dataset_dir COCO \
        --workdir runs/cascade_mask_rcnn_r50_fpn_1x_b --backbone_weights detectron/R-50
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config


def experiment() -> Experiment:
    """The mask head trains on the first stage's boxes."""
    parent = load_config(Path(__file__).with_name("cascade_mask_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace({"heads.masks.stages": (1,)})
    return dataclasses.replace(parent, name="coco/cascade_mask_rcnn_r50_fpn_1x_b", model=model)
