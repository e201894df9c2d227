"""Region proposal network (Ren et al., 2015) on a feature pyramid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.boxes import AnchorGrid, BoxCoder, clip_boxes, match_anchors, sample_labels
from cascade_tf.boxes.matching import gather_matched
from cascade_tf.layers.base import require
from cascade_tf.layers.image_areas import areas_of_boxes
from cascade_tf.layers.map_order import as_maps, check_strides
from cascade_tf.layers.map_strides import MapStrides
from cascade_tf.layers.named_layer import NamedLayer
from cascade_tf.losses import rpn_losses
from cascade_tf.proposals.anchor_proposals import AnchorProposals
from cascade_tf.proposals.convolutions import channels_of, chosen_maps, chosen_names, convolution
from cascade_tf.proposals.label_settings import check_label_settings
from cascade_tf.proposals.suppression import suppress
from cascade_tf.structures import AnchorTargets, AreaOutput, Proposals, RPNOutput, Targets, Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class RegionProposal(AnchorProposals):
    """Class-agnostic proposals from every pyramid level, with one head shared by the levels.

    Args:
        anchor_sizes: pixels, for each level a number or several.
        aspect_ratios: height / width.
        strides: pixels per cell of each level.
        levels: names of the maps that it reads; None: all that come.
        anchor_offset: centre of an anchor within its cell; see ``AnchorGrid``.
        channels: of the hidden 3x3 convolution; None takes the features' channel count.
        pre_nms_train: best-scored boxes per level that reach NMS in training.
        pre_nms_test: the same in inference.
        post_nms_train: R, proposals per image in training.
        post_nms_test: the same in inference.
        nms_iou: NMS threshold, within each level.
        samples_per_image: anchors per image in the loss.
        foreground_fraction: share of foreground among them, at most.
        foreground_iou: anchors are foreground from here on.
        background_iou: anchors are background below.
        crowd_cover: see ``match_boxes``.
        claim_untouched: see ``match_anchors``.
        round_anchors: see ``AnchorGrid``'s ``rounding``.
        inclusive: see ``clip_boxes``.
        beta: of the box loss, see ``rpn_losses``.
        implementation: of NMS, see ``ops``.

    Raises:
        ValueError: a limit below 1, or a share or overlap outside 0..1.
    """

    kind = "proposals"
    asserts_sizes = True

    def __init__(
        self,
        anchor_sizes: Sequence[float | Sequence[float]] = (32, 64, 128, 256, 512),
        aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        strides: Sequence[int] = (4, 8, 16, 32, 64),
        levels: Sequence[str] | None = None,
        anchor_offset: float = 0.0,
        channels: int | None = None,
        pre_nms_train: int = 2000,
        pre_nms_test: int = 1000,
        post_nms_train: int = 1000,
        post_nms_test: int = 1000,
        nms_iou: float = 0.7,
        samples_per_image: int = 256,
        foreground_fraction: float = 0.5,
        foreground_iou: float = 0.7,
        background_iou: float = 0.3,
        crowd_cover: float | None = 0.7,
        claim_untouched: bool = False,
        round_anchors: bool = False,
        inclusive: bool = False,
        beta: float = 1.0 / 9.0,
        implementation: str = "auto",
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        limits = {
            "pre_nms_train": pre_nms_train,
            "pre_nms_test": pre_nms_test,
            "post_nms_train": post_nms_train,
            "post_nms_test": post_nms_test,
            "samples_per_image": samples_per_image,
        }
        for name, limit in limits.items():
            require(limit >= 1, name, limit, "1 or more")
        self.anchor_sizes = anchor_sizes
        self.aspect_ratios = aspect_ratios
        self.strides = strides
        self.levels = levels
        self.anchor_offset = anchor_offset
        self.channels = channels
        self.pre_nms_train = pre_nms_train
        self.pre_nms_test = pre_nms_test
        self.post_nms_train = post_nms_train
        self.post_nms_test = post_nms_test
        self.nms_iou = nms_iou
        self.samples_per_image = samples_per_image
        self.foreground_fraction = foreground_fraction
        self.foreground_iou = foreground_iou
        self.background_iou = background_iou
        self.crowd_cover = crowd_cover
        self.claim_untouched = claim_untouched
        self.round_anchors = round_anchors
        self.inclusive = inclusive
        self.beta = beta
        check_label_settings(self)
        self.implementation = implementation
        self.supports_jit = False
        self.grid = AnchorGrid(anchor_sizes, aspect_ratios, strides, anchor_offset, round_anchors)
        # The proposals' offsets are small multiples of the anchor's size already: no statistics.
        self.coder = BoxCoder(std=(1.0, 1.0, 1.0, 1.0))

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Creates the shared head for the channel count of the features."""
        shapes = as_maps(input_shape)
        channels = channels_of(chosen_maps(shapes, chosen_names(shapes, self.levels))[0])
        hidden = self.channels or channels
        anchors = self.grid.anchors_per_cell
        policy = self.dtype_policy
        self.hidden = convolution("hidden", hidden, 3, channels, dtype=policy, activation="relu")
        self.objectness = convolution("objectness", anchors, 1, hidden, dtype=policy)
        self.offsets = convolution("offsets", 4 * anchors, 1, hidden, dtype=policy)
        self.built = True

    def map_strides(self, names: Sequence[str]) -> Iterator[MapStrides]:
        """The strides that it takes the maps of these names to have."""
        yield MapStrides("strides", chosen_names(names, self.levels), tuple(self.strides))

    def call(
        self, features: Mapping[str, Tensor], image_size: Tensor, training: bool = False
    ) -> tuple[RPNOutput | AreaOutput, Proposals]:
        """Scores all anchors and turns the best into proposals.

        Args:
            features: ``{"P2": [B, h, w, C], ...}``, one map per stride; or a list of them from fine to
                coarse. For their order see ``layers.map_order.fine_to_coarse``.
            image_size: [B, 2] (height, width) before padding.
            training: which of the two sets of limits applies.

        Returns:
            The raw output, and R proposals per image without gradient, best first.

        Raises:
            ValueError: a map is missing or too many, or the sizes of the maps contradict the strides; where
                only a running graph knows these, an InvalidArgumentError there.
        """
        features = as_maps(features)
        names = chosen_names(features, self.levels)
        maps = chosen_maps(features, names)
        check_strides("RegionProposal", features, names, self.strides, self.asserts_sizes)
        logits, deltas, sizes = [], [], []
        for feature in maps:
            hidden = self.hidden(feature)
            shape = tf.shape(hidden)
            logits.append(tf.cast(tf.reshape(self.objectness(hidden), [shape[0], -1]), tf.float32))
            deltas.append(tf.cast(tf.reshape(self.offsets(hidden), [shape[0], -1, 4]), tf.float32))
            sizes.append((shape[1], shape[2]))
        anchors = self.grid(sizes)
        output = RPNOutput(tf.concat(logits, axis=1), tf.concat(deltas, axis=1), tf.concat(anchors, axis=0))
        areas = areas_of_boxes()
        if areas is None:
            return output, self._propose(logits, deltas, anchors, image_size, training)
        of_image = [
            self._in_areas(areas.cells(stride), *size)
            for stride, size in zip(self.strides, sizes, strict=True)
        ]
        # A score of minus infinity is none.
        logits = [tf.where(own, one, -float("inf")) for own, one in zip(of_image, logits, strict=True)]
        proposals = self._propose(logits, deltas, anchors, image_size, training)
        return AreaOutput(*output, tf.concat(of_image, axis=1)), proposals

    def _in_areas(self, own: Tensor, height: Tensor, width: Tensor) -> Tensor:
        """[B, h * w * A] bool: the anchors in the cells of a map of which each image has [B, 2]."""
        rows, columns = tf.range(height) < own[:, :1], tf.range(width) < own[:, 1:]
        cells = tf.reshape(rows[:, :, None] & columns[:, None, :], [tf.shape(rows)[0], -1])
        return tf.repeat(cells, self.grid.anchors_per_cell, axis=1)

    def _propose(
        self,
        logits: list[Tensor],
        deltas: list[Tensor],
        anchors: list[Tensor],
        image_size: Tensor,
        training: bool,
    ) -> Proposals:
        limit = self.pre_nms_train if training else self.pre_nms_test
        boxes, scores, levels = [], [], []
        for level in range(len(logits)):
            best = tf.math.top_k(
                tf.stop_gradient(logits[level]), tf.minimum(limit, tf.shape(logits[level])[1])
            )
            offsets = tf.gather(tf.stop_gradient(deltas[level]), best.indices, batch_dims=1)
            boxes.append(self.coder.decode(offsets, tf.gather(anchors[level], best.indices)))
            scores.append(best.values)
            levels.append(tf.fill(tf.shape(best.values)[1:], level))
        clipped = clip_boxes(tf.concat(boxes, axis=1), image_size, self.inclusive)
        proper = tf.reduce_all(clipped[..., 2:] > clipped[..., :2], axis=-1)
        usable = tf.where(proper, tf.concat(scores, axis=1), -float("inf"))
        return suppress(
            clipped,
            usable,
            tf.concat(levels, axis=0),
            num_levels=len(logits),
            nms_iou=self.nms_iou,
            max_proposals=self.post_nms_train if training else self.post_nms_test,
            implementation=self.implementation,
        )

    def label(self, output: RPNOutput | AreaOutput, targets: Targets) -> AnchorTargets:
        """Draws the anchors of the loss and encodes their objects.

        Args:
            output: of ``call``.
            targets: ground truth.
        """
        of_image = output.of_image if isinstance(output, AreaOutput) else None
        match = match_anchors(
            output.anchors,
            targets,
            foreground_iou=self.foreground_iou,
            background_iou=self.background_iou,
            claim_untouched=self.claim_untouched,
            crowd_cover=self.crowd_cover,
            of_image=of_image,
        )
        labels = sample_labels(
            match.labels,
            targets.seed,
            num_samples=self.samples_per_image,
            foreground_fraction=self.foreground_fraction,
            salt=1,
            of_image=of_image,
        )
        gt_boxes = gather_matched(targets.boxes, match)
        deltas = self.coder.encode(gt_boxes, output.anchors[None])
        return AnchorTargets(labels, tf.where((labels == 1)[..., None], deltas, 0.0))

    def named_layers(self) -> Iterator[NamedLayer]:
        """The layers with weights: ``hidden``, ``objectness`` and ``offsets``."""
        for name in ("hidden", "objectness", "offsets"):
            yield NamedLayer(name, getattr(self, name))

    def anchor_losses(self, output: RPNOutput | AreaOutput, labels: AnchorTargets) -> tuple[Tensor, Tensor]:
        """Losses over the number of anchors that are to be drawn; see ``AnchorProposals``."""
        return rpn_losses(output, labels, samples_per_image=self.samples_per_image, beta=self.beta)
