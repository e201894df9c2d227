"""Every op with arguments that a random call of it may get, and its NumPy reference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from pycocotools import mask as coco_mask

from cascade_tf.ops import (
    batched_nms,
    batched_soft_nms,
    crop_masks,
    grid_roi_align,
    paste_masks,
    ps_roi_pool,
    roi_align,
    roi_pool,
)
from cascade_tf.ops.deformable_convolution import deformable_conv2d
from cascade_tf.ops.draw_masks import Outlines, draw_masks
from cascade_tf.ops.resize_and_pad import resize_and_pad
from tests.ops.fuzzing.draws import Draw
from tests.ops.test_draw_masks import expected_masks, outlines_of, random_polygon, random_runs
from tests.reference import deformable_convolution as deformable_reference
from tests.reference import grid_roi_align as grid_reference
from tests.reference import mask_targets as mask_targets_reference
from tests.reference import nms as nms_reference
from tests.reference import paste_masks as paste_reference
from tests.reference import ps_roi_pool as ps_roi_pool_reference
from tests.reference import resize as resize_reference
from tests.reference import roi_align as roi_align_reference
from tests.reference import roi_pool as roi_pool_reference

Arrays = dict[str, np.ndarray]
Settings = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class FuzzedOp:
    """An op that random calls are made of.

    Attributes:
        name: of the function.
        settings: sets of keyword arguments; a graph is made of the twin for each.
        draw: makes the arrays of one call.
        call: runs the op on tensors of these arrays.
        reference: what NumPy says of the arrays, a list in the order of the results, or of the first of them.
        differentiable: names of the arrays that get gradients.
        implementations: that there are, the C++ op first.
    """

    name: str
    settings: tuple[Settings, ...]
    draw: Callable[[Draw, Settings], Arrays]
    call: Callable[..., Any]
    reference: Callable[[Arrays, Settings], Any]
    differentiable: tuple[str, ...] = ()
    implementations: tuple[str, ...] = ("custom", "tensorflow")


def _maps(draw: Draw, strides: tuple[float, ...], channels: int) -> tuple[Arrays, int, tuple[int, int]]:
    """Maps of all levels, the number of images, and the (height, width) of the image in pixels."""
    batch = draw.count(2)
    maps = {
        f"map{i}": draw.values(batch, draw.count(6, 1), draw.count(6, 1), channels)
        for i in range(len(strides))
    }
    first = maps["map0"]
    return maps, batch, (int(first.shape[1] * strides[0]), int(first.shape[2] * strides[0]))


def _draw_levels(draw: Draw, settings: Settings) -> Arrays:
    maps, batch, size = _maps(draw, settings["strides"], draw.count(5, 1))
    rois = draw.count(4)
    levels = draw.odd(draw.integers(0, len(settings["strides"]), batch, rois))
    boxes = draw.boxes(batch, rois, size=size)
    if settings.get("sampling_ratio") == 0:  # the reference takes each of up to 256 x 256 samples by itself
        boxes = np.where(np.isfinite(boxes), np.clip(boxes, -99, 99), boxes)
    return {**maps, "boxes": boxes, "levels": levels}


def _draw_one_map(draw: Draw, settings: Settings) -> Arrays:
    bins = np.prod(settings["output_size"]) if settings.get("sensitive") else 1
    maps, batch, size = _maps(draw, (settings["stride"],), int(draw.count(3, 1) * bins))
    return {**maps, "boxes": draw.boxes(batch, draw.count(4), size=size)}


def _on_levels(op: Callable) -> Callable:
    def call(arrays: Mapping[str, Any], settings: Settings, **where: Any) -> Any:
        arrays = dict(arrays)
        maps = [arrays.pop(f"map{i}") for i in range(len(settings["strides"]))]
        return op(maps, **arrays, **settings, **where)

    return call


def _on_one_map(op: Callable) -> Callable:
    def call(arrays: Mapping[str, Any], settings: Settings, **where: Any) -> Any:
        settings = {name: value for name, value in settings.items() if name != "sensitive"}
        return op(arrays["map0"], arrays["boxes"], **settings, **where)

    return call


def _plain(op: Callable) -> Callable:
    return lambda arrays, settings, **where: op(**arrays, **settings, **where)


def _levels_reference(module: Any, name: str) -> Callable:
    pool, gradient = getattr(module, name), getattr(module, f"{name}_gradient")

    def reference(arrays: Arrays, settings: Settings) -> Any:
        maps = [arrays[f"map{i}"] for i in range(len(settings["strides"]))]
        levels = np.clip(arrays["levels"], 0, len(maps) - 1)
        pooled = pool(maps, arrays["boxes"], levels, **settings)
        return [pooled, *gradient(upstream(pooled), maps, arrays["boxes"], levels, **settings)]

    return reference


def _one_map_reference(module: Any, name: str) -> Callable:
    pool, gradient = getattr(module, name), getattr(module, f"{name}_gradient")

    def reference(arrays: Arrays, settings: Settings) -> Any:
        settings = {key: value for key, value in settings.items() if key != "sensitive"}
        pooled = pool(arrays["map0"], arrays["boxes"], **settings)
        return [pooled, gradient(upstream(pooled), arrays["map0"], arrays["boxes"], **settings)]

    return reference


def upstream(result: Any) -> np.ndarray:
    """What comes from above in every gradient: numbers that differ from place to place."""
    return np.cos(np.arange(np.size(result))).reshape(np.shape(result)).astype(np.float32)


def _draw_scored(draw: Draw, settings: Settings) -> Arrays:
    batch, count, classes = draw.count(2), draw.count(6), draw.count(3)
    box_sets = 1 if draw.rng.random() < 0.5 else classes
    boxes = draw.boxes(batch, count, box_sets, size=(20, 30))
    if count > 2 and draw.rng.random() < 0.5:
        boxes[:, 1] = boxes[:, 0]
    scores = np.round(draw.rng.random((batch, count, classes)) * 8) / 8
    return {"boxes": boxes, "scores": draw.odd(scores.astype(np.float32))}


def _nms_reference(suppress: Callable) -> Callable:
    def reference(arrays: Arrays, settings: Settings) -> Any:
        most = settings["max_outputs"]
        images = suppress(arrays["boxes"], arrays["scores"], **settings)
        columns = [np.zeros((len(images), most), dtype) for dtype in (np.int32, np.int32, np.float32)]
        for image, found in enumerate(images):
            for place, entry in enumerate(found):
                for column, value in zip(columns, entry, strict=True):
                    column[image, place] = value
        return [*columns, np.array([len(found) for found in images], np.int32)]

    return reference


def _draw_crops(draw: Draw, settings: Settings) -> Arrays:
    batch, objects, height, row_bytes = draw.count(2), draw.count(3), draw.count(9), draw.count(2)
    boxes = draw.count(3)
    size = np.stack(
        [draw.integers(0, height + 1, batch), draw.integers(0, 8 * row_bytes + 1, batch)], axis=-1
    )
    return {
        "masks": draw.rng.integers(0, 256, (batch, objects, height, row_bytes)).astype(np.uint8),
        "image_size": size,
        "boxes": draw.boxes(batch, boxes, size=(height + 1, 8 * row_bytes + 1)),
        "object_index": draw.odd(draw.integers(0, objects, batch, boxes)),
        "valid": (draw.rng.random((batch, boxes)) < 0.8) & (objects > 0),
    }


def _crops_reference(arrays: Arrays, settings: Settings) -> Any:
    index, valid = arrays["object_index"], arrays["valid"]
    if np.any(valid & ((index < 0) | (index >= arrays["masks"].shape[1]))):
        raise ValueError("no such object")
    masks = np.unpackbits(arrays["masks"], axis=-1).astype(bool)
    rest = (arrays[name] for name in ("image_size", "boxes", "object_index", "valid"))
    return [mask_targets_reference.crop_masks(masks, *rest, settings["output_size"])]


def _draw_pasted(draw: Draw, settings: Settings) -> Arrays:
    count = draw.count(3)
    masks = draw.rng.random((count, draw.count(4, 1), draw.count(4, 1))).astype(np.float32)
    height, width = draw.count(9), draw.count(11)
    boxes = draw.boxes(count, size=(height + 1, width + 1))
    return {"masks": masks, "boxes": boxes, "image_size": np.int32([height, width])}


def _paste_reference(arrays: Arrays, settings: Settings) -> Any:
    masks, boxes, size = (arrays[name] for name in ("masks", "boxes", "image_size"))
    return [paste_reference.paste_masks(masks, boxes, size, **settings)]


def _draw_resized(draw: Draw, settings: Settings) -> Arrays:
    image = draw.rng.integers(0, 256, (draw.count(12, 1), draw.count(12, 1), 3)).astype(np.uint8)
    return {
        "image": image,
        "size": draw.integers(1, 24, 2),
        "flip": np.bool_(draw.rng.random() < 0.5),
    }


def _resize_reference(arrays: Arrays, settings: Settings) -> Any:
    return [
        resize_reference.resize_and_pad(arrays["image"], arrays["size"], arrays["flip"], settings["multiple"])
    ]


def _draw_deformed(draw: Draw, settings: Settings) -> Arrays:
    batch, height, width, groups = draw.count(2), draw.count(4, 1), draw.count(4, 1), 2
    stride = settings["stride"]
    offsets = draw.values(batch, -(-height // stride), -(-width // stride), 18)
    return {
        "inputs": draw.values(batch, height, width, 4),
        "offsets": draw.odd(offsets * 2, 0.05),
        "kernel": draw.values(3, 3, 4 // groups, 2),
    }


def _deformable_reference(arrays: Arrays, settings: Settings) -> Any:
    finite = np.isfinite(arrays["offsets"])
    # A sample is zero where either of its offsets is no number; far away is as good.
    offsets = np.where(finite, arrays["offsets"], 1e9)
    return [deformable_reference.deformable_conv2d(**{**arrays, "offsets": offsets}, **settings)]


def _draw_outlines(draw: Draw, settings: Settings) -> Arrays:
    rng = draw.rng
    original, size = draw.integers(1, 12, 2), draw.integers(1, 12, 2)
    kinds = rng.integers(0, 3, draw.count(3))
    objects = [
        None
        if kind == 0
        else random_runs(rng, *original)
        if kind == 1
        else [random_polygon(rng, *original) for _ in range(draw.count(2, 1))]
        for kind in kinds
    ]
    outlines = outlines_of(objects)._asdict()
    return {
        **outlines,
        "original_size": original,
        "size": size,
        "flip": np.bool_(rng.random() < 0.5),
        "frame": size + draw.integers(0, 9, 2),
    }


def _call_draw_masks(original_size: Any, size: Any, flip: Any, frame: Any, **outlines: Any) -> Any:
    return draw_masks(Outlines(**outlines), tf.unstack(original_size), tf.unstack(size), flip, frame)


def _outlines_reference(arrays: Arrays, settings: Settings) -> Any:
    """What pycocotools draws; the objects are put together again from the op's arrays."""
    corners = np.split(arrays["corners"], np.cumsum(arrays["polygon_corners"])[:-1])
    runs = np.split(arrays["runs"], np.cumsum(arrays["object_runs"])[:-1])
    original, size, frame = (tuple(arrays[name].tolist()) for name in ("original_size", "size", "frame"))
    objects: list[Any] = []
    for polygons, lengths in zip(arrays["object_polygons"], runs, strict=False):
        mine, corners = corners[:polygons], corners[polygons:]
        rle = {"counts": lengths.tolist(), "size": list(original)}
        objects.append(mine or (coco_mask.frPyObjects(rle, *original) if len(lengths) else None))
    return [expected_masks(objects, original, size, bool(arrays["flip"]), frame)]


_LEVELS = {"strides": (4.0, 8.0), "output_size": (2, 3)}
_ONE_LEVEL = {"strides": (1.0,), "output_size": (1, 2)}
_MAP = {"stride": 4.0, "output_size": (2, 3)}
_NMS = {"iou_threshold": 0.5, "score_threshold": 0.125, "max_outputs": 5}
_BIG_NMS = {"iou_threshold": 0.0, "score_threshold": 0.0, "max_outputs": 40}

OPS = (
    FuzzedOp(
        "roi_align",
        (
            {**_LEVELS, "sampling_ratio": 2, "aligned": True},
            {**_LEVELS, "sampling_ratio": 0, "aligned": False},
            {**_ONE_LEVEL, "sampling_ratio": 1, "aligned": False},
        ),
        _draw_levels,
        _on_levels(roi_align),
        _levels_reference(roi_align_reference, "roi_align"),
        ("map0", "map1"),
    ),
    FuzzedOp(
        "grid_roi_align",
        (
            {**_LEVELS, "average": True, "pad_ratio": 0.0, "inclusive_boxes": False},
            {**_ONE_LEVEL, "average": False, "pad_ratio": 0.25, "inclusive_boxes": True},
        ),
        _draw_levels,
        _on_levels(grid_roi_align),
        _levels_reference(grid_reference, "grid_roi_align"),
        ("map0", "map1"),
    ),
    FuzzedOp(
        "ps_roi_pool",
        (
            {**_MAP, "sensitive": True},
            {"stride": 1.0, "output_size": (1, 2), "inclusive_boxes": True, "sensitive": True},
        ),
        _draw_one_map,
        _on_one_map(ps_roi_pool),
        _one_map_reference(ps_roi_pool_reference, "ps_roi_pool"),
        ("map0",),
    ),
    FuzzedOp(
        "roi_pool",
        ({**_MAP}, {"stride": 1.0, "output_size": (1, 2), "pad_ratio": 0.5, "inclusive_boxes": True}),
        _draw_one_map,
        _on_one_map(roi_pool),
        _one_map_reference(roi_pool_reference, "roi_pool"),
        ("map0",),
    ),
    FuzzedOp(
        "batched_nms",
        (_NMS, _BIG_NMS),
        _draw_scored,
        _plain(batched_nms),
        _nms_reference(nms_reference.batched_nms),
    ),
    FuzzedOp(
        "batched_soft_nms",
        ({**_NMS, "method": "linear", "sigma": 0.5}, {**_BIG_NMS, "method": "gaussian", "sigma": 0.3}),
        _draw_scored,
        _plain(batched_soft_nms),
        _nms_reference(nms_reference.batched_soft_nms),
    ),
    FuzzedOp(
        "crop_masks",
        ({"output_size": 3}, {"output_size": 1}),
        _draw_crops,
        _plain(crop_masks),
        _crops_reference,
    ),
    FuzzedOp(
        "paste_masks",
        ({"threshold": 0.5}, {"threshold": 1.0}),
        _draw_pasted,
        _plain(paste_masks),
        _paste_reference,
    ),
    FuzzedOp(
        "resize_and_pad",
        ({"multiple": 1}, {"multiple": 8}),
        _draw_resized,
        _plain(resize_and_pad),
        _resize_reference,
    ),
    FuzzedOp(
        "deformable_conv2d",
        ({"stride": 1}, {"stride": 2}),
        _draw_deformed,
        lambda arrays, settings, implementation: deformable_conv2d(**arrays, **settings),
        _deformable_reference,
        ("inputs", "offsets", "kernel"),
        implementations=("tensorflow",),
    ),
    FuzzedOp(
        "draw_masks",
        ({},),
        _draw_outlines,
        lambda arrays, settings, implementation: _call_draw_masks(**arrays),
        _outlines_reference,
        implementations=("custom",),
    ),
)
