"""Reads arrays that detectron2 0.6 recorded, and puts its weights into this package's detectors."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cascade_tf.structures import ImageBatch, InstanceTargets, Targets
from cascade_tf.weights.recipe_arguments import recipe_of
from tests.golden.recordings import from_json, load

__all__ = ["from_json", "load"]


def levels(arrays):
    """Names of the pyramid's levels, by their strides."""
    strides = from_json(arrays["meta/json"])["anchors"]["strides"]
    return tuple(f"P{round(math.log2(stride))}" for stride in strides)


def num_images(arrays):
    """Of the one batch."""
    return len(arrays["infer/image_sizes_hw"])


def build_detector(arrays, **overrides):
    """A detector with the fixture's architecture, settings and weights."""
    meta = from_json(arrays["meta/json"])
    roi, rpn = meta["roi"], meta["rpn"]
    resnet, mask = meta["resnet"], meta["mask"]
    width = resnet["res2_out"] / 256
    settings = {
        "backbone.depth": resnet["depth"],
        "backbone.width": width,
        "backbone.stem_channels": resnet["stem_out"],
        "backbone.cardinality": resnet["num_groups"],
        "backbone.width_per_group": round(resnet["width_per_group"] / width),
        "backbone.norm": _NORM_NAMES[resnet["norm"]],
        "*.norm_groups": resnet["gn_groups"] or 32,
        "backbone.stride_in_1x1": resnet["stride_in_1x1"],
        "backbone.freeze_at": resnet["freeze_at"],
        "neck.channels": meta["fpn"]["out_channels"],
        "neck.norm": _NORM_NAMES[meta["fpn"]["norm"]],
        # Its statistics are those of whole padded batches.
        "separate_images": False,
        "inputs.order": meta["image_format"],
        "inputs.mean": meta["pixel_mean_bgr"],
        "inputs.std": meta["pixel_std_bgr"],
        "*.crowd_cover": None,
        "proposals.claim_untouched": True,
        "proposals.beta": rpn["smooth_l1_beta"],
        "heads.box_beta": roi["smooth_l1_beta"],
        "proposals.anchor_sizes": [sizes[0] for sizes in meta["anchors"]["sizes"]],
        "proposals.aspect_ratios": meta["anchors"]["ratios_h_over_w"][0],
        "proposals.anchor_offset": meta["anchors"]["offset"],
        "proposals.nms_iou": rpn["nms_thresh"],
        "proposals.pre_nms_train": rpn["pre_nms_topk_per_level"]["train"],
        "proposals.pre_nms_test": rpn["pre_nms_topk_per_level"]["test"],
        "proposals.post_nms_train": rpn["post_nms_topk"]["train"],
        "proposals.post_nms_test": rpn["post_nms_topk"]["test"],
        "proposals.samples_per_image": rpn["batch_size_per_image"],
        "heads.ious": roi["stage_ious"],
        "heads.weighting": "avg",
        "heads.num_samples": roi["batch_size_per_image"],
        "heads.foreground_fraction": roi["positive_fraction"],
        "heads.append_ground_truth": "first",
        "heads.clip_boxes": True,
        "heads.head.class_agnostic": meta["class_agnostic_box"],
        "heads.head.units": roi["fc_dim"],
        "heads.head.num_convs": roi["num_conv"],
        "heads.head.conv_channels": roi["conv_dim"],
        "heads.head.num_fcs": roi["num_fc"],
        "heads.head.norm": _NORM_NAMES[roi["norm"]],
        "heads.pooling.output_size": roi["pooler_resolution"],
        "heads.*.sampling_ratio": roi["sampling_ratio"],
        "heads.ensemble": "own_boxes",
        "output.score_threshold": roi["score_thresh"],
        "output.nms_iou": roi["nms_thresh"],
        "output.max_detections": roi["detections_per_image"],
    }
    if mask:
        settings |= {
            "heads.masks.stages": (1,),
            "heads.masks.pooling.output_size": mask["pooler_resolution"],
            "heads.masks.pooling.sampling_ratio": mask["sampling_ratio"],
            "heads.masks.head.num_convs": mask["num_conv"],
            "heads.masks.head.channels": mask["conv_dim"],
            "heads.masks.head.norm": _NORM_NAMES[mask["norm"]],
            "heads.masks.head.class_agnostic": mask["class_agnostic"],
        }
    settings |= overrides
    detector = recipe_of(settings)([f"class {i}" for i in range(meta["num_classes"])])
    for stage, weights in zip(detector.heads.stages, roi["stage_box_weights"], strict=True):
        np.testing.assert_allclose(stage.std, 1.0 / np.array(weights), rtol=1e-6)
    for name, parameter in parameters(detector).items():
        parameter.variable.assign(parameter.convert(arrays[f"weight/{name}"]))
    return detector


class Parameter(NamedTuple):
    """A variable of the detector and how detectron2's array of the same meaning becomes its value."""

    variable: object
    convert: object


def parameters(detector):
    """Every variable of the detector by detectron2's name."""
    found = {}
    backbone = detector.backbone
    for layer in backbone.layers:
        if hasattr(layer, "kernel"):
            name = _backbone_name(layer.name)
            found |= _layer(name, layer, _convolution)
            found |= _norm(name, backbone.get_layer(f"{layer.name}_norm"))
    for place, (kind, layers) in enumerate(
        (("lateral", detector.neck.laterals), ("output", detector.neck.outputs))
    ):
        for level, layer in enumerate(layers, start=2):
            found |= _layer(f"backbone.fpn_{kind}{level}", layer, _convolution)
            found |= _norm(f"backbone.fpn_{kind}{level}", detector.neck.norms[level - 2][place])
    rpn = detector.proposals
    found |= _layer("proposal_generator.rpn_head.conv", rpn.hidden, _convolution)
    found |= _layer("proposal_generator.rpn_head.objectness_logits", rpn.objectness, _convolution)
    found |= _layer("proposal_generator.rpn_head.anchor_deltas", rpn.offsets, _convolution)
    for index, stage in enumerate(detector.heads.stages):
        suffix = f".{index}" if detector.num_stages > 1 else ""
        head, prefix = stage.head, f"roi_heads.box_head{suffix}"
        for number, (conv, norm) in enumerate(zip(head.convs, head.norms, strict=True), start=1):
            found |= _layer(f"{prefix}.conv{number}", conv, _convolution)
            found |= _norm(f"{prefix}.conv{number}", norm)
        first_dense = functools.partial(_first_dense, size=detector.heads.pooling.output_size)
        for number, dense in enumerate(head.dense, start=1):
            found |= _layer(f"{prefix}.fc{number}", dense, first_dense if number == 1 else _dense)
        prefix = f"roi_heads.box_predictor{suffix}"
        found |= _layer(f"{prefix}.cls_score", head.classifier, _classifier, background_first)
        found |= _layer(f"{prefix}.bbox_pred", head.regressor, _dense)
    for head in detector.heads.masks.heads if detector.has_masks else ():
        prefix = "roi_heads.mask_head"
        for number, (conv, norm) in enumerate(zip(head.convs, head.norms, strict=True), start=1):
            found |= _layer(f"{prefix}.mask_fcn{number}", conv, _convolution)
            found |= _norm(f"{prefix}.mask_fcn{number}", norm)
        found |= _layer(f"{prefix}.deconv", head.deconv, _convolution)
        found |= _layer(f"{prefix}.predictor", head.predictor, _convolution)
    return found


def background_first(values):
    """Moves the background from the last place of the last axis to the first."""
    return np.roll(values, 1, axis=-1)


def image_batch(arrays):
    """All images as one padded RGB batch; the padding holds noise, which must not matter."""
    count, _, height, width = arrays["infer/tensor"].shape
    images = np.full([count, height, width, 3], 77, np.uint8)
    for i in range(count):
        image = arrays[f"img{i}/input_bgr"][..., ::-1]
        images[i, : image.shape[0], : image.shape[1]] = image
    return ImageBatch(
        tf.constant(images),
        tf.constant(arrays["infer/image_sizes_hw"], tf.float32),
        tf.constant(arrays["infer/original_sizes_hw"], tf.float32),
        tf.range(count, dtype=tf.int64),
    )


def targets(arrays, num_gt=None, padding=1):
    """Ground truth of all images, padded beyond the most objects; ``num_gt`` keeps the first ones only."""
    images = num_images(arrays)
    size = max(len(arrays[f"train/img{i}/gt_boxes"]) for i in range(images)) + padding
    boxes = np.zeros([images, size, 4], np.float32)
    classes, valid = np.zeros([images, size], np.int32), np.zeros([images, size], bool)
    for i in range(images):
        given = arrays[f"train/img{i}/gt_boxes"]
        count = len(given) if num_gt is None else int(num_gt[i])
        boxes[i, :count] = given[:count]
        classes[i, :count] = arrays[f"train/img{i}/gt_classes"][:count] + 1
        valid[i, :count] = True
    crowd, seed = np.zeros([images, size], bool), np.arange(2 * images, dtype=np.int32).reshape(images, 2)
    values = [tf.constant(x) for x in (boxes, classes, valid, crowd, seed)]
    if "train/img0/gt_masks_packed" in arrays:
        return InstanceTargets(*values, tf.constant(_masks(arrays, valid)))
    return Targets(*values)


def bits(arrays, key):
    """The masks that a fixture keeps as bits: [n, height, width] bool."""
    shape = arrays[f"{key}_shape"]
    packed = arrays[f"{key}_packed"]
    return np.unpackbits(packed, axis=1, count=shape[1] * shape[2]).reshape(shape).astype(bool)


def _masks(arrays, valid):
    """Bit-packed masks of all images' objects in the padded frame; noise where there is no object."""
    height, width = arrays["infer/tensor"].shape[2:]
    masks = np.random.default_rng(0).integers(0, 2, [*valid.shape, height, width]).astype(bool)
    for i in range(num_images(arrays)):
        given = bits(arrays, f"train/img{i}/gt_masks")
        masks[i, : valid[i].sum()] = False
        for number in range(valid[i].sum()):
            masks[i, number, : given.shape[1], : given.shape[2]] = given[number]
    return np.packbits(masks, axis=-1)


_NORM_NAMES = {"FrozenBN": "frozen", "GN": "group", "": "none"}
_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def _backbone_name(name):
    if name == "stem_conv1":
        return "backbone.bottom_up.stem.conv1"
    stage, block, part = name.split("_")
    return f"backbone.bottom_up.{stage}.{block}.{part}"


def _layer(name, layer, convert, convert_bias=None):
    found = {f"{name}.weight": Parameter(layer.kernel, convert)}
    if layer.use_bias:
        found[f"{name}.bias"] = Parameter(layer.bias, convert_bias or _same)
    return found


def _norm(name, norm):
    return {
        f"{name}.norm.{theirs}": Parameter(getattr(norm, ours), _same)
        for theirs, ours in _NORM.items()
        if hasattr(norm, ours)
    }


def _same(values):
    return values


def _convolution(values):
    return values.transpose(2, 3, 1, 0)


def _dense(values):
    return values.T


def _first_dense(values, size):
    height, width = (size, size) if isinstance(size, int) else size
    return values.reshape(len(values), -1, height, width).transpose(2, 3, 1, 0).reshape(values.shape[1], -1)


def _classifier(values):
    return background_first(values.T)
