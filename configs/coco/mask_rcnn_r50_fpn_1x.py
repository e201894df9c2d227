r"""Mask R-CNN with FPN and ResNet-50 on COCO, 1x schedule.

Table 9, "Mask R-CNN baseline", COCO val2017: AP 33.9, AP50 55.5, AP60 49.8, AP70 41.4, AP80 28.6, AP90 8.3.

Table 10, "ResNet-50", COCO val2017: box AP 37.7, box AP50 59.2, box AP75 40.9, box APS 21.4, box APM 40.8,
box APL 49.8, mask AP 33.9, mask AP50 55.8, mask AP75 35.8, mask APS 14.9, mask APM 36.3, mask APL 50.9.

Published settings: 8 GPUs with 2 images each, 90,000 steps. The authors' list of models names no time.
detectron2 reports 0.261 s a step on 8 V100, which makes 6.5 hours. The row has not been reproduced with this
code yet.

    python scripts/train.py --config coco/mask_rcnn_r50_fpn_1x --dataset_dir COCO \
        --workdir runs/mask_rcnn_r50_fpn_1x --backbone_weights detectron/R-50
"""

import dataclasses
from pathlib import Path

from cascade_tf.experiment.config import Experiment, load_config
from cascade_tf.heads import mask_heads
from cascade_tf.parts import part


def experiment() -> Experiment:
    """The box detector with a mask head."""
    parent = load_config(Path(__file__).with_name("faster_rcnn_r50_fpn_1x.py"))
    model = parent.model.replace({"heads.masks": part(mask_heads)})
    return dataclasses.replace(parent, name="coco/mask_rcnn_r50_fpn_1x", model=model)
