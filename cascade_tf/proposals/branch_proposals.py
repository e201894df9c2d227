"""Proposals of MS-CNN: on each of several maps a small detector for boxes of the sizes that it sees whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.boxes import (
    BoxCoder,
    Match,
    ShapeGrid,
    clip_boxes,
    hardest_negatives,
    is_proper,
    match_cells,
    random_negatives,
    random_priority,
)
from cascade_tf.boxes.matching import gather_matched
from cascade_tf.layers.map_order import as_maps, check_strides
from cascade_tf.layers.map_strides import MapStrides
from cascade_tf.layers.named_layer import NamedLayer
from cascade_tf.losses import branch_losses
from cascade_tf.proposals.branch_checks import check_branches
from cascade_tf.proposals.branch_settings import KITTI_KERNELS, KITTI_TEMPLATES, Kernels, Templates
from cascade_tf.proposals.convolutions import channels_of, chosen_maps, convolution
from cascade_tf.proposals.limited_proposals import LimitedProposals
from cascade_tf.proposals.suppression import suppress, without_padding
from cascade_tf.structures import AnchorTargets, BranchOutput, Proposals, Targets, Tensor

_LAST_PIXEL = (0.0, 0.0, 1.0, 1.0)


@keras.saving.register_keras_serializable(package="cascade_tf")
class BranchProposals(LimitedProposals):
    """Proposals of several branches, each on a map of its own, which tell the classes apart.

    A branch has one convolution for each of its templates, a box of one size, whose K + 1 class logits and
    four offsets say whether an object of about that size is centred on a cell. A box's score is the largest
    logit of a class less that of the background. The boxes of all branches are pooled and suppressed
    together.

    The defaults are those of the authors' network for KITTI (zhaoweicai/mscnn, examples/kitti_car), but for
    the legacy arithmetic of ``inclusive``.

    Args:
        num_classes: K, without the background.
        templates: for each branch the (width, height) of its templates, pixels.
        kernels: for each branch the (height, width) of the convolution of each template, cells.
        strides: pixels per cell of the map of each branch.
        levels: names of these maps.
        hidden: for each branch the channels of a 3x3 convolution before the templates'; None: there is none.
        std: standard deviations of the offsets (dx, dy, dw, dh).
        max_shift: predicted centres move by this share of the template's side at most; None: any.
        max_growth: predicted sides grow or shrink by this factor at most; None: any. Predictions beyond these
            two limits are clipped before the loss, and learn as if they were not.
        score_threshold_train: boxes are proposals from this score on, in training.
        score_threshold_test: the same in inference.
        min_side: proposals with a shorter side are dropped, pixels.
        pre_nms_train: best-scored boxes of all branches that reach NMS in training.
        pre_nms_test: the same in inference.
        post_nms_train: R, proposals per image in training; None: all that NMS leaves, R is the number of the
            fullest image of a batch.
        post_nms_test: the same in inference.
        nms_iou: NMS threshold.
        negatives: background in the loss: ``"hardest"``, the highest logits of each class, or ``"random"``,
            as in the first of the authors' two steps of training.
        negative_multiple: background for each one of the foreground; and the share of both in the class loss,
            1 to this, however many there are.
        min_negatives: background for each class, image and template, at least.
        foreground_iou: candidates are foreground above.
        background_iou: candidates are background below.
        claim_iou: see ``match_cells``.
        min_object_side: see ``match_cells``.
        crowd_cover: see ``match_cells``.
        match_crowds: see ``match_cells``.
        inclusive: the authors' arithmetic, which takes the coordinates of objects' last pixels for their far
            edges, and the far edges of proposals for coordinates of last pixels.
        shift_into_image: moves a box that begins before the image's first row or column into it, as the
            authors' code does; False: cuts off what lies outside.
        beta: of the box loss, see ``smooth_l1``.
        box_weight: of the box loss beside the class loss (lambda of Eq. 12).
        branch_weights: of each branch's losses, which are added.
        implementation: of NMS, see ``ops``.

    Raises:
        ValueError: a limit below 1, a share or overlap outside 0..1, an unknown choice, or numbers for
            another number of branches or templates.
    """

    kind = "proposals"
    num_classes: int

    def __init__(
        self,
        num_classes: int,
        templates: Templates = KITTI_TEMPLATES,
        kernels: Kernels = KITTI_KERNELS,
        strides: Sequence[int] = (8, 16, 32, 64),
        levels: Sequence[str] = ("P3", "P4", "P5", "P6"),
        hidden: Sequence[int | None] = (512, None, None, None),
        std: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
        max_shift: float | None = 0.5,
        max_growth: float | None = 2.0,
        score_threshold_train: float = -8.0,
        score_threshold_test: float = -5.0,
        min_side: float = 15.0,
        pre_nms_train: int = 3000,
        pre_nms_test: int = 2000,
        post_nms_train: int | None = None,
        post_nms_test: int | None = None,
        nms_iou: float = 0.65,
        negatives: str = "hardest",
        negative_multiple: int = 2,
        min_negatives: int = 4,
        foreground_iou: float = 0.5,
        background_iou: float = 0.2,
        claim_iou: float = 0.2,
        min_object_side: float | Sequence[float] = (0.0, 35.0),
        crowd_cover: float | None = 0.4,
        match_crowds: bool = False,
        inclusive: bool = False,
        shift_into_image: bool = False,
        beta: float = 1.0,
        box_weight: float = 1.0,
        branch_weights: Sequence[float] = (0.9, 1.0, 1.0, 1.0),
        implementation: str = "auto",
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        self.num_classes = num_classes
        self.templates = templates
        self.kernels = kernels
        self.strides = strides
        self.levels = levels
        self.hidden = hidden
        self.std = std
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
        self.negatives = negatives
        self.negative_multiple = negative_multiple
        self.min_negatives = min_negatives
        self.foreground_iou = foreground_iou
        self.background_iou = background_iou
        self.claim_iou = claim_iou
        self.min_object_side = min_object_side
        self.crowd_cover = crowd_cover
        self.match_crowds = match_crowds
        self.inclusive = inclusive
        self.shift_into_image = shift_into_image
        self.beta = beta
        self.box_weight = box_weight
        self.branch_weights = branch_weights
        self.implementation = implementation
        self.supports_jit = False
        check_branches(self)
        self.grid = ShapeGrid(templates, strides, offset=0.5)
        self.coder = BoxCoder(std)

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Creates the convolutions for the channel counts of the features."""
        maps = chosen_maps(as_maps(input_shape), self.levels)
        self.hidden_layers: list[keras.layers.Layer | None] = []
        self.template_layers: list[list[keras.layers.Layer]] = []
        policy, outputs = self.dtype_policy, self.num_classes + 1 + 4
        for branch, (shape, filters) in enumerate(zip(maps, self.hidden, strict=True), start=1):
            channels, layer = channels_of(shape), None
            if filters is not None:
                layer = convolution(f"hidden{branch}", filters, 3, channels, dtype=policy, activation="relu")
                channels = filters
            self.hidden_layers.append(layer)
            self.template_layers.append(
                [
                    convolution(
                        f"template{branch}_{number}", outputs, kernel, channels, dtype=policy, deviation=0.001
                    )
                    for number, kernel in enumerate(self.kernels[branch - 1], start=1)
                ]
            )
        self.built = True

    def map_strides(self, names: Sequence[str]) -> Iterator[MapStrides]:
        """The strides that it takes the maps of these names to have."""
        yield MapStrides("strides", tuple(self.levels), tuple(self.strides))

    def predict(self, features: Mapping[str, Tensor], image_size: Tensor) -> BranchOutput:
        """Scores and offsets of all templates; arguments as of ``call``."""
        features = as_maps(features)
        maps = chosen_maps(features, self.levels)
        check_strides("BranchProposals", features, self.levels, self.strides, self.asserts_sizes)
        predicted, sizes = [], []
        for feature, hidden, layers in zip(maps, self.hidden_layers, self.template_layers, strict=True):
            x = feature if hidden is None else hidden(feature)
            of_templates = tf.stack([tf.cast(layer(x), tf.float32) for layer in layers], axis=3)
            shape = tf.shape(of_templates)
            predicted.append(tf.reshape(of_templates, [shape[0], -1, self.num_classes + 5]))
            sizes.append(shape[1:3])
        every = tf.concat(predicted, axis=1)
        return BranchOutput(
            every[..., : self.num_classes + 1],
            self.clip_deltas(every[..., self.num_classes + 1 :]),
            tf.concat(self.grid([(size[0], size[1]) for size in sizes]), axis=0),
            tf.stack(sizes),
            tf.cast(image_size, tf.float32),
        )

    def propose(self, output: BranchOutput, training: bool = False) -> Proposals:
        """Proposals of scores and offsets.

        Args:
            output: of ``predict``.
            training: which of the two sets of limits applies.

        Returns:
            R proposals per image without gradient, the best first.
        """
        when = "train" if training else "test"
        threshold, pre_nms, post_nms = (
            getattr(self, f"{name}_{when}") for name in ("score_threshold", "pre_nms", "post_nms")
        )
        output = BranchOutput(*(tf.stop_gradient(value) for value in output))
        boxes = self.coder.decode(output.deltas, output.anchors)
        if self.shift_into_image:
            corners, outside = boxes[..., :2], tf.maximum(-boxes[..., :2], 0.0)
            boxes = tf.concat([corners + outside, boxes[..., 2:] + outside], axis=-1)
        boxes = clip_boxes(boxes, output.image_size)
        scores = tf.reduce_max(output.logits[..., 1:], axis=-1) - output.logits[..., 0]
        usable = is_proper(boxes, self.min_side) & (scores >= threshold)
        limit = tf.minimum(pre_nms, tf.shape(scores)[1])
        best = tf.math.top_k(tf.where(usable, scores, -float("inf")), limit)
        proposals = suppress(
            tf.gather(boxes, best.indices, batch_dims=1),
            best.values,
            tf.zeros([limit], tf.int32),
            num_levels=1,
            nms_iou=self.nms_iou,
            max_proposals=pre_nms if post_nms is None else post_nms,
            implementation=self.implementation,
        )
        if self.inclusive:
            handed_on = proposals.boxes + tf.constant(_LAST_PIXEL)
            proposals = proposals._replace(boxes=tf.where(proposals.valid[..., None], handed_on, 0.0))
        return without_padding(proposals) if post_nms is None else proposals

    def match(self, output: BranchOutput, targets: Targets) -> Match:
        """Which object each candidate stands for, before any are drawn.

        Args:
            output: of ``predict``.
            targets: ground truth.
        """
        return match_cells(
            self.grid,
            output.anchors,
            output.feature_sizes,
            targets._replace(boxes=self._edges(targets.boxes)),
            output.image_size,
            foreground_iou=self.foreground_iou,
            background_iou=self.background_iou,
            claim_iou=self.claim_iou,
            min_object_side=self.min_object_side,
            crowd_cover=self.crowd_cover,
            match_crowds=self.match_crowds,
            crowds_first=True,
        )

    def _edges(self, boxes: Tensor) -> Tensor:
        return boxes - tf.constant(_LAST_PIXEL) if self.inclusive else boxes

    def sample(self, labels: Tensor, output: BranchOutput, seed: Tensor) -> Tensor:
        """Chooses the candidates of the loss, template by template.

        Args:
            labels: [B, N] int32 classes, 0 background, -1 ignored.
            output: of ``predict``.
            seed: [B, 2] int32.

        Returns:
            [B, N] int32, -1 where not chosen.
        """
        numbers = self.negative_multiple, self.min_negatives
        priority = random_priority(seed, tf.shape(labels)[1], salt=1)
        chosen = []
        values = (self.by_template(one, output) for one in (labels, output.logits, priority))
        for own, logits, draws in zip(*values, strict=True):
            kept = [
                hardest_negatives(own[:, :, t], logits[:, :, t], *numbers)
                if self.negatives == "hardest"
                else random_negatives(own[:, :, t], draws[:, :, t], self.num_classes, *numbers)
                for t in range(own.shape[2])
            ]
            chosen.append(tf.reshape(tf.stack(kept, axis=2), [tf.shape(labels)[0], -1]))
        return tf.concat(chosen, axis=1)

    def by_template(self, values: Tensor, output: BranchOutput) -> Iterator[Tensor]:
        """Values of all candidates, branch by branch and template by template.

        Args:
            values: [B, N, ...].
            output: of ``predict``.

        Yields:
            [B, h w, T, ...] of each branch.
        """
        of_branches = self.grid.split(values, output.feature_sizes)
        for of_branch, count in zip(of_branches, self.grid.shapes_per_level, strict=True):
            shape = tf.shape(of_branch)
            new = tf.concat([shape[:1], [shape[1] // count, count], shape[2:]], axis=0)
            yield tf.ensure_shape(tf.reshape(of_branch, new), [None, None, count, *values.shape[2:]])

    def encode(self, match: Match, output: BranchOutput, targets: Targets) -> Tensor:
        """[B, N, 4] float32 offsets from the templates to their objects; zeros unless foreground."""
        boxes = gather_matched(self._edges(targets.boxes), match)
        deltas = self.coder.encode(boxes, output.anchors[None])
        return tf.where((match.labels == 1)[..., None], deltas, 0.0)

    def label(self, output: BranchOutput, targets: Targets) -> AnchorTargets:
        """Chooses the candidates of the loss, with their classes, and encodes their objects.

        Args:
            output: of ``call``.
            targets: ground truth.
        """
        match = self.match(output, targets)
        classes = tf.where(match.labels == 1, gather_matched(targets.classes, match), match.labels)
        return AnchorTargets(self.sample(classes, output, targets.seed), self.encode(match, output, targets))

    def named_layers(self) -> Iterator[NamedLayer]:
        """The layers with weights: ``hidden1``, ``template1_1``, ``template1_2`` of the first branch."""
        for hidden, layers in zip(self.hidden_layers, self.template_layers, strict=True):
            if hidden is not None:
                yield NamedLayer(hidden.name, hidden)
            for layer in layers:
                yield NamedLayer(layer.name, layer, of_classes=True)

    def anchor_losses(self, output: BranchOutput, labels: AnchorTargets) -> tuple[Tensor, Tensor]:
        """Weighted sums of the losses of all templates; see ``AnchorProposals``."""
        found = zip(self.losses_of_branches(output, labels), self.branch_weights, strict=True)
        weighted = [[weight * tf.reduce_sum(loss) for loss in losses] for losses, weight in found]
        objectness, box = (tf.add_n(values) for values in zip(*weighted, strict=True))
        return objectness, box

    def losses_of_branches(self, output: BranchOutput, labels: AnchorTargets) -> list[tuple[Tensor, Tensor]]:
        """(class, box) losses [T] float32 of the templates of each branch, without the branch's weight."""
        values = (output.logits, output.deltas, labels.labels, labels.deltas)
        of_branches = zip(*(self.by_template(value, output) for value in values), strict=True)
        losses = []
        for one in of_branches:
            classes, boxes = branch_losses(*one, negative_multiple=self.negative_multiple, beta=self.beta)
            losses.append((classes, self.box_weight * boxes))
        return losses
