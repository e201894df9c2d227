"""Three images that a detector of any family can learn by heart, and the run that does so."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from PIL import Image, ImageDraw

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.pipeline import train_batches
from cascade_tf.experiment.config import Experiment, build_detector, with_classes, write_experiment
from cascade_tf.training.loop import Trainer

SIDE = 128
# Objects of each image: class id of the file, box.
IMAGES = (
    ((20, (12, 20, 52, 60)), (10, (70, 66, 116, 112))),
    ((10, (30, 24, 66, 60)), (10, (72, 80, 118, 120)), (20, (84, 10, 120, 46))),
    ((20, (40, 44, 100, 104)),),
)


def write_dataset(folder: Path) -> Path:
    """Red discs (id 10) and blue squares (id 20) on grey, in COCO layout; both splits are the same."""
    (folder / "images").mkdir()
    annotations = []
    for image_id, objects in enumerate(IMAGES, start=1):
        image = Image.new("RGB", (SIDE, SIDE), (90, 100, 95))
        for category, box in objects:
            draw = ImageDraw.Draw(image)
            corners = (box[0], box[1], box[2] - 1, box[3] - 1)
            if category == 10:
                draw.ellipse(corners, fill=(210, 40, 30))
            else:
                draw.rectangle(corners, fill=(30, 60, 220))
            size = [box[2] - box[0], box[3] - box[1]]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category,
                    "bbox": [*box[:2], *size],
                    "area": size[0] * size[1],
                    "iscrowd": 0,
                }
            )
        image.save(folder / "images" / f"{image_id}.png")
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": SIDE, "height": SIDE} for i in (1, 2, 3)],
        "annotations": annotations,
        "categories": [{"id": 10, "name": "disc"}, {"id": 20, "name": "square"}],
    }
    for split in ("train", "val"):
        (folder / f"instances_{split}.json").write_text(json.dumps(content))
    return folder


def learn(experiment: Experiment, dataset_dir: Path, workdir: Path) -> Path:
    """Runs an experiment on the three images to its end and returns the run's folder."""
    dataset = read_dataset_dir(dataset_dir, "train")
    experiment = with_classes(experiment, dataset.class_names, dataset.category_ids)
    write_experiment(experiment, workdir)
    settings = experiment.train
    trainer = Trainer(
        functools.partial(build_detector, experiment),
        settings,
        workdir,
        make_batches=lambda start: train_batches(
            dataset,
            batch_size=settings.batch_size,
            short_sides=(SIDE,),
            max_side=SIDE,
            flip=False,
            seed=settings.seed,
            start_step=start,
        ),
    )
    assert trainer.run().finished
    return workdir
