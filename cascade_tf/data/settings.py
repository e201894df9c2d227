"""How images and annotations are read, in one frozen value. Needs neither TensorFlow nor the readers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from cascade_tf.data.splitting import Splitting, check_pattern

CHECK_LEVELS = ("full", "headers", "none")
LAYOUTS = (
    *("auto", "coco", "voc", "kitti", "citypersons", "widerface"),
    *("yolo", "xml", "via", "createml", "labelme", "datumaro"),
    "tfrecord",
)
DIFFICULT = ("ignore", "learn")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """How the images are read. The test-time size is the model's: its `short_side` and `max_side`.

    Attributes:
        dataset_dir: folder with ``images/``, ``instances_train.json`` and ``instances_val.json``, or laid out
            as labelling tools export COCO's format or their own, or one annotation file; or a data set as it
            is distributed, see `layout`.
        layout: how the folder is laid out: "auto" recognises it; "coco", "voc", "kitti", "citypersons" or
            "widerface" says it, of labelling tools "yolo", "xml" (labelImg, CVAT, Roboflow), "via",
            "createml", "labelme" or "datumaro", and "tfrecord" of TFRecord shards, which may lie wherever
            TensorFlow reads.
        class_attribute: attribute of objects that names their class, where a tool has several, as VIA has;
            None: the only one.
        train_split: the split to train on, any that the data set has, such as KITTI's "trainval"; "val" is
            the one to measure on.
        classes: names of the classes to learn and to measure; objects of others are left out. Empty: all.
            Classes that a benchmark has and does not measure, such as KITTI's Van and Truck, are read where
            they are named.
        val_fraction: the share of the images to measure on, where one file holds all images or none are there
            to measure on; None: nothing is split.
        split_seed: another seed chooses other images.
        split_by: regular expression searched in the files' names; those with equal text in its group stay on
            one side, for example the frames of a video; None: each image stands for itself.
        short_sides: shorter sides in pixels, of which each training image draws one; empty: the model's.
        max_side: largest longer side in training, pixels; None: the model's.
        flip: mirrors half of the training images.
        photometric_distortion: changes brightness, contrast, saturation and hue of training images, each of
            half of them, by chance.
        crop: cuts training images that are longer than the longest side around one of their objects, instead
            of shrinking them.
        crop_size: height and width in pixels that `crop` cuts to; empty: the longest side both.
        object_scales: brings, in every second training image, one of the objects to another scale before
            `crop` cuts the image around it: from the first of two scales in pixels (square roots of areas) to
            the second, in steps of the square root of two; empty: none.
        min_object_height: objects lower than this many pixels, at the size that the network sees, are neither
            learnt nor punished.
        min_object_side: objects with a shorter side than this many pixels, at the size that the network sees,
            are neither learnt nor punished.
        aspect_grouping: batches hold images of one orientation, which saves padding.
        workers: images that are decoded at the same time; None lets tf.data choose.
        service: HOST:PORT of a running data_service.py, which prepares the batches of a training on another
            host; None: this one does.
        skip_broken: leaves broken records out and lists them, instead of stopping with a list.
        one_class: reads objects of all classes as one, "object": for detectors of proposals alone.
        proposals: file with the proposals of the training images, for a model whose part `proposals` takes
            them from one: an archive of propose.py, or a pickle of Detectron or detectron2.
        val_proposals: the same of the images to measure on; None: `proposals` has these too.
        crowds_as_objects: reads ``iscrowd: 1`` as a single object: brush masks of CVAT come so.
        difficult: what becomes of objects that the data set ignores because they are difficult, as VOC does:
            "ignore" keeps them out of the losses, "learn" learns them as the others. They are ignored where
            detections are measured in both cases.
        check_images: what is looked at before the first step, of the picture files of both splits: "full" is
            format, size and end; "headers" leaves out the end, "none" looks at nothing, for network disks.
            The first bytes of each file, which tell the decoder, are read in any case.
        upright: turns images as their EXIF orientation says, as labelling tools show them; an image whose
            stored size alone is the annotated one stays as it is stored. False: all stay as stored.
    """

    dataset_dir: str | None = None
    layout: str = "auto"
    class_attribute: str | None = None
    train_split: str = "train"
    classes: tuple[str, ...] = ()
    val_fraction: float | None = None
    split_seed: int = 0
    split_by: str | None = None
    short_sides: tuple[int, ...] = ()
    max_side: int | None = None
    flip: bool = True
    photometric_distortion: bool = False
    crop: bool = False
    crop_size: tuple[int, ...] = ()
    object_scales: tuple[float, ...] = ()
    min_object_height: float = 0.0
    min_object_side: float = 0.0
    aspect_grouping: bool = True
    workers: int | None = None
    service: str | None = None
    skip_broken: bool = False
    one_class: bool = False
    proposals: str | None = None
    val_proposals: str | None = None
    crowds_as_objects: bool = False
    difficult: str = "ignore"
    check_images: str = "full"
    upright: bool = True

    def __post_init__(self) -> None:
        for name, values in (("short_sides", self.short_sides), ("max_side", (self.max_side,))):
            if any(value is not None and value <= 0 for value in values):
                raise ValueError(f"data.{name}: got {getattr(self, name)}, expected sizes above 0")
        for name in ("min_object_side", "min_object_height"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"data.{name}: got {getattr(self, name)}, expected 0 or more")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"data.workers: got {self.workers}, expected 1 or more, or none")
        for name, choices in (
            ("check_images", CHECK_LEVELS),
            ("layout", LAYOUTS),
            ("difficult", DIFFICULT),
        ):
            if getattr(self, name) not in choices:
                expected = ", ".join(choices)
                raise ValueError(f"data.{name}: got {getattr(self, name)!r}, expected one of {expected}")
        if self.service is not None and self.skip_broken:
            raise ValueError(
                f"data.service: got {self.service!r} with data.skip_broken=true, expected one of them: what "
                "is skipped is told by the process that reads"
            )
        try:
            check_crop(self.crop, self.crop_size, self.object_scales)
            check_pattern(self.split_by)
            self.splitting()
        except ValueError as error:
            raise ValueError(f"data.{error}") from None

    def splitting(self) -> Splitting | None:
        """Returns the settings of the split as `read_dataset_dir` takes them; None: nothing is split."""
        if self.val_fraction is None:
            return None
        return Splitting(self.val_fraction, self.split_seed, self.split_by)


def check_crop(crop: bool, crop_size: Sequence[int], object_scales: Sequence[float]) -> None:
    """Raises a ValueError that names the setting unless images can be cut so, see `DataConfig`."""
    if crop_size and (len(crop_size) != 2 or min(crop_size) < 1):
        raise ValueError(f"crop_size: got {crop_size}, expected a height and a width of 1 or more")
    if object_scales and (len(object_scales) != 2 or not 0.0 < object_scales[0] <= object_scales[1]):
        raise ValueError(f"object_scales: got {object_scales}, expected the smallest above 0 and the largest")
    for name, value in (("crop_size", crop_size), ("object_scales", object_scales)):
        if value and not crop:
            raise ValueError(f"{name}: got {value}, expected none without crop")
