"""The integral loss: classifiers of several qualities on the same boxes, and one regressor (Sec. 4.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.boxes import relabelled, sample_rois, unlabelled_samples
from cascade_tf.heads.stage import Stage
from cascade_tf.heads.stage_head import StageHead
from cascade_tf.layers.base import Layer, require
from cascade_tf.layers.map_order import as_maps
from cascade_tf.layers.map_strides import MapStrides
from cascade_tf.layers.named_layer import NamedLayer, inside
from cascade_tf.layers.ranges import require_not_negative, require_shares
from cascade_tf.layers.structured_arguments import as_proposals, box_targets
from cascade_tf.losses import stage_losses, stage_metrics
from cascade_tf.structures import (
    Detections,
    InstanceTargets,
    Proposals,
    Samples,
    StageOutput,
    Targets,
    Tensor,
)


@keras.saving.register_keras_serializable(package="cascade_tf")
class IntegralHeads(Layer):
    """T classifiers beside each other, each trained with the labels of its own threshold (Fig. 3 (d)).

    One draw of boxes, that of the lowest threshold, serves all. A box with an IoU of 0.55 is foreground to
    the classifier of 0.5 and background to those of 0.6 and 0.7. Each classifier has an output of its own,
    in the place of a cascade's stages and with their names in losses and metrics; boxes are the same in all.
    At test the probability is the mean of all.

    Args:
        stage: how boxes are drawn and regressed. Its head has the regressor and the first classifier, or all.
        pooling: pools the boxes, a part of the kind "pooling".
        ious: T thresholds, ascending from the stage's own (U of Eq. 14).
        further_heads: those of the other classifiers where each has hidden layers of its own; they regress
            nothing. Empty: the stage's head has all classifiers.
        append_ground_truth: whether the objects' own boxes join the proposals in training: ``"all"`` or
            ``"first"``, which are the same here, or ``"none"``.
        crowd_cover: see ``match_boxes``.
        match_crowds: see ``match_boxes``.
        box_beta: of the box loss, see ``stage_losses``.

    Raises:
        ValueError: thresholds that do not ascend from the stage's, another number of classifiers than of
            thresholds, a further head that regresses or knows other classes, or a setting outside its range.
    """

    has_masks = False

    def __init__(
        self,
        stage: Stage,
        pooling: keras.layers.Layer,
        ious: Sequence[float] = (0.5, 0.6, 0.7),
        further_heads: Sequence[StageHead] = (),
        append_ground_truth: str = "all",
        crowd_cover: float | None = 0.7,
        match_crowds: bool = False,
        box_beta: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        ascending = list(ious) == sorted({*ious}) and min(ious, default=None) == stage.iou and ious[-1] <= 1.0
        require(
            ascending, "ious", tuple(ious), f"ascending thresholds from {stage.iou}, the stage's, up to 1"
        )
        heads = [stage.head, *further_heads]
        count = sum(head.num_classifiers for head in heads)
        require(count == len(ious), "ious", tuple(ious), f"one for each of {count} classifiers")
        regressing = [head.regresses for head in heads]
        alone = [True, *[False] * len(further_heads)]
        require(regressing == alone, "regresses", regressing, f"{alone}, the regressor being that of all")
        classes = [head.num_classes for head in heads]
        require(len({*classes}) == 1, "further_heads", f"heads of {classes} classes", "as many in each")
        require(
            append_ground_truth in ("all", "first", "none"),
            "append_ground_truth",
            append_ground_truth,
            "'all', 'first' or 'none'",
        )
        require_not_negative(box_beta=box_beta)
        if crowd_cover is not None:
            require_shares(crowd_cover=crowd_cover)
        self.stage = stage
        self.pooling = pooling
        self.ious = tuple(ious)
        self.further_heads = list(further_heads)
        self.append_ground_truth = append_ground_truth
        self.crowd_cover = crowd_cover
        self.match_crowds = match_crowds
        self.box_beta = box_beta
        self.supports_jit = False

    @property
    def num_stages(self) -> int:
        """T, the number of classifiers, each with an output."""
        return len(self.ious)

    @property
    def rows(self) -> dict[str, slice]:
        """Which outputs each row of an evaluation by stages hears: each by itself (Fig. 9 (b)), then all."""
        alone = {f"classifier {iou:g}": slice(place, place + 1) for place, iou in enumerate(self.ious)}
        return {**alone, "mean": slice(self.num_stages)}

    @property
    def num_classes(self) -> int:
        """K, without the background."""
        return self.stage.head.num_classes

    @property
    def reported(self) -> tuple[str, ...]:
        """Names of the losses and metrics that ``fit`` shows."""
        of_classifiers = [f"stage{number}_class" for number in range(1, self.num_stages + 1)]
        return (*of_classifiers, "stage1_box", "stage1_iou_before", "stage1_iou_after")

    @property
    def weighted_by(self) -> dict[str, str]:
        """By what ``fit`` weights a metric of a step: overlaps by the foreground boxes that they are of."""
        return {f"stage1_iou_{when}": "stage1_positives" for when in ("before", "after")}

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Builds all heads for the shapes of the features."""
        shapes = as_maps(input_shape)
        self.stage.build_on(shapes, self.pooling)
        for head in self.further_heads:
            if not head.built:
                head.build_on(shapes, self.pooling)
        self.built = True

    def map_strides(self, names: Sequence[str]) -> Iterator[MapStrides]:
        """The strides that the heads take the maps of these names to have."""
        for head in (self.stage.head, *self.further_heads):
            yield from (one.inside("pooling") for one in head.map_strides(names, self.pooling))

    def named_layers(self) -> Iterator[NamedLayer]:
        """The heads' layers with weights, as ``head1.fc1``; further heads count from 2."""
        for number, head in enumerate((self.stage.head, *self.further_heads), start=1):
            yield from inside(f"head{number}", head.named_layers())

    def call(
        self,
        features: Mapping[str, Tensor],
        proposals: Proposals,
        image_size: Tensor,
        targets: Targets | None = None,
        training: bool = False,
    ) -> tuple[StageOutput, ...]:
        """Runs all classifiers on the same boxes, and the regressor.

        Args:
            features: ``{"P2": [B, h, w, C], ...}``, or in a list from fine to coarse.
            proposals: R boxes per image.
            image_size: [B, 2] (height, width) before padding.
            targets: ground truth, needed in training.
            training: whether boxes are sampled and labelled.

        Returns:
            T outputs, which differ in logits and, in training, in labels. In training S is the stage's
            ``num_samples``, in inference R.

        Raises:
            ValueError: training without targets, or with an object of a class outside of 1..K, which is a
                tf.errors.InvalidArgumentError where a graph runs.
        """
        if training and targets is None:
            raise ValueError("IntegralHeads needs targets when training=True, got None")
        features, proposals = as_maps(features), as_proposals(proposals)
        truth = box_targets(targets, self.num_classes) if training and targets is not None else None
        samples = self._sample(proposals, truth)
        head = self.stage.head
        maps = head.prepare(features)
        pooled = head.pool(self.pooling, maps, samples.boxes)
        seed = None if truth is None else truth.seed
        logits, deltas = self.stage(pooled, training=training, seed=seed)
        found = [(maps, pooled, one) for one in tf.split(logits, head.num_classifiers, axis=-1)]
        boxes = self.stage.regress(found[0][2], deltas, samples)
        for number, further in enumerate(self.further_heads, start=1):
            if further.makes_maps or head.makes_maps:
                maps = further.prepare(features)
                pooled = further.pool(self.pooling, maps, samples.boxes)
            seed = None if truth is None else tf.add(truth.seed, [0, number])
            found.append((maps, pooled, further.judge(pooled, training=training, seed=seed)[0]))
        return tuple(
            StageOutput(self._labelled(samples, truth, iou), *of_classifier, deltas, boxes)
            for iou, of_classifier in zip(self.ious, found, strict=True)
        )

    def _sample(self, proposals: Proposals, targets: Targets | None) -> Samples:
        if targets is None:
            return unlabelled_samples(proposals)
        stage = self.stage
        return sample_rois(
            proposals,
            targets,
            iou=stage.iou,
            num_samples=stage.num_samples,
            foreground_fraction=stage.foreground_fraction,
            append_ground_truth=self.append_ground_truth != "none",
            crowd_cover=self.crowd_cover,
            match_crowds=self.match_crowds,
            background_range=stage.background_range,
            top_up=stage.top_up,
            salt=2,
        )

    def _labelled(self, samples: Samples, targets: Targets | None, iou: float) -> Samples:
        """The boxes with the labels of one classifier; at test there are none."""
        if targets is None or iou == self.stage.iou:
            return samples
        return relabelled(
            samples, targets, iou=iou, crowd_cover=self.crowd_cover, match_crowds=self.match_crowds
        )

    def class_probabilities(self, outputs: Sequence[StageOutput]) -> Tensor:
        """[B, R, K + 1] float32 class probabilities of the boxes: the mean of what these outputs say."""
        return tf.add_n([tf.nn.softmax(output.logits) for output in outputs]) / float(len(outputs))

    def detection_boxes(self, outputs: Sequence[StageOutput]) -> Tensor:
        """[B, R, 1, 4] or [B, R, K, 4] boxes of the regressor: for all classes, or for each."""
        return self.stage.decode(outputs[-1].deltas, outputs[-1].samples.boxes)

    def compute_losses(
        self,
        features: Mapping[str, Tensor],
        outputs: Sequence[StageOutput],
        image_size: Tensor,
        targets: Targets | InstanceTargets,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What the classifiers (Eq. 14) and the regressor are to learn from.

        Args:
            features: as in ``call``, with the three others.
            outputs: of ``call`` in training.
            image_size: see there.
            targets: see there.

        Returns:
            Losses (``stage1_class`` to that of classifier T, and ``stage1_box`` of the foreground of the
            lowest threshold) and metrics (``stage1_positives``, ``stage1_iou_before``, ``stage1_iou_after``,
            ``stage1_accuracy``, ...); float32 scalars.
        """
        losses: dict[str, Tensor] = {}
        metrics: dict[str, Tensor] = {}
        for number, output in enumerate(outputs, start=1):
            class_loss, box_loss = stage_losses(
                output,
                self.stage.coder,
                beta=self.box_beta,
                box_weight=self.stage.box_weight,
                hard_examples=self.stage.hard_examples,
            )
            losses[f"stage{number}_class"] = self.stage.weight * class_loss
            if number == 1:
                losses["stage1_box"] = self.stage.weight * box_loss
            for name, value in stage_metrics(output)._asdict().items():
                metrics[f"stage{number}_{name}"] = value
        return losses, metrics

    def with_masks(self, features: Mapping[str, Tensor], detections: Detections) -> Detections:
        """Returns the detections as they are: there are no masks."""
        return detections
