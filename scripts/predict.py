"""Detects objects in images: pictures with boxes and masks, and one detections.json.

Inputs are image files, folders and patterns such as "photos/*.jpg"; without inputs the images of
--dataset_dir are taken. The model is a run's folder (--workdir), a .keras file or SavedModel folder
(--model), or weights of a public model zoo (--weights). detections.json has COCO's layout with scores:
images, annotations and categories, boxes in pixels of the original images, turned upright where their EXIF
says so, and masks as compressed RLE where the model has mask heads. Files that cannot be read are reported
and skipped; the exit status is then 1. With --dataset_dir and --submission the detections, those of low
scores too, are also written as the server of the data set's benchmark takes them.

    python scripts/predict.py --workdir runs/mine --output found photos "more/*.png" cat.jpg
    python scripts/predict.py --model export/1 --output found --batch_size 4 photos
    python scripts/predict.py --weights detectron2/cascade_mask_rcnn_R_50_FPN_3x --output found photos
"""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import program

from cascade_tf.files import write_atomically

if TYPE_CHECKING:
    import numpy as np

    from cascade_tf.data.coco import CocoDataset
    from cascade_tf.experiment.config import DataConfig
    from cascade_tf.prediction.inference import ImageDetections

OPTIONS = program.Flags(positional="[INPUT ...]", weights=True)
OPTIONS.string("model", None, "A .keras file or a SavedModel folder, instead of --workdir.", "PATH")
OPTIONS.string("output", None, "Folder for the pictures and detections.json.", "DIR")
OPTIONS.integer("batch_size", 1, "Images that go through the network together.", lower=1)
OPTIONS.number("score_threshold", 0.5, "Detections need a higher score.", lower=0.0, upper=1.0)
OPTIONS.string("split", "val", "Which images of --dataset_dir, where no inputs are named.")
OPTIONS.boolean("recursive", False, "Looks into the sub-folders of folders too.")
OPTIONS.boolean(
    "upright",
    None,
    "Turns photos as their EXIF orientation says. Default: as the run or the export does.",
)
OPTIONS.boolean("pictures", True, "Draws the pictures; without them only detections.json is written.")
program.define_submission_flags(OPTIONS)


class Source(NamedTuple):
    """An image to look at.

    Attributes:
        path: its file.
        image_id: the data set's id, or the position among the inputs, from 1.
        size: (height, width) that a data set gives.
    """

    path: Path
    image_id: int
    size: tuple[int, int] | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(predict, OPTIONS, __doc__, argv)


def predict(arguments: Sequence[str]) -> int:
    """Detects in the inputs; returns 1 if some could not be read."""
    from cascade_tf.data.class_matching import match_classes
    from cascade_tf.prediction.inference import keep_above

    output = OPTIONS.need("output")
    if not arguments and not OPTIONS.values.dataset_dir:
        raise ValueError("got no inputs, expected image files, folders or patterns, or --dataset_dir")
    if arguments and OPTIONS.values.submission:
        raise ValueError("got inputs and --submission, expected the images of --dataset_dir alone")
    submission = program.submission_folder(OPTIONS)
    named = named_sources(arguments, recursive=OPTIONS.values.recursive) if arguments else None
    detector, data, settings = _load_detector()
    dataset = None if named else _read_dataset(data)
    sources, missing = named or ([], [])
    if dataset is not None:
        sources = _sources_of(dataset)
    if submission and dataset is not None:
        dataset = match_classes(dataset, detector.class_names, detector.category_ids)
        program.check_submission(dataset)
    folder = program.writable_folder(output, "output folder")
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": _categories(detector)}
    pictures = _PictureFolder(folder) if OPTIONS.values.pictures else None
    unreadable = list(missing)
    everything: list[ImageDetections] = []
    with program.detection_bar(len(sources)) as bar:
        for batch in _read_batches(sources, data.upright, unreadable, bar):
            images = [image for _, image in batch]
            records = detector.predict(
                images,
                batch_size=len(images),
                score_threshold=None if submission else OPTIONS.values.score_threshold,
                **settings,
            )
            for (source, image), found in zip(batch, records, strict=True):
                record = found.encode() if found.has_masks else found
                if submission:
                    everything.append(record._replace(image_id=source.image_id))
                    record = keep_above(record, OPTIONS.values.score_threshold)
                _append(content, source, image, record)
                if pictures is not None:
                    pictures.save(source.path, image, record)
            bar.update(len(batch))
    for line in unreadable:
        program.warn(f"skipped: {line}")
    if not content["images"]:
        raise ValueError(f"none of {len(unreadable)} inputs can be read, expected at least one image")
    write_atomically(folder / "detections.json", json.dumps(content, indent=1) + "\n")
    if submission and dataset is not None:
        program.write_submission(OPTIONS, submission, dataset, everything)
    counts = f"{len(content['annotations'])} detections in {len(content['images'])} images"
    print(f"{counts}, {len(unreadable)} inputs skipped. The results lie in {folder}.")
    return 1 if unreadable else 0


def _load_detector() -> tuple[Any, DataConfig, dict[str, Any]]:
    """Returns the detector, how images and data sets are read for it, and what else its ``predict`` takes."""
    from cascade_tf.experiment.config import DataConfig

    upright = OPTIONS.values.upright
    for other in ("workdir", "weights"):
        if OPTIONS.values.model and OPTIONS.values[other].value:
            raise ValueError(f"got both --model and --{other}, expected one of them")
    if OPTIONS.values.model:
        if OPTIONS.overrides:
            raise ValueError(
                "got --set with --model, expected --workdir: a finished model keeps its settings"
            )
        if OPTIONS.values.precision != "float32":
            raise ValueError(
                "got --precision with --model, expected --workdir: a finished model keeps its own"
            )
        from cascade_tf.experiment.loading import load

        detector = load(OPTIONS.values.model)
        own = detector.upright
        return detector, DataConfig(upright=own if upright is None else upright), {}
    detector, experiment = program.open_detector(OPTIONS)
    own = experiment.data.upright
    data = dataclasses.replace(experiment.data, upright=own if upright is None else upright)
    return detector, data, {"augmentation": experiment.evaluation.augmentation()}


def named_sources(names: Sequence[str], *, recursive: bool = False) -> tuple[list[Source], list[str]]:
    """Returns the images that the inputs stand for, and a line for each input without any.

    What folders hold beside images is said once, by kind.

    Args:
        names: files, folders and patterns.
        recursive: also looks into the sub-folders of folders.
    """
    from cascade_tf.prediction.image_lists import SUB_FOLDERS, find_images

    paths: list[Path] = []
    missing = []
    left_out: Counter[str] = Counter()
    for name in names:
        found = find_images(name, recursive=recursive)
        paths += found.paths
        left_out += found.left_out
        if not found.paths:
            what = "a folder without images" if Path(name).is_dir() else "no such file, folder or match"
            missing.append(f"{name}: {what}")
    if left_out:
        by_count = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
        kinds = ", ".join(f"{count} {kind}" for kind, count in by_count)
        remedy = "; --recursive looks into sub-folders" if left_out[SUB_FOLDERS] else ""
        program.warn(f"left out of the folders: {kinds}{remedy}")
    return [Source(path, number) for number, path in enumerate(dict.fromkeys(paths), start=1)], missing


def _read_dataset(data: DataConfig) -> CocoDataset:
    from cascade_tf.data.annotations.broken import SHOWN_RECORDS
    from cascade_tf.data.coco import read_dataset_dir

    dataset = read_dataset_dir(
        OPTIONS.values.dataset_dir,
        OPTIONS.values.split,
        layout=data.layout,
        class_attribute=data.class_attribute,
        classes=data.classes,
        splitting=data.splitting(),
        skip_broken=data.skip_broken,
        crowds_as_objects=True,  # what the objects are does not matter
        upright=data.upright,
    )
    for line in dataset.dropped[:SHOWN_RECORDS]:
        program.warn(line)
    return dataset


def _sources_of(dataset: CocoDataset) -> list[Source]:
    return [
        Source(Path(example.path), example.image_id, (example.height, example.width))
        for example in dataset.examples
    ]


def _read_batches(
    sources: Sequence[Source], upright: bool, unreadable: list[str], bar: Any
) -> Iterator[list[tuple[Source, np.ndarray]]]:
    """Yields the readable images in groups and adds a line to ``unreadable`` for each of the others."""
    from cascade_tf.prediction.inference import read_image

    batch = []
    for source in sources:
        try:
            batch.append((source, read_image(source.path, upright=upright, size=source.size)))
        except (ValueError, TypeError, OSError) as error:
            unreadable.append(str(error))
            bar.update(1)
        if len(batch) == OPTIONS.values.batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _categories(detector: Any) -> list[dict[str, Any]]:
    pairs = zip(detector.category_ids, detector.class_names, strict=True)
    return [{"id": int(number), "name": name} for number, name in pairs]


def _append(content: dict[str, Any], source: Source, image: np.ndarray, record: ImageDetections) -> None:
    from cascade_tf.prediction.inference import to_coco_results

    height, width = image.shape[:2]
    entry = {"id": source.image_id, "file_name": str(source.path), "height": height, "width": width}
    content["images"].append(entry)
    for result in to_coco_results([record._replace(image_id=source.image_id)]):
        area = _area(result)
        number = len(content["annotations"]) + 1
        content["annotations"].append({"id": number, **result, "area": area, "iscrowd": 0})


def _area(result: dict[str, Any]) -> float:
    """Pixels of the mask, or of the box where there is none."""
    if "segmentation" not in result:
        return result["bbox"][2] * result["bbox"][3]
    from pycocotools import mask

    return float(mask.area(result["segmentation"]))


class _PictureFolder:
    """Writes pictures of detections; inputs of the same name from several folders all keep a picture."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: set[str] = set()

    def save(self, path: Path, image: np.ndarray, record: ImageDetections) -> None:
        """Writes the picture of one image."""
        from PIL import Image

        from cascade_tf.visualization import draw_detections

        name, number = path.stem, 1
        while name in self.names:
            number += 1
            name = f"{path.stem}_{number}"
        self.names.add(name)
        picture = draw_detections(
            image, record.boxes, record.scores, record.names, record.classes, masks=record.segmentations
        )
        content = io.BytesIO()
        Image.fromarray(picture).save(content, "JPEG", quality=92)
        write_atomically(self.folder / f"{name}.jpg", content.getvalue())


if __name__ == "__main__":
    sys.exit(main())
