"""What masks cost in the batches of two large images full of objects."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

# Promised for two images of 1333 x 800 with a hundred objects each, in bytes.
LIMIT = 1e9
TIMEOUT = 300  # seconds
MEASURE = """
import re, sys
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.pipeline import train_batches

def read(folder, masks):
    data = read_dataset_dir(folder, "train", segmentations=masks)
    batches = iter(train_batches(data, batch_size=2, short_sides=(800,), max_side=1333, masks=masks))
    for _ in range(6):
        batch, targets = next(batches)
    if masks:
        assert targets.masks.shape[:2] == (2, 100), targets.masks.shape

read(sys.argv[1], sys.argv[2] == "True")
print(1024 * int(re.search("VmHWM:[^0-9]*([0-9]+) kB", open("/proc/self/status").read()).group(1)))
"""


@pytest.fixture
def crowded(tmp_path):
    """Two images of COCO's size, a hundred polygons of twenty corners each."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "thing"}]}
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    for image_id in (1, 2):
        pixels = rng.integers(0, 256, (480, 800, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{image_id}.jpg")
        content["images"].append(
            {"id": image_id, "file_name": f"{image_id}.jpg", "width": 800, "height": 480}
        )
        for _ in range(100):
            x, y, radius = rng.uniform(60, 740), rng.uniform(60, 420), rng.uniform(5, 60)
            corners = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "bbox": [x - radius, y - radius, 2 * radius, 2 * radius],
                    "area": 3.0 * radius**2,
                    "iscrowd": 0,
                    "segmentation": [corners.ravel().tolist()],
                }
            )
    (tmp_path / "instances_train.json").write_text(json.dumps(content))
    return tmp_path


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_masks_of_crowded_batches_are_bounded(crowded):
    peaks = []
    for masks in (False, True):
        command = [sys.executable, "-c", MEASURE, str(crowded), str(masks)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT)
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] - peaks[0] < LIMIT
