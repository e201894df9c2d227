"""Region proposals of the authors' Caffe networks: a head for each level, and their rules all the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.boxes import BoxCoder, Match, ShapeGrid, clip_boxes, is_proper, match_cells, sample_labels
from cascade_tf.boxes.matching import gather_matched
from cascade_tf.layers.base import require
from cascade_tf.layers.map_order import as_maps, check_strides, order_as_built
from cascade_tf.layers.map_strides import MapStrides
from cascade_tf.layers.named_layer import NamedLayer
from cascade_tf.layers.ranges import require_not_negative, require_overlaps
from cascade_tf.losses import rpn_losses
from cascade_tf.proposals.anchor_shapes import COCO_ANCHORS
from cascade_tf.proposals.convolutions import channels_of, chosen_maps, chosen_names, convolution
from cascade_tf.proposals.label_settings import check_label_settings
from cascade_tf.proposals.limited_proposals import LimitedProposals
from cascade_tf.proposals.suppression import suppress, without_padding
from cascade_tf.structures import (
    AnchorTargets,
    LevelOutput,
    Proposals,
    RPNOutput,
    Targets,
    Tensor,
)


@keras.saving.register_keras_serializable(package="cascade_tf")
class LevelProposals(LimitedProposals):
    """Class-agnostic proposals from one map or from several, with a head for each.

    The defaults are those of the authors' Faster R-CNN for COCO (zhaoweicai/cascade-rcnn,
    examples/coco/vgg-12s-600-rpn-base), but for the legacy arithmetic of ``inclusive``. Objectness is a
    softmax of two numbers for each anchor, background before foreground; logits are their difference.

    Args:
        anchors: for each level the (width, height) of the anchors of a cell, pixels.
        strides: pixels per cell of each level.
        levels: names of the maps that it reads; None: all that come.
        anchor_offset: centre of an anchor within its cell; see ``ShapeGrid``.
        channels: of the hidden 3x3 convolutions; None takes the channel count of each map.
        max_shift: predicted centres move by this share of the anchor's side at most; None: any.
        max_growth: predicted sides grow or shrink by this factor at most; None: any. Predictions beyond these
            two limits are clipped before the loss, and learn as if they were not.
        score_threshold_train: boxes are proposals from this probability on, in training; a number, or one for
            each level.
        score_threshold_test: the same in inference.
        min_side: proposals with a shorter side are dropped, pixels; a number, or one for each level.
        pre_nms_train: best-scored boxes of a level that reach NMS in training; a number, or one for each.
        pre_nms_test: the same in inference.
        post_nms_train: R, proposals per image in training; None: all that NMS leaves, R is the number of the
            fullest image of a batch.
        post_nms_test: the same in inference.
        nms_iou: NMS threshold, within each level.
        by_level: sorts proposals by their level first, then by score.
        samples_per_level: anchors per image and level in the loss.
        foreground_fraction: share of foreground among them, at most.
        foreground_iou: anchors are foreground above.
        background_iou: anchors are background below.
        claim_iou: see ``match_cells``.
        min_object_side: see ``match_cells``.
        max_outside: see ``match_cells``.
        crowd_cover: see ``match_cells``.
        match_crowds: see ``match_cells``.
        inclusive: the authors' arithmetic of (first pixel, last pixel): see ``clip_boxes`` and
            ``match_cells``; and half a pixel is taken off the centre that is learned.
        border: see ``clip_boxes``.
        beta: of the box loss, see ``rpn_losses``.
        box_weight: of the box loss. Losses are means over the levels.
        implementation: of NMS, see ``ops``.

    Raises:
        ValueError: a limit below 1, a share or overlap outside 0..1, or numbers for another number of levels.
    """

    kind = "proposals"

    def __init__(
        self,
        anchors: Sequence[Sequence[tuple[float, float]]] = (COCO_ANCHORS,),
        strides: Sequence[int] = (16,),
        levels: Sequence[str] | None = None,
        anchor_offset: float = 0.5,
        channels: int | None = 512,
        max_shift: float | None = 1.0,
        max_growth: float | None = 8.0,
        score_threshold_train: float | Sequence[float] = 0.01,
        score_threshold_test: float | Sequence[float] = 0.05,
        min_side: float | Sequence[float] = 5.0,
        pre_nms_train: int | Sequence[int] = 2000,
        pre_nms_test: int | Sequence[int] = 5000,
        post_nms_train: int | None = None,
        post_nms_test: int | None = 300,
        nms_iou: float = 0.7,
        by_level: bool = False,
        samples_per_level: int = 256,
        foreground_fraction: float = 0.5,
        foreground_iou: float = 0.7,
        background_iou: float = 0.3,
        claim_iou: float = 0.2,
        min_object_side: float = 5.0,
        max_outside: float | None = 0.5,
        crowd_cover: float | None = 0.4,
        match_crowds: bool = False,
        inclusive: bool = False,
        border: float = 0.0,
        beta: float = 1.0,
        box_weight: float = 1.0,
        implementation: str = "auto",
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        self.anchors = anchors
        self.strides = strides
        self.levels = levels
        self.anchor_offset = anchor_offset
        self.channels = channels
        self.max_shift = max_shift
        self.max_growth = max_growth
        self.score_threshold_train = score_threshold_train
        self.score_threshold_test = score_threshold_test
        self.min_side = min_side
        self.pre_nms_train = pre_nms_train
        self.pre_nms_test = pre_nms_test
        self.post_nms_train = post_nms_train
        self.post_nms_test = post_nms_test
        self.nms_iou = nms_iou
        self.by_level = by_level
        self.samples_per_level = samples_per_level
        self.foreground_fraction = foreground_fraction
        self.foreground_iou = foreground_iou
        self.background_iou = background_iou
        self.claim_iou = claim_iou
        self.min_object_side = min_object_side
        self.max_outside = max_outside
        self.crowd_cover = crowd_cover
        self.match_crowds = match_crowds
        self.inclusive = inclusive
        self.border = border
        self.beta = beta
        self.box_weight = box_weight
        self.implementation = implementation
        self.supports_jit = False
        self.grid = ShapeGrid(anchors, strides, anchor_offset)
        self.coder = BoxCoder(std=(1.0, 1.0, 1.0, 1.0))
        self._check()

    def _check(self) -> None:
        for name in ("pre_nms_train", "pre_nms_test"):
            require(min(self._per_level(name)) >= 1, name, getattr(self, name), "1 or more")
        for name in ("score_threshold_train", "score_threshold_test"):
            least, most = min(self._per_level(name)), max(self._per_level(name))
            require(0.0 <= least <= most <= 1.0, name, getattr(self, name), "a probability in 0..1")
        require(min(self._per_level("min_side")) >= 0.0, "min_side", self.min_side, "0 or more")
        require(self.samples_per_level >= 1, "samples_per_level", self.samples_per_level, "1 or more")
        for name, least in (("post_nms_train", 1), ("post_nms_test", 1), ("max_outside", 0)):
            limit = getattr(self, name)
            require(limit is None or limit >= least, name, limit, f"{least} or more")
        check_label_settings(self)
        require_overlaps(claim_iou=self.claim_iou)
        require_not_negative(min_object_side=self.min_object_side, border=self.border)
        require_not_negative(box_weight=self.box_weight)
        self.check_limits()

    def _per_level(self, name: str) -> tuple[Any, ...]:
        """A setting's value for each level."""
        value, count = getattr(self, name), len(self.strides)
        values = tuple(value) if isinstance(value, (list, tuple)) else (value,) * count
        require(len(values) == count, name, value, f"a number, or one for each of {count} levels")
        return values

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Creates the heads for the channel counts of the features."""
        shapes = as_maps(input_shape)
        self.map_names = chosen_names(shapes, self.levels)
        maps = chosen_maps(shapes, self.map_names)
        count = len(self.strides)
        require(len(maps) == count, "levels", tuple(shapes), f"as many maps as strides, which are {count}")
        self.hidden, self.objectness, self.offsets = [], [], []
        policy = self.dtype_policy
        for level, (shape, anchors) in enumerate(zip(maps, self.grid.shapes_per_level, strict=True), start=1):
            channels = channels_of(shape)
            hidden = self.channels or channels
            self.hidden.append(
                convolution(f"hidden{level}", hidden, 3, channels, dtype=policy, activation="relu")
            )
            self.objectness.append(convolution(f"objectness{level}", 2 * anchors, 1, hidden, dtype=policy))
            self.offsets.append(
                convolution(f"offsets{level}", 4 * anchors, 1, hidden, dtype=policy, deviation=0.001)
            )
        self.built = True

    def map_strides(self, names: Sequence[str]) -> Iterator[MapStrides]:
        """The strides that it takes the maps of these names to have."""
        yield MapStrides("strides", chosen_names(names, self.levels), tuple(self.strides))

    def predict(self, features: Mapping[str, Tensor], image_size: Tensor) -> LevelOutput:
        """Scores and offsets of all anchors; arguments as of ``call``."""
        features = as_maps(features)
        names = self.map_names if self.levels else order_as_built(self.map_names, features)
        maps = chosen_maps(features, names)
        check_strides("LevelProposals", features, names, self.strides, self.asserts_sizes)
        logits, deltas, sizes = [], [], []
        for level, feature in enumerate(maps):
            hidden = self.hidden[level](feature)
            shape = tf.shape(hidden)
            scores = tf.cast(self.objectness[level](hidden), tf.float32)
            background, foreground = tf.unstack(tf.reshape(scores, [shape[0], -1, 2]), axis=2)
            logits.append(foreground - background)
            deltas.append(tf.cast(tf.reshape(self.offsets[level](hidden), [shape[0], -1, 4]), tf.float32))
            sizes.append(shape[1:3])
        feature_sizes = tf.stack(sizes)
        anchors = self.grid([(size[0], size[1]) for size in sizes])
        return LevelOutput(
            tf.concat(logits, axis=1),
            self.clip_deltas(tf.concat(deltas, axis=1)),
            tf.concat(anchors, axis=0),
            feature_sizes,
            tf.cast(image_size, tf.float32),
        )

    def propose(self, output: LevelOutput, training: bool = False) -> Proposals:
        """Proposals of scores and offsets.

        Args:
            output: of ``predict``.
            training: which of the two sets of limits applies.

        Returns:
            R proposals per image without gradient; the best first, or with ``by_level`` those of the first
            level before those of the second.
        """
        when = "train" if training else "test"
        pre_nms = self._per_level(f"pre_nms_{when}")
        post_nms = getattr(self, f"post_nms_{when}")
        thresholds, min_sides = self._per_level(f"score_threshold_{when}"), self._per_level("min_side")
        output = LevelOutput(*(tf.stop_gradient(value) for value in output))
        decoded = self.coder.decode(output.deltas, output.anchors)
        decoded = clip_boxes(decoded, output.image_size, self.inclusive, self.border)
        boxes, scores, levels = [], [], []
        of_level = self.grid.split(decoded, output.feature_sizes)
        logits = self.grid.split(output.logits, output.feature_sizes)
        for level, (box, logit) in enumerate(zip(of_level, logits, strict=True)):
            usable = is_proper(box, min_sides[level]) & (tf.sigmoid(logit) >= thresholds[level])
            limit = tf.minimum(pre_nms[level], tf.shape(logit)[1])
            best = tf.math.top_k(tf.where(usable, logit, -float("inf")), limit)
            boxes.append(tf.gather(box, best.indices, batch_dims=1))
            scores.append(best.values)
            levels.append(tf.fill(tf.shape(best.values)[1:], level))
        proposals = suppress(
            tf.concat(boxes, axis=1),
            tf.concat(scores, axis=1),
            tf.concat(levels, axis=0),
            num_levels=len(levels),
            nms_iou=self.nms_iou,
            max_proposals=sum(pre_nms) if post_nms is None else post_nms,
            by_level=self.by_level,
            implementation=self.implementation,
        )
        return without_padding(proposals) if post_nms is None else proposals

    def match(self, output: LevelOutput, targets: Targets) -> Match:
        """Which object each anchor stands for, before any are drawn.

        Args:
            output: of ``predict``.
            targets: ground truth.
        """
        return match_cells(
            self.grid,
            output.anchors,
            output.feature_sizes,
            targets,
            output.image_size,
            foreground_iou=self.foreground_iou,
            background_iou=self.background_iou,
            claim_iou=self.claim_iou,
            min_object_side=self.min_object_side,
            max_outside=self.max_outside,
            crowd_cover=self.crowd_cover,
            inclusive=self.inclusive,
            match_crowds=self.match_crowds,
        )

    def sample(self, labels: Tensor, seed: Tensor, feature_sizes: Tensor) -> Tensor:
        """Draws the anchors of the loss, level by level.

        Args:
            labels: [B, N] int32 of ``match``.
            seed: [B, 2] int32.
            feature_sizes: [L, 2] int32 (height, width) of the maps in cells.

        Returns:
            [B, N] int32, -1 where not drawn.
        """
        drawn = [
            sample_labels(
                of_level,
                seed,
                num_samples=self.samples_per_level,
                foreground_fraction=self.foreground_fraction,
                # Far from the salts of the stages.
                salt=1 + 1000 * level,
            )
            for level, of_level in enumerate(self.grid.split(labels, feature_sizes))
        ]
        return tf.concat(drawn, axis=1)

    def encode(self, match: Match, output: LevelOutput, targets: Targets) -> Tensor:
        """[B, N, 4] float32 offsets from the anchors to their objects; zeros unless foreground."""
        boxes = gather_matched(targets.boxes, match) - (0.5 if self.inclusive else 0.0)
        deltas = self.coder.encode(boxes, output.anchors[None])
        return tf.where((match.labels == 1)[..., None], deltas, 0.0)

    def label(self, output: LevelOutput, targets: Targets) -> AnchorTargets:
        """Draws the anchors of the loss and encodes their objects.

        Args:
            output: of ``call``.
            targets: ground truth.
        """
        match = self.match(output, targets)
        match = match._replace(labels=self.sample(match.labels, targets.seed, output.feature_sizes))
        return AnchorTargets(match.labels, self.encode(match, output, targets))

    def named_layers(self) -> Iterator[NamedLayer]:
        """The layers with weights: ``hidden1``, ``objectness1``, ``offsets1`` of the first level, and on."""
        for layers in zip(self.hidden, self.objectness, self.offsets, strict=True):
            for layer in layers:
                yield NamedLayer(layer.name, layer)

    def anchor_losses(self, output: LevelOutput, labels: AnchorTargets) -> tuple[Tensor, Tensor]:
        """Means of the levels' losses; see ``AnchorProposals``."""
        losses = self.losses_of_levels(output, labels)
        objectness, box = (tf.add_n(values) / len(losses) for values in zip(*losses, strict=True))
        return objectness, box

    def losses_of_levels(self, output: LevelOutput, labels: AnchorTargets) -> list[tuple[Tensor, Tensor]]:
        """(objectness, box) loss of each level, float32 scalars that are not yet divided by their number."""

        def split(values: Tensor, axis: int = 1) -> list[Tensor]:
            return self.grid.split(values, output.feature_sizes, axis)

        outputs = map(RPNOutput, split(output.logits), split(output.deltas), split(output.anchors, axis=0))
        wanted = map(AnchorTargets, split(labels.labels), split(labels.deltas))
        losses = []
        for of_level, labels_of_level in zip(outputs, wanted, strict=True):
            objectness, box = rpn_losses(of_level, labels_of_level, samples_per_image=None, beta=self.beta)
            losses.append((objectness, self.box_weight * box))
        return losses
