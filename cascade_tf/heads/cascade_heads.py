"""The paper's algorithm: heads in sequence, each trained on the boxes of the one before (Sec. 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.boxes import clip_boxes, is_proper, sample_rois, unlabelled_samples
from cascade_tf.heads.ensemble import ENSEMBLES, ensemble_probabilities
from cascade_tf.heads.mask_branch import MaskBranch
from cascade_tf.heads.stage import Stage
from cascade_tf.layers.base import Layer, require
from cascade_tf.layers.map_order import as_maps
from cascade_tf.layers.map_strides import MapStrides
from cascade_tf.layers.named_layer import NamedLayer, inside
from cascade_tf.layers.ranges import require_not_negative, require_overlaps, require_shares
from cascade_tf.layers.structured_arguments import as_proposals, box_targets, instance_targets
from cascade_tf.losses import stage_losses, stage_metrics
from cascade_tf.ops.gradients import scale_gradient
from cascade_tf.structures import (
    Detections,
    InstanceDetections,
    InstanceTargets,
    Proposals,
    Samples,
    StageOutput,
    Targets,
    Tensor,
)


@keras.saving.register_keras_serializable(package="cascade_tf")
class CascadeHeads(Layer):
    """Runs proposals through the stages; a plain two-stage detector is a cascade of one.

    Args:
        stages: T stages, in order.
        pooling: pools the boxes of every stage, a part of the kind "pooling".
        rescale_heads: each head learns at full rate and only the gradient that it sends into the shared
            features is multiplied by its stage's weight; equal to weighting the losses and multiplying the
            head's learning rate by 1 / weight (Sec. 6.4). False weights the losses alone.
        append_ground_truth: whether the objects' own boxes join the proposals, ``"all"`` stages (the authors'
            code), the ``"first"`` only (detectron2) or ``"none"``.
        redundant_iou: with ``append_ground_truth="all"``, boxes that came in with at least this IoU do not go
            on, because the next stage gets the object itself (0.95 in the authors' code).
        clip_boxes: whether boxes are clipped to the image between the stages (detectron2; the authors do
            not).
        ensemble: class probabilities at test: ``"last_boxes"`` averages all classifiers on the last stage's
            boxes (the paper, Table 2), ``"own_boxes"`` averages what each said of its own boxes
            (detectron2), ``"own_logits"`` averages the logits of these before the softmax (mmdetection),
            ``"last_stage"`` takes the last classifier alone, ``"first_stage"`` the first on its own boxes.
        crowd_cover: see ``match_boxes``.
        match_crowds: see ``match_boxes``.
        min_side: boxes with a shorter side, in pixels, do not go on in training. The authors' code wants the
            last pixel of a box not before its first, which is 1.
        inclusive: see ``clip_boxes``.
        box_beta: of the box losses, see ``stage_losses``.
        masks: mask heads on some of the stages; None: boxes alone. Their loss has weight 1 (Detectron,
            detectron2), or with ``rescale_heads=False`` that of the stage (MMDetection).
        iterations: how often the last stage is applied at test, to the proposals and then to its own boxes.
            More than 1 with one stage is iterative box regression (Sec. 4.4, Eq. 13). Its outputs follow
            those of the stages; an ensemble on the last boxes hears each classifier once, one on own boxes
            every output.

    Raises:
        ValueError: no stages, heads of several numbers of classes, an unknown choice, a number outside its
            range, or masks on a stage that does not exist.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        pooling: keras.layers.Layer,
        rescale_heads: bool = True,
        append_ground_truth: str = "all",
        redundant_iou: float = 0.95,
        clip_boxes: bool = False,
        ensemble: str = "last_boxes",
        crowd_cover: float | None = 0.7,
        inclusive: bool = False,
        box_beta: float = 1.0,
        masks: MaskBranch | None = None,
        match_crowds: bool = False,
        min_side: float = 0.0,
        iterations: int = 1,
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        if not stages:
            raise ValueError("CascadeHeads needs at least one stage, got none")
        classes = {stage.head.num_classes for stage in stages}
        if len(classes) != 1:
            raise ValueError(f"stages: got heads of {sorted(classes)} classes, expected as many in each")
        require(
            masks is None or masks.stages[-1] <= len(stages),
            "masks",
            f"stages {masks.stages}" if masks else None,
            f"numbers of stages in 1..{len(stages)}",
        )
        if append_ground_truth not in ("all", "first", "none"):
            raise ValueError(
                f"append_ground_truth must be 'all', 'first' or 'none', got {append_ground_truth!r}"
            )
        if ensemble not in ENSEMBLES:
            raise ValueError(f"ensemble must be one of {', '.join(ENSEMBLES)}, got {ensemble!r}")
        require(iterations >= 1, "iterations", iterations, "1 or more")
        require_overlaps(redundant_iou=redundant_iou)
        require_not_negative(box_beta=box_beta, min_side=min_side)
        if crowd_cover is not None:
            require_shares(crowd_cover=crowd_cover)
        self.stages = list(stages)
        self.pooling = pooling
        self.rescale_heads = rescale_heads
        self.append_ground_truth = append_ground_truth
        self.redundant_iou = redundant_iou
        self.clip_boxes = clip_boxes
        self.ensemble = ensemble
        self.crowd_cover = crowd_cover
        self.inclusive = inclusive
        self.box_beta = box_beta
        self.masks = masks
        self.match_crowds = match_crowds
        self.min_side = min_side
        self.iterations = iterations
        self.supports_jit = False

    @property
    def num_stages(self) -> int:
        """Outputs at test: T, the number of detectors in sequence, and one for each further iteration."""
        return len(self.stages) + self.iterations - 1

    @property
    def rows(self) -> dict[str, slice]:
        """Which outputs each row of an evaluation by stages hears: the first t, up to all of them."""
        what = "iteration" if len(self.stages) == 1 < self.iterations else "stage"
        return {f"{what} {count}": slice(count) for count in range(1, self.num_stages + 1)}

    @property
    def num_classes(self) -> int:
        """K, without the background."""
        return self.stages[0].head.num_classes

    @property
    def has_masks(self) -> bool:
        """Whether there are mask heads."""
        return self.masks is not None

    @property
    def reported(self) -> tuple[str, ...]:
        """Names of the losses and metrics that ``fit`` shows."""
        of_stages = [
            f"stage{number}_{name}"
            for number in range(1, len(self.stages) + 1)
            for name in ("class", "box", "iou_before", "iou_after")
        ]
        return (*of_stages, *(f"stage{number}_mask" for number in (self.masks.stages if self.masks else ())))

    @property
    def weighted_by(self) -> dict[str, str]:
        """By what ``fit`` weights a metric of a step: overlaps by the foreground boxes that they are of."""
        numbers = range(1, len(self.stages) + 1)
        return {
            f"stage{n}_iou_{when}": f"stage{n}_positives" for n in numbers for when in ("before", "after")
        }

    @property
    def loss_weights(self) -> list[float]:
        """T factors of the stages' losses: 1 where the gradients are scaled instead."""
        return [1.0 if self.rescale_heads else stage.weight for stage in self.stages]

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Builds every stage for the shapes of the features."""
        for stage in self.stages:
            stage.build_on(as_maps(input_shape), self.pooling)
        if self.masks is not None and not self.masks.built:
            self.masks.build(input_shape)
        self.built = True

    def map_strides(self, names: Sequence[str]) -> Iterator[MapStrides]:
        """The strides that the stages and mask heads take the maps of these names to have."""
        for stage in self.stages:
            yield from (one.inside("pooling") for one in stage.head.map_strides(names, self.pooling))
        if self.masks is not None:
            yield from (one.inside("masks") for one in self.masks.map_strides(names))

    def named_layers(self) -> Iterator[NamedLayer]:
        """The heads' layers with weights, as ``head1.fc1`` and ``mask3.conv1`` with the stage's number."""
        for number, stage in enumerate(self.stages, start=1):
            yield from inside(f"head{number}", stage.head.named_layers())
        if self.masks is not None:
            yield from self.masks.named_layers()

    def call(
        self,
        features: Mapping[str, Tensor],
        proposals: Proposals,
        image_size: Tensor,
        targets: Targets | None = None,
        training: bool = False,
    ) -> tuple[StageOutput, ...]:
        """Runs all stages.

        Args:
            features: ``{"P2": [B, h, w, C], ...}``, or in a list from fine to coarse.
            proposals: R boxes per image.
            image_size: [B, 2] (height, width) before padding.
            targets: ground truth, needed in training.
            training: whether boxes are sampled and labelled.

        Returns:
            T outputs, at test ``num_stages``. In training S is the first stage's ``num_samples``, plus G in
            later stages where ground truth is appended; in inference S = R.

        Raises:
            ValueError: training without targets, or with an object of a class outside of 1..K, which is a
                tf.errors.InvalidArgumentError where a graph runs.
        """
        if training and targets is None:
            raise ValueError("CascadeHeads needs targets when training=True, got None")
        features = as_maps(features)
        proposals = as_proposals(proposals)
        truth = box_targets(targets, self.num_classes) if training and targets is not None else None
        outputs: list[StageOutput] = []
        for number, stage in enumerate(self.stages):
            if truth is None:
                samples, seed = unlabelled_samples(proposals), None
            else:
                samples = self._sample(number, proposals, truth)
                seed = tf.add(truth.seed, [0, number])
            in_turn = training and stage is not self.stages[-1]
            maps, pooled, features = self._read(stage, features, samples.boxes, in_turn)
            logits, deltas = stage(pooled, training=training, seed=seed)
            boxes = self._regress(stage, logits, deltas, samples, image_size)
            outputs.append(StageOutput(samples, maps, pooled, logits, deltas, boxes))
            proposals = self._hand_on(number, outputs[-1], truth)
        for _ in range(0 if training else self.iterations - 1):
            outputs.append(self._again(outputs[-1], image_size))
        return tuple(outputs)

    def _again(self, output: StageOutput, image_size: Tensor) -> StageOutput:
        """The last stage on the boxes that it made, which it pools from the maps that it has."""
        stage = self.stages[-1]
        samples = unlabelled_samples(self._hand_on(-1, output, None))
        pooled = stage.head.pool(self.pooling, output.maps, samples.boxes)
        logits, deltas = stage(pooled)
        boxes = self._regress(stage, logits, deltas, samples, image_size)
        return StageOutput(samples, output.maps, pooled, logits, deltas, boxes)

    def _regress(
        self, stage: Stage, logits: Tensor, deltas: Tensor, samples: Samples, image_size: Tensor
    ) -> Tensor:
        boxes = stage.regress(logits, deltas, samples)
        return clip_boxes(boxes, image_size, self.inclusive) if self.clip_boxes else boxes

    def _read(
        self, stage: Stage, features: Mapping[str, Tensor], boxes: Tensor, in_turn: bool
    ) -> tuple[dict[str, Tensor], Any, Mapping[str, Tensor]]:
        """The maps of a stage, what its head reads of its boxes, and the features for the next stage.

        The gradient that leaves the head for the shared features is scaled where it is smallest: behind the
        pooling where the maps are the features themselves, before the maps where a head makes its own.
        """
        scale = stage.weight if self.rescale_heads else 1.0
        if stage.head.makes_maps:
            scaled = {name: scale_gradient(value, scale) for name, value in features.items()}
            maps = stage.head.prepare(scaled)
            return maps, stage.head.pool(self.pooling, maps, boxes), features
        maps = stage.head.prepare(features)
        if in_turn:
            pooled, features = self.pooling.pool_in_turn(maps, boxes)
        else:
            pooled = stage.head.pool(self.pooling, maps, boxes)
        return maps, pooled if scale == 1.0 else scale_gradient(pooled, scale), features

    def _sample(self, number: int, proposals: Proposals, targets: Targets) -> Samples:
        stage = self.stages[number]
        append = self.append_ground_truth == "all" or (self.append_ground_truth == "first" and number == 0)
        return sample_rois(
            proposals,
            targets,
            iou=stage.iou,
            num_samples=stage.num_samples,
            foreground_fraction=stage.foreground_fraction,
            append_ground_truth=append,
            crowd_cover=self.crowd_cover,
            match_crowds=self.match_crowds,
            background_range=stage.background_range,
            top_up=stage.top_up,
            salt=2 + number,
        )

    def _hand_on(self, number: int, output: StageOutput, targets: Targets | None) -> Proposals:
        """The stage's boxes as proposals of the next; gradients do not flow through boxes."""
        boxes, samples = tf.stop_gradient(output.boxes), output.samples
        if targets is None:
            return Proposals(boxes, samples.scores, samples.valid & is_proper(boxes))
        proposals = Proposals(boxes, samples.scores, samples.valid & is_proper(boxes, self.min_side))
        if self.append_ground_truth != "all":
            return proposals
        proposals = proposals._replace(valid=proposals.valid & (samples.gt_iou < self.redundant_iou))
        if self.stages[number].num_samples is None:
            # The objects that this stage got stand at the end; the next stage gets them afresh.
            count = tf.shape(boxes)[1] - tf.shape(targets.boxes)[1]
            proposals = Proposals(*(value[:, :count] for value in proposals))
        return proposals

    def head_on_boxes(
        self, head: int, features: Mapping[str, Tensor], boxes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Runs the head of one stage on any boxes, for example those of another stage.

        Args:
            head: index of the stage, from 0.
            features: ``{"P2": [B, h, w, C], ...}``.
            boxes: [B, R, 4] float32.

        Returns:
            Class logits [B, R, K + 1] and offsets [B, R, 4] or [B, R, 4 K], normalised by that stage's
            ``std``.
        """
        chosen = self.stages[head].head
        return self.stages[head](chosen.pool(self.pooling, chosen.prepare(features), boxes))

    def class_probabilities(self, outputs: Sequence[StageOutput], ensemble: str | None = None) -> Tensor:
        """Class probabilities for the boxes of the last of ``outputs``.

        Pass ``outputs[:t]`` for the cascade cut off after stage t (the rows 1, 1~2, 1~3 of Table 2), or for
        t iterations of one stage.

        Args:
            outputs: the first t.
            ensemble: see the class; None takes the layer's own.

        Returns:
            [B, R, K + 1] float32.
        """
        stages = [self._stage_of(number) for number in range(len(outputs))]
        return ensemble_probabilities(ensemble or self.ensemble, stages, outputs, self.pooling)

    def detection_boxes(self, outputs: Sequence[StageOutput]) -> Tensor:
        """[B, R, 1, 4] or [B, R, K, 4] boxes of the last of ``outputs``: for all classes, or for each."""
        last = outputs[-1]
        return self._stage_of(len(outputs) - 1).decode(last.deltas, last.samples.boxes)

    def _stage_of(self, number: int) -> Stage:
        """The stage that made an output; the last one makes those of all further iterations."""
        return self.stages[min(number, len(self.stages) - 1)]

    def compute_losses(
        self,
        features: Mapping[str, Tensor],
        outputs: Sequence[StageOutput],
        image_size: Tensor,
        targets: Targets | InstanceTargets,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What all stages are to learn from.

        Args:
            features: as in ``call``; the mask heads run here.
            outputs: of ``call`` in training.
            image_size: as in ``call``.
            targets: ground truth, with masks where there are mask heads.

        Returns:
            Losses (``stage1_class``, ``stage1_box``, ...; ``stage3_mask`` for a mask head of stage 3),
            already weighted, and metrics (``stage1_positives``, ``stage1_iou_before``, ``stage1_iou_after``,
            ``stage1_accuracy``, ...); float32 scalars.

        Raises:
            ValueError: there are mask heads and the targets have no masks.
        """
        losses: dict[str, Tensor] = {}
        metrics: dict[str, Tensor] = {}
        parts = zip(outputs, self.stages, self.loss_weights, strict=True)
        for number, (output, stage, weight) in enumerate(parts, start=1):
            class_loss, box_loss = stage_losses(
                output,
                stage.coder,
                beta=self.box_beta,
                box_weight=stage.box_weight,
                hard_examples=stage.hard_examples,
            )
            losses[f"stage{number}_class"] = weight * class_loss
            losses[f"stage{number}_box"] = weight * box_loss
            for name, value in stage_metrics(output)._asdict().items():
                metrics[f"stage{number}_{name}"] = value
        if self.masks is not None:
            of_masks = self.masks.compute_losses(features, outputs, image_size, instance_targets(targets))
            # A head of its own needs no rescaling; only losses that are weighted as a whole weight it too.
            losses |= {f"stage{n}_mask": self.loss_weights[n - 1] * loss for n, loss in of_masks.items()}
        return losses, metrics

    def with_masks(
        self, features: Mapping[str, Tensor], detections: Detections
    ) -> Detections | InstanceDetections:
        """Gives detections their masks, where there are mask heads; see ``MaskBranch.with_masks``."""
        return detections if self.masks is None else self.masks.with_masks(features, detections)
