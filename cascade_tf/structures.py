"""The values that flow through a detector, one NamedTuple per arrow of the data flow.

Shape letters used in every docstring of the package:

    B images            H W image height, width (pixels)   h w feature height, width (cells)
    C channels          A anchors per cell                 N anchors of all levels
    R proposals         S samples                          G padded ground-truth boxes
    K foreground classes    D detections    T stages       P pooled size    L pyramid levels

Boxes are ``(x1, y1, x2, y2)`` float32 in pixels of the network's input image. Coordinates are continuous:
pixel ``i`` covers ``[i, i + 1]``, so a box that covers the whole image is ``(0, 0, W, H)``. Class 0 is the
background, foreground classes are ``1..K``. Padding is told by a ``valid`` mask, never by a special value.

A functional Keras model that comes from a file returns lists in their order instead, since Keras's format
knows no other kind of tuple: ``Detections(*model(images))`` names the fields again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

# A tensor, a KerasTensor or a NumPy array: the structures carry any of them.
Tensor = Any


class ImageBatch(NamedTuple):
    """Images of one batch, resized to the network's scale and padded at the right and the bottom.

    Attributes:
        images: [B, H, W, 3] uint8 or float32 RGB in 0..255; the values in the padding are not read.
        image_size: [B, 2] float32 (height, width) of the unpadded image, pixels of the network's frame.
        original_size: [B, 2] float32 (height, width) of the image file.
        image_id: [B] int64, the data set's id.
    """

    images: Tensor
    image_size: Tensor
    original_size: Tensor
    image_id: Tensor


class Proposals(NamedTuple):
    """Candidate boxes, before sampling.

    Attributes:
        boxes: [B, R, 4] float32.
        scores: [B, R] float32 objectness logits (of the RPN; kept unchanged through the stages).
        valid: [B, R] bool.
    """

    boxes: Tensor
    scores: Tensor
    valid: Tensor


class ProposalBatch(NamedTuple):
    """``ImageBatch`` with proposals from a file, for detectors that make none of their own.

    Attributes:
        images: as in ``ImageBatch``, with the three that follow.
        image_size: see there.
        original_size: see there.
        image_id: see there.
        proposals: boxes in the network's frame, best first; R is that of the image that has most.
    """

    images: Tensor
    image_size: Tensor
    original_size: Tensor
    image_id: Tensor
    proposals: Proposals


Batch = ImageBatch | ProposalBatch
"""What a detector takes."""


class Targets(NamedTuple):
    """Ground truth of one batch, in the network's frame.

    A row that has a class but is neither ``valid`` nor a ``crowd`` is an object to ignore, cut off or too
    small: what matches it is left out of the losses, while background over it stays background
    (`cascade_tf.boxes.ignored_objects`).

    Attributes:
        boxes: [B, G, 4] float32.
        classes: [B, G] int32 in 1..K, 0 in the padding and for a crowd of which no class is known.
        valid: [B, G] bool, objects to detect (neither padding, nor to ignore, nor crowd).
        crowd: [B, G] bool, regions of many objects: nothing inside is punished as a false positive.
        seed: [B, 2] int32, the random numbers of this example's sampling. Sampling is a pure function of the
            example, so that a run resumes exactly and does not depend on the number of replicas.
    """

    boxes: Tensor
    classes: Tensor
    valid: Tensor
    crowd: Tensor
    seed: Tensor


class InstanceTargets(NamedTuple):
    """``Targets`` with the objects' pixels, for detectors with mask heads.

    Attributes:
        boxes: as in ``Targets``, with the four that follow.
        classes: see there.
        valid: see there.
        crowd: see there.
        seed: see there.
        masks: [B, G, H, ceil(W / 8)] uint8, the objects' pixels in the frame of ``ImageBatch.images``, eight
            in a byte with the leftmost in the highest bit (``np.packbits``).
    """

    boxes: Tensor
    classes: Tensor
    valid: Tensor
    crowd: Tensor
    seed: Tensor
    masks: Tensor


class RPNOutput(NamedTuple):
    """Raw output of the region proposal network, all levels concatenated (finest first).

    Within a level the order is row, column, anchor.

    Attributes:
        logits: [B, N] float32 objectness logits.
        deltas: [B, N, 4] float32 encoded offsets to the anchors.
        anchors: [N, 4] float32.
    """

    logits: Tensor
    deltas: Tensor
    anchors: Tensor


class AreaOutput(NamedTuple):
    """``RPNOutput`` in a detector that keeps the images of a batch apart.

    Attributes:
        logits: as in ``RPNOutput``, with the two that follow.
        deltas: see there.
        anchors: see there.
        of_image: [B, N] bool, anchors of each image's own area, not of the padding of the batch.
    """

    logits: Tensor
    deltas: Tensor
    anchors: Tensor
    of_image: Tensor


class LevelOutput(NamedTuple):
    """``RPNOutput`` of a network with a head for each level, and what its labels need.

    Attributes:
        logits: as in ``RPNOutput``, with the two that follow.
        deltas: see there.
        anchors: see there.
        feature_sizes: [L, 2] int32 (height, width) of the maps in cells.
        image_size: [B, 2] float32 (height, width) before padding.
    """

    logits: Tensor
    deltas: Tensor
    anchors: Tensor
    feature_sizes: Tensor
    image_size: Tensor


class BranchOutput(NamedTuple):
    """``LevelOutput`` of a network that tells the classes apart.

    Attributes:
        logits: [B, N, K + 1] float32, background first.
        deltas: as in ``RPNOutput``, with the one that follows.
        anchors: see there.
        feature_sizes: as in ``LevelOutput``, with the one that follows.
        image_size: see there.
    """

    logits: Tensor
    deltas: Tensor
    anchors: Tensor
    feature_sizes: Tensor
    image_size: Tensor


class AnchorTargets(NamedTuple):
    """What the region proposal network should have said.

    Attributes:
        labels: [B, N] int32: 1 foreground, or the class where the network tells them apart, 0 background, -1
            not sampled or ignored.
        deltas: [B, N, 4] float32 encoded offsets, zeros unless foreground.
    """

    labels: Tensor
    deltas: Tensor


class Samples(NamedTuple):
    """Boxes that a stage pools, with their labels. At inference all labels are background and unused.

    Attributes:
        boxes: [B, S, 4] float32.
        scores: [B, S] float32 objectness logits.
        valid: [B, S] bool, boxes that exist and count in the loss.
        classes: [B, S] int32, 0 background, 1..K foreground.
        gt_boxes: [B, S, 4] float32 box of the matched object, zeros where none.
        gt_iou: [B, S] float32 IoU with the matched object, 0 where none.
        gt_index: [B, S] int32 index of the matched object in ``Targets``, 0 where none.
    """

    boxes: Tensor
    scores: Tensor
    valid: Tensor
    classes: Tensor
    gt_boxes: Tensor
    gt_iou: Tensor
    gt_index: Tensor


class StageOutput(NamedTuple):
    """Everything that one cascade stage computed.

    Attributes:
        samples: the boxes that it pooled.
        maps: ``{name: [B, h, w, C]}`` that its head pools boxes from; for a head on pooled features the
            shared features.
        pooled: [B, S, P, P, C] RoI features that its head saw; of a head with maps of its own what that makes
            of them.
        logits: [B, S, K + 1] float32 class logits, background first.
        deltas: [B, S, 4] (class-agnostic) or [B, S, 4 K] (class-aware) float32 encoded offsets.
        boxes: [B, S, 4] float32 regressed boxes; class-aware stages give the box of the likeliest class.
    """

    samples: Samples
    maps: dict[str, Tensor]
    pooled: Any
    logits: Tensor
    deltas: Tensor
    boxes: Tensor


class MaskOutput(NamedTuple):
    """What the mask head of one stage said of that stage's foreground, in training.

    Attributes:
        logits: [B, F, M, M, K] (or one channel, where masks are class-agnostic) float32; F is the largest
            number of foreground samples of an image in the batch.
        boxes: [B, F, 4] float32, the boxes that were pooled.
        classes: [B, F] int32 in 1..K.
        gt_index: [B, F] int32 index of the object in ``Targets``.
        valid: [B, F] bool.
    """

    logits: Tensor
    boxes: Tensor
    classes: Tensor
    gt_index: Tensor
    valid: Tensor


class Detections(NamedTuple):
    """Final detections, best first, in the network's frame.

    Attributes:
        boxes: [B, D, 4] float32.
        scores: [B, D] float32 in 0..1, 0 in the padding.
        classes: [B, D] int32 in 1..K, 0 in the padding.
        valid: [B, D] bool.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    valid: Tensor


class InstanceDetections(NamedTuple):
    """``Detections`` with masks.

    Attributes:
        boxes: as in ``Detections``, with the three that follow.
        scores: see there.
        classes: see there.
        valid: see there.
        masks: [B, D, M, M] float32 in 0..1, the probability that the object covers each of M x M cells of its
            box (28 in the paper), 0 in the padding.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    valid: Tensor
    masks: Tensor
