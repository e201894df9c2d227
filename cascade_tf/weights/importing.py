"""From a checkpoint of another framework to a detector that is set up as the checkpoint needs it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras

from cascade_tf.models import TwoStageDetector
from cascade_tf.parts import Part
from cascade_tf.weights.assumed_settings import assumed_settings
from cascade_tf.weights.families import BACKBONE_FAMILIES, DETECTOR_FAMILIES, find_family
from cascade_tf.weights.families.coco_classes import COCO_CATEGORY_IDS, COCO_CLASSES
from cascade_tf.weights.families.family import Family
from cascade_tf.weights.files.checkpoint_file import CheckpointFile, read_checkpoint
from cascade_tf.weights.head_start import HeadStart, head_start
from cascade_tf.weights.import_plan import ImportPlan
from cascade_tf.weights.import_report import ImportReport, log_other_names
from cascade_tf.weights.pixels import check_pixels
from cascade_tf.weights.places import backbone_places, places
from cascade_tf.weights.recipe_arguments import check_arguments, with_mask_pooling
from cascade_tf.wording import count_of

# What tensors of shapes that no network has raise where they are looked at.
_MALFORMED = (ArithmeticError, LookupError, TypeError)


class Imported(NamedTuple):
    """A detector from a checkpoint.

    Attributes:
        detector: with the checkpoint's weights.
        settings: what the checkpoint and the caller said of it, by dotted names.
        report: what became of every tensor and every variable.
        recipe: what made it, called with the classes.
    """

    detector: TwoStageDetector
    settings: dict[str, Any]
    report: ImportReport
    recipe: Part


class Description(NamedTuple):
    """Which detector a checkpoint holds.

    Attributes:
        class_names: K names: the checkpoint's, else COCO's where there are 80, else numbers.
        category_ids: K ids of the classes: COCO's for COCO's names, else 1..K.
        recipe: what makes it, called with the classes.
        settings: what the checkpoint and the caller say of that recipe, by dotted names.
    """

    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    recipe: Part
    settings: dict[str, Any]


def import_checkpoint(
    path: str | os.PathLike[str],
    source: str = "auto",
    *,
    class_names: Sequence[str] | None = None,
    category_ids: Sequence[int] | None = None,
    allow_partial: bool = False,
    **overrides: Any,
) -> Imported:
    """Builds the detector that a checkpoint of another framework holds, and loads its weights.

    The architecture is read off the tensors' names and shapes, and the conventions (colour order, mean and
    standard deviation, boxes, ensemble, rules of training) are the family's.

    Args:
        path: the checkpoint.
        source: name of its family, or ``"auto"``.
        class_names: names of the classes; None takes the checkpoint's, else COCO's where it has 80. With
            another number of classes than the checkpoint's the layers that depend on it keep their initial
            values, everything else is loaded: the start of fine-tuning.
        category_ids: the data set's ids of the classes; None takes COCO's for COCO's names, and numbers
            others 1..K.
        allow_partial: whether to load what fits where checkpoint and detector differ, instead of failing.
        **overrides: settings by dotted names that replace what the family says.

    Raises:
        FileNotFoundError: no such file.
        TypeError: an override that is no setting, or one text as ``class_names``.
        ValueError: the file cannot be read, its family is unknown, its network cannot be built, or tensors
            and variables do not match; the message lists both sides.
    """
    check_arguments({}, class_names)
    checkpoint = read_checkpoint(path)
    family = find_family(checkpoint, source, DETECTOR_FAMILIES)
    described = _describe(checkpoint, family, overrides)
    names = described.class_names if class_names is None else tuple(class_names)
    if category_ids is None and names == COCO_CLASSES:
        category_ids = COCO_CATEGORY_IDS
    with _path_in_errors(checkpoint, family):
        detector = described.recipe(names, category_ids)
    with _path_in_errors(checkpoint, family, _MALFORMED):
        assumed = assumed_settings(
            described.settings, family.told(checkpoint) | overrides.keys(), family.base(checkpoint)
        )
    report = _transfer(checkpoint, family, detector, described, allow_partial, assumed)
    return Imported(detector, described.settings, report, described.recipe)


def base_recipe(path: str | os.PathLike[str], source: str = "auto") -> Part:
    """The detector of which a checkpoint's has settings: with whatever else its family can have.

    Args:
        path: the checkpoint.
        source: name of its family, or ``"auto"``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file cannot be read, its family is unknown, or its network cannot be built.
    """
    checkpoint = read_checkpoint(path)
    return _base(checkpoint, find_family(checkpoint, source, DETECTOR_FAMILIES))


def describe_checkpoint(path: str | os.PathLike[str], source: str = "auto", **overrides: Any) -> Description:
    """Says which detector a checkpoint holds, without building it.

    Args:
        path: the checkpoint.
        source: name of its family, or ``"auto"``.
        **overrides: settings by dotted names that replace what the family says.

    Raises:
        FileNotFoundError: no such file.
        TypeError: an override that is no setting.
        ValueError: the file cannot be read, its family is unknown, or its network cannot be built.
    """
    checkpoint = read_checkpoint(path)
    return _describe(checkpoint, find_family(checkpoint, source, DETECTOR_FAMILIES), overrides)


def import_weights(
    detector: TwoStageDetector,
    path: str | os.PathLike[str],
    source: str = "auto",
    *,
    allow_partial: bool = False,
    **settings: Any,
) -> ImportReport:
    """Loads a checkpoint of another framework into a detector that exists.

    With another number of classes than the checkpoint's, the layers that depend on it keep their values, and
    so do mask heads where the checkpoint has none. A detector without mask heads leaves the checkpoint's out.

    Args:
        detector: of the checkpoint's architecture.
        path: the checkpoint.
        source: name of its family, or ``"auto"``.
        allow_partial: whether to load what fits where checkpoint and detector differ, instead of failing.
        **settings: settings by dotted names that replace what the family says of the checkpoint:
            where its tensors do not tell on which pixels it was trained, and with which strides.

    Raises:
        FileNotFoundError: no such file.
        TypeError: an unknown setting.
        ValueError: the file cannot be read, its family is unknown, the weights were trained with the strides
            in other convolutions or on other pixels, or tensors and variables do not match. No variable has
            changed then.
    """
    checkpoint = read_checkpoint(path)
    family = find_family(checkpoint, source, DETECTOR_FAMILIES)
    described = _describe(checkpoint, family, settings)
    if not allow_partial:
        with _path_in_errors(checkpoint, family):
            _check_stride(detector.backbone, described.settings)
            check_pixels(detector.image_inputs, described.settings)
    return _transfer(checkpoint, family, detector, described, allow_partial)


def _describe(checkpoint: CheckpointFile, family: Family, overrides: Mapping[str, Any]) -> Description:
    # What is wrong here is the caller's, not the file's.
    check_arguments(overrides, base=_base(checkpoint, family))
    with _path_in_errors(checkpoint, family, _MALFORMED):
        num_classes = family.num_classes(checkpoint)
        settings = family.settings(checkpoint)
        family.check_size(checkpoint, settings)
        names = _class_names(family, checkpoint, num_classes)
        ids = COCO_CATEGORY_IDS if names == COCO_CLASSES else tuple(range(1, num_classes + 1))
        settings = {**with_mask_pooling(settings), **overrides}
        return Description(names, ids, family.recipe(checkpoint, settings), settings)


def _base(checkpoint: CheckpointFile, family: Family) -> Part:
    with _path_in_errors(checkpoint, family, _MALFORMED):
        return family.base(checkpoint)


def _transfer(
    checkpoint: CheckpointFile,
    family: Family,
    detector: TwoStageDetector,
    described: Description,
    allow_partial: bool,
    assumed: Mapping[str, Any] | None = None,
) -> ImportReport:
    # A checkpoint's names mean nothing in a backbone that is none of the package's.
    backbone_places(detector.backbone)
    found = places(detector)
    kept = {}
    given = len(described.class_names)
    if detector.num_classes != given:
        reason = (
            f"the checkpoint has {count_of(given, 'class', 'classes')}, the detector {detector.num_classes}"
        )
        kept = {name: reason for name, place in found.items() if place.class_dependent}
    # A box detector that becomes one of instances, or the reverse, is fine-tuning and no mistake.
    if not _mask_tensors(checkpoint):
        kept |= {name: "the checkpoint has no masks" for name in found if name.startswith("mask")}
    unwanted = (
        {} if detector.has_masks else dict.fromkeys(_mask_tensors(checkpoint), "the detector has no masks")
    )
    with _path_in_errors(checkpoint, family, _MALFORMED):
        plan = ImportPlan(checkpoint, family, detector, found.values(), kept, unwanted)
    report = plan.carry_out(described.settings, allow_partial, assumed)
    known = (detector.class_names, numbered_classes(given))
    if detector.num_classes == given and described.class_names not in known:
        log_other_names(str(checkpoint.path), described.class_names, detector.class_names)
    return report


def _mask_tensors(checkpoint: CheckpointFile) -> list[str]:
    """All families have the word in their names."""
    return [name for name in checkpoint.arrays if "mask" in name]


def load_backbone(
    model: keras.Model,
    path: str | os.PathLike[str],
    source: str = "auto",
    *,
    allow_partial: bool = False,
) -> ImportReport:
    """Loads weights trained on ImageNet into a backbone, and into heads that begin as the classifier does.

    On VGG16 and AlexNet the heads of Faster R-CNN do: the fully connected layers but the last go into the
    head of every stage, of which each has a copy. With fewer units than the classifier's the heads take the
    strongest, see ``with_fewer_units``. Detectors of other shapes get the backbone alone.

    Args:
        model: a detector on a ``ResNet``, ``VGG16`` or ``AlexNet``, or the backbone alone.
        path: the checkpoint.
        source: name of its family, or ``"auto"``.
        allow_partial: whether to load what fits where checkpoint and model differ, instead of failing.

    Returns:
        The report. Its ``settings`` say which pixels the weights expect, as ``inputs.order``,
        ``inputs.mean`` and ``inputs.std``. A detector's are compared with them; with a backbone
        alone that is up to the caller.

    Raises:
        FileNotFoundError: no such file.
        TypeError: the backbone is of another kind.
        ValueError: the file cannot be read, its family is unknown, the weights were trained with the strides
            in other convolutions or on other pixels, the heads have more units than the classifier, or
            tensors and variables do not match. No variable has changed then.
    """
    backbone = model.backbone if isinstance(model, TwoStageDetector) else model
    found = backbone_places(backbone)
    checkpoint = read_checkpoint(path)
    family = find_family(checkpoint, source, BACKBONE_FAMILIES)
    with _path_in_errors(checkpoint, family, _MALFORMED):
        settings = family.settings(checkpoint)
        if not allow_partial:
            _check_stride(backbone, settings)
        if not allow_partial and isinstance(model, TwoStageDetector):
            check_pixels(model.image_inputs, settings)
        layers = family.classifier_layers(checkpoint)
        start = HeadStart((), {})
        if layers is not None and isinstance(model, TwoStageDetector):
            start = head_start(model, layers, checkpoint.arrays, allow_partial)
        plan = ImportPlan(
            checkpoint, family, backbone, found.values(), unwanted=start.left_out, more=start.copies
        )
    return plan.carry_out(settings, allow_partial)


def _check_stride(backbone: keras.Model, settings: Mapping[str, Any]) -> None:
    given = getattr(backbone, "stride_in_1x1", None)
    expected = settings.get("backbone.stride_in_1x1", given)
    if given != expected:
        raise ValueError(
            f"got a backbone with stride_in_1x1={given}, expected {expected}, with which the weights were "
            "trained"
        )


def _class_names(family: Family, checkpoint: CheckpointFile, num_classes: int) -> tuple[str, ...]:
    names = family.class_names(checkpoint)
    if names is not None and len(names) == num_classes:
        # MMDetection once wrote names with underscores.
        is_coco = tuple(name.replace("_", " ") for name in names) == COCO_CLASSES
        return COCO_CLASSES if is_coco else tuple(names)
    return COCO_CLASSES if num_classes == len(COCO_CLASSES) else numbered_classes(num_classes)


def numbered_classes(num_classes: int) -> tuple[str, ...]:
    """Names of classes whose names nobody knows."""
    return tuple(f"class {number}" for number in range(1, num_classes + 1))


@contextlib.contextmanager
def _path_in_errors(
    checkpoint: CheckpointFile, family: Family, malformed: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if str(checkpoint.path) in str(error):
            raise
        raise ValueError(f"checkpoint {checkpoint.path} ({family.name}): {error}") from None
    except malformed as error:
        raise ValueError(
            f"checkpoint {checkpoint.path} ({family.name}): its tensors have shapes or values that no "
            f"detector has ({type(error).__name__}: {error})"
        ) from error
