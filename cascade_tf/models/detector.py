"""The whole network: images in, detections out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras

from cascade_tf.layers.base import require, set_implementation
from cascade_tf.layers.configured import Configured
from cascade_tf.layers.image_areas import ImageAreas, boxes_within, maps_within
from cascade_tf.layers.map_order import leave_to_the_model
from cascade_tf.layers.map_strides import check_map_strides
from cascade_tf.layers.normalization import takes_statistics_of_maps
from cascade_tf.layers.structured_arguments import as_batch, as_targets, is_batch
from cascade_tf.models.backbone_maps import backbone_shapes
from cascade_tf.models.fit_model import FitModel
from cascade_tf.ops.resize import RESIZES
from cascade_tf.prediction.inference import ImageDetections, predict_images
from cascade_tf.prediction.test_time_augmentation import Augmentation
from cascade_tf.structures import (
    Batch,
    Detections,
    InstanceDetections,
    InstanceTargets,
    Proposals,
    RPNOutput,
    StageOutput,
    Targets,
    Tensor,
)

EVERYTHING, PROPOSALS = "everything", "proposals"
LEARNS = (EVERYTHING, PROPOSALS)
"""What a detector learns in training."""


@keras.saving.register_keras_serializable(package="cascade_tf")
class TwoStageDetector(Configured, FitModel):
    """Backbone, neck, region proposals and a cascade of heads.

    Any Keras model, functional or subclassed, that maps normalised images to a dict of feature maps, named by
    their levels (``C2``) or otherwise in order from fine to coarse, serves as the backbone: the package's,
    ``keras.applications``, or KerasHub's pyramid outputs. Of the other parts the detector knows what they
    promise and not what they are: whoever makes predictions in training also labels them and has their losses
    (``compute_losses``), names those that ``fit`` shows (``reported``), and says which metric weights another
    one in its mean (``weighted_by``).

    Args:
        backbone: images [B, H, W, 3] -> ``{"C2": [B, H/4, W/4, C], ...}``.
        neck: backbone features -> ``{"P2": ..., ...}``; None uses the backbone's features as they are.
        proposals: proposals from the neck's features.
        heads: the stages.
        detection_output: final selection.
        image_inputs: pixel normalisation that the backbone's weights expect.
        class_names: names of the K classes, in the order of class 1..K.
        category_ids: the data set's ids of the K classes; None numbers them 1..K.
        short_side: length of an image's shorter side at test, pixels.
        max_side: largest length of the longer side at test.
        size_divisor: batches are padded to multiples of it, 32 for strides up to 32.
        round_sides: see `two_stage`.
        round_to: see `two_stage`.
        separate_images: see `two_stage`.
        resize: see `two_stage`.
        learns: see `two_stage`.

    Attributes:
        upright: whether ``predict`` and the export turn photos as their EXIF orientation says, where they are
            not told; of a run that was loaded, what it was trained with.

    Raises:
        ValueError: names and ids differ in number or from the heads' class count, an image size is wrong, a
            part takes a map for one of another stride than the backbone says, or another choice is unknown.
    """

    def __init__(
        self,
        backbone: keras.Model,
        neck: keras.layers.Layer | None,
        proposals: keras.layers.Layer,
        heads: keras.layers.Layer,
        detection_output: keras.layers.Layer,
        image_inputs: keras.layers.Layer,
        class_names: Sequence[str],
        category_ids: Sequence[int] | None = None,
        short_side: int = 800,
        max_side: int = 1333,
        size_divisor: int = 32,
        round_sides: bool = False,
        round_to: int | None = None,
        separate_images: bool = True,
        resize: str = "shorter_side",
        learns: str = EVERYTHING,
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        names = tuple(class_names)
        ids = tuple(range(1, len(names) + 1)) if category_ids is None else tuple(int(i) for i in category_ids)
        if heads.num_classes != len(names):
            raise ValueError(
                f"class_names has {len(names)} names, but the heads have {heads.num_classes} classes"
            )
        if len(ids) != len(names):
            raise ValueError(f"class_names has {len(names)} names, but category_ids has {len(ids)} ids")
        require(short_side >= 1, "short_side", short_side, "1 pixel or more")
        require(max_side >= short_side, "max_side", max_side, f"at least short_side = {short_side}")
        require(resize in RESIZES, "resize", resize, f"one of {', '.join(RESIZES)}")
        # An image that is rounded up then fits into a batch that is padded.
        divides = round_to is None or (round_to >= 1 and size_divisor % round_to == 0)
        require(divides, "round_to", round_to, f"a divisor of size_divisor = {size_divisor}, or none")
        require(learns in LEARNS, "learns", learns, f"one of {', '.join(LEARNS)}")
        self.backbone = backbone
        self.neck = neck
        self.proposals = proposals
        self.heads = heads
        self.detection_output = detection_output
        self.image_inputs = image_inputs
        self.class_names = names
        self.category_ids = ids
        self.short_side = short_side
        self.max_side = max_side
        self.resize = resize
        self.size_divisor = size_divisor
        self.round_sides = round_sides
        self.round_to = round_to
        self.separate_images = separate_images
        self.learns = learns
        self.upright = True
        self.build()

    @property
    def num_classes(self) -> int:
        """K, without the background."""
        return len(self.class_names)

    @property
    def num_stages(self) -> int:
        """T."""
        return self.heads.num_stages

    @property
    def row_names(self) -> tuple[str, ...]:
        """What the rows of an evaluation by stages are called, see ``per_stage_detections``."""
        return tuple(self.heads.rows)

    @property
    def side_multiple(self) -> int | None:
        """What both sides of an image are a multiple of, and its aspect ratio with it; None: of nothing."""
        return (self.round_to or self.size_divisor) if self.round_sides else None

    @property
    def has_masks(self) -> bool:
        """Whether detections come with masks."""
        return self.heads.has_masks

    @property
    def heads_learn(self) -> bool:
        """Whether the heads take part in training."""
        return self.learns == EVERYTHING

    @property
    def takes_proposals(self) -> bool:
        """Whether proposals come with the images, in a ``ProposalBatch``."""
        return self.proposals.takes_given

    def build(self, input_shape: Any = None) -> None:
        """Creates all variables; no shape is needed, because images may have any size."""
        if getattr(self, "built", False):
            return
        self._check_strides()
        shapes = backbone_shapes(self.backbone)
        if self.neck is not None:
            _build(self.neck, shapes)
            shapes = self.neck.output_shapes(shapes)
        _build(self.proposals, shapes)
        _build(self.heads, shapes)
        if not self.heads_learn:
            self.heads.trainable = False
        self.built = True

    def _check_strides(self) -> None:
        """Compares what the parts assume with what the backbone says; not every Keras model says it."""
        strides = getattr(self.backbone, "strides", None)
        if not isinstance(strides, Mapping):
            return
        if self.neck is not None:
            strides = self.neck.output_strides(strides)
        for path, reader in (("proposals", self.proposals), ("heads", self.heads)):
            assumed = (one.inside(path) for one in reader.map_strides(list(strides)))
            check_map_strides(assumed, strides, f"the backbone {type(self.backbone).__name__}")
        leave_to_the_model(self)

    def __call__(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
        """Runs ``call`` on a batch; images themselves are for ``predict``."""
        if not is_batch(batch):
            raise TypeError(
                f"got a call of the detector with {type(batch).__name__}, expected an ImageBatch; "
                "detector.predict(images) takes arrays, files and folders"
            )
        return super().__call__(batch, *args, **kwargs)

    def call(self, batch: Batch, training: bool = False) -> Detections | InstanceDetections:
        """Detects objects.

        Args:
            batch: padded images.
            training: for the backbone's normalisation layers; the detections are those of the network at
                test.

        Returns:
            Detections in the network's frame, with masks where ``has_masks``; ``inference.to_records`` maps
            them to the original images.
        """
        batch = as_batch(batch)
        return self.detect(self.features(batch, training=training), batch)

    def detect(self, features: dict[str, Tensor], batch: Batch) -> Detections | InstanceDetections:
        """Detections from maps that are there already, for callers that read the maps as well.

        Args:
            features: of this batch, from ``features``.
            batch: see ``call``.
        """
        batch = as_batch(batch)
        with self.in_areas(batch):
            return self._select(features, self._stages(features, batch), batch.image_size)

    def per_stage_detections(self, batch: Batch) -> list[Detections | InstanceDetections]:
        """Detections of parts of the heads, one after the other; the last entry equals ``call``.

        Of a cascade they are those of the cascade cut off after each stage. With the paper's ensemble these
        are the rows 1, 1~2, 1~3 of Table 2: boxes of stage t with the mean of the first t classifiers.
        """
        batch = as_batch(batch)
        features, size = self.features(batch), batch.image_size
        with self.in_areas(batch):
            outputs = self._stages(features, batch)
            return [self._select(features, outputs[row], size) for row in self.heads.rows.values()]

    def features(self, batch: Batch, training: bool = False) -> dict[str, Tensor]:
        """The maps that proposals and heads read: ``{"P2": [B, h, w, C], ...}``."""
        pixels = self.image_inputs(batch.images, batch.image_size)
        with maps_within(self._areas(batch)):
            maps = self.backbone(pixels, training=training)
            return self.neck(maps, training=training) if self.neck is not None else maps

    def in_areas(self, batch: Batch) -> AbstractContextManager[None]:
        """Within it, proposals and heads keep to each image's own area, see ``separate_images``.

        For callers that run them by themselves; the detector's methods do so.
        """
        return boxes_within(self._areas(batch))

    def _areas(self, batch: Batch) -> ImageAreas | None:
        parts = [part for part in (self.backbone, self.neck) if part is not None]
        if not self.separate_images or not takes_statistics_of_maps(parts):
            return None
        return ImageAreas.of_batch(batch.images, batch.image_size, self.size_divisor)

    def propose(self, batch: Batch) -> tuple[dict[str, Tensor], RPNOutput, Proposals]:
        """Features, raw RPN output and proposals at test, for callers that run the stages themselves."""
        features = self.features(batch)
        with self.in_areas(batch):
            return features, *self.proposals.of_batch(features, batch)

    def compute_losses(
        self, batch: Batch, targets: Targets | InstanceTargets, training: bool = True
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """All losses of a training step, ready to be summed.

        Args:
            batch: padded images.
            targets: their ground truth; a detector with mask heads needs ``InstanceTargets``.
            training: whether the backbone's normalisation layers train too; sampling is that of training
                either way.

        Returns:
            Losses (``rpn_objectness``, ``rpn_box``, ``stage1_class``, ``stage1_box``, ...; ``stage3_mask``
            for a mask head of stage 3), float32 scalars already weighted, and metrics (``rpn_positives``;
            ``stage1_positives``, ``stage1_iou_before``, ``stage1_iou_after``, ``stage1_accuracy``, ...),
            float32 scalars.

        Raises:
            ValueError: the detector has mask heads and the targets have no masks.
        """
        batch, targets = as_batch(batch), as_targets(targets)
        features = self.features(batch, training=training)
        with self.in_areas(batch):
            found, proposals = self.proposals.of_batch(features, batch, training=True)
            losses, metrics = self.proposals.compute_losses(found, targets)
            if not self.heads_learn:
                return losses, metrics
            outputs = self.heads(features, proposals, batch.image_size, targets, training=True)
            of_stages = self.heads.compute_losses(features, outputs, batch.image_size, targets)
        return losses | of_stages[0], metrics | of_stages[1]

    def predict(
        self,
        images: Any,
        batch_size: int = 1,
        score_threshold: float | None = None,
        augmentation: Augmentation | None = None,
        upright: bool | None = None,
    ) -> list[ImageDetections]:
        """Detects objects in images of any size; boxes are in the pixels of the given images, upright.

        This replaces ``keras.Model.predict``, whose contract (one array in, one array out) does not fit
        images of different sizes; call the detector on an ``ImageBatch`` for raw tensors.

        Args:
            images: one or several images: paths, folders, patterns such as ``"photos/*.jpg"``, PIL images,
                uint8 arrays [H, W, 3] RGB, or a batch of these [B, H, W, 3]; see ``predict_images``.
            batch_size: images per pass.
            score_threshold: drops weaker detections; None keeps all that ``detection_output`` lets through.
            augmentation: looks at each image in several sizes and mirrored; None: once.
            upright: turns pictures as their EXIF orientation says; None: as the attribute ``upright`` says.

        Returns:
            One record per image.

        Raises:
            ValueError: an image cannot be read; the message names it. Or a threshold is not in 0..1.
            FileNotFoundError: there is no such file.
            TypeError: an image of another kind, or an array of floats.
        """
        return predict_images(
            self,
            images,
            batch_size=batch_size,
            score_threshold=score_threshold,
            augmentation=augmentation,
            upright=self.upright if upright is None else upright,
        )

    def set_implementation(self, implementation: str) -> None:
        """Chooses ``"auto"``, ``"custom"`` or ``"tensorflow"`` for every op of the detector; see ``ops``.

        Functions that are traced already keep theirs.
        """
        set_implementation(self, implementation)

    def export(self, *args: Any, **kwargs: Any) -> None:
        """Refuses: ``cascade_tf.export_saved_model`` writes what a server takes.

        ``keras.export.ExportArchive`` exports functions of a detector that take and return raw tensors.
        """
        raise TypeError(
            "got detector.export, expected cascade_tf.export_saved_model(detector, folder), whose signatures "
            "take images of any size"
        )

    @property
    def reported(self) -> tuple[str, ...]:
        """Names of the losses and metrics that ``fit`` shows."""
        return (*self.proposals.reported, *(self.heads.reported if self.heads_learn else ()))

    @property
    def weighted_by(self) -> dict[str, str]:
        """By what ``fit`` weights a metric of a step: overlaps by the boxes that they are of."""
        return {**self.proposals.weighted_by, **(self.heads.weighted_by if self.heads_learn else {})}

    def _stages(self, features: dict[str, Tensor], batch: Batch) -> tuple[StageOutput, ...]:
        _, proposals = self.proposals.of_batch(features, batch)
        return self.heads(features, proposals, batch.image_size)

    def _select(
        self, features: dict[str, Tensor], outputs: Sequence[StageOutput], image_size: Tensor
    ) -> Detections | InstanceDetections:
        detections = self.detection_output(
            self.heads.detection_boxes(outputs),
            self.heads.class_probabilities(outputs),
            outputs[-1].samples.valid,
            image_size,
        )
        return self.heads.with_masks(features, detections)


def _build(layer: keras.layers.Layer, shapes: dict[str, tuple[int | None, ...]]) -> None:
    # A layer that came from a file is built already.
    if not layer.built:
        layer.build(shapes)
