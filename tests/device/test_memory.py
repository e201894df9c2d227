"""Where arrays lie, how large they are and in which stream kernels run does not change what they compute."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from scripts.benchmarks.kernel_calls import MapPooling, RoiAlign, Suppression
from scripts.benchmarks.launchers import to_bits

BOXES = np.float32([[[0, 0, 30, 30], [5, 9, 25, 60], [40, 2, 70, 33]]])
ELEMENTS = ["float32", "float16", "bfloat16"]


class Shifted:
    """A memory whose arrays begin one element behind those of another memory, at no multiple of 16 bytes.

    A workspace, of bytes, does not: launchers lay it out themselves.
    """

    def __init__(self, memory):
        self._memory = memory
        self.stream = memory.stream

    def send(self, array):
        return self._memory.send(np.append(np.zeros(1, array.dtype), array)), array.shape, array.itemsize

    def room(self, shape, dtype):
        shift = 0 if dtype == np.uint8 else 1
        room = self._memory.room([int(np.prod(shape)) + shift], dtype)
        return room, tuple(shape), shift * np.dtype(dtype).itemsize

    def fetch(self, array):
        inner, shape, shift = array
        return self._memory.fetch(inner)[1 if shift else 0 :].reshape(shape)

    def pointer(self, array):
        inner, _, shift = array
        return self._memory.pointer(inner) + shift


@pytest.fixture
def shifted(launchers):
    """The same launchers with `Shifted` arrays."""
    others = copy.copy(launchers)
    others.memory = Shifted(launchers.memory)
    return others


def roi_align(launchers, maps, boxes, element="float32"):
    """Pooled boxes, and the gradients of their sum in the maps; all on the first of the maps."""
    shapes = [one.shape for one in maps]
    levels = np.zeros(boxes.shape[:2], np.int32)
    call = RoiAlign(
        launchers, shapes, boxes, levels, strides=(4.0,) * len(maps), output_size=(7, 7), element=element
    )
    call.pool([call.send(one) for one in maps])
    call.spread(call.send(np.ones((*boxes.shape[:2], 7, 7, shapes[0][-1]))))
    return [call.fetch(one) for one in (call.output, *call.gradients)]


@pytest.mark.parametrize("element", ELEMENTS)
def test_arrays_that_begin_anywhere(launchers, shifted, rng, element):
    features = rng.standard_normal((1, 20, 18, 16)).astype(np.float32)
    for one, other in zip(
        roi_align(launchers, [features], BOXES, element),
        roi_align(shifted, [features], BOXES, element),
        strict=True,
    ):
        assert one.any()
        np.testing.assert_array_equal(one, other)
    settings = {"stride": 4.0, "output_size": (2, 2), "element": element}
    for name, depth in (("roi_pool", 16), ("ps_roi_pool", 4)):
        upstream = rng.standard_normal((1, 3, 2, 2, depth)).astype(np.float32)
        one, other = (MapPooling(each, name, features, BOXES, **settings) for each in (launchers, shifted))
        np.testing.assert_array_equal(one.pooled(depth), other.pooled(depth))
        np.testing.assert_array_equal(one.gradient(upstream), other.gradient(upstream))


@pytest.mark.parametrize(("batch", "rois"), [(2, 0), (0, 3), (0, 0)])
def test_without_images_or_rois(launchers, rng, batch, rois):
    features = rng.standard_normal((batch, 9, 11, 8)).astype(np.float32)
    boxes = np.zeros((batch, rois, 4), np.float32)
    pooled, gradient = roi_align(launchers, [features], boxes)
    assert pooled.shape == (batch, rois, 7, 7, 8)
    assert gradient.shape == features.shape
    assert not gradient.any()
    for name, depth in (("roi_pool", 8), ("ps_roi_pool", 2)):
        pooling = MapPooling(launchers, name, features, boxes, stride=4.0, output_size=(2, 2))
        assert pooling.pooled(depth).size == 0
        assert not pooling.gradient(np.zeros((batch, rois, 2, 2, depth), np.float32)).any()


def test_another_stream_on_a_gpu(gpu_launchers, rng):
    """Suppression has the most launches that wait for each other."""
    corner = rng.uniform(0, 900, (1, 5000, 1, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 60, corner.shape)], -1).astype(np.float32)
    scores = rng.uniform(0, 1, (1, 5000, 2)).astype(np.float32)

    def results():
        settings = {"iou_threshold": 0.4, "score_threshold": 0.1, "max_outputs": 3000}
        call = Suppression(gpu_launchers, boxes, scores, **settings)
        call.launch()
        return call.results()

    expected = results()
    stream = gpu_launchers.memory.stream()
    with gpu_launchers.memory.another_stream():
        assert gpu_launchers.memory.stream() != stream
        found = results()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_map_of_more_than_two_to_the_31_elements_on_a_gpu(gpu_launchers):
    """Bfloat16 zeros but for the last cells, whose sums show where a kernel reads and writes."""
    height, width, channels = 4200, 2048, 256
    features = np.zeros((1, height, width, channels), np.uint16)
    assert features.size > 2**31
    features[0, -8:, -8:] = to_bits(np.ones(1), "bfloat16")
    box = np.float32([[[width - 7, height - 7, width - 1, height - 1]]])
    call = RoiAlign(
        gpu_launchers,
        [features.shape],
        box,
        np.zeros((1, 1), np.int32),
        strides=(1.0,),
        output_size=(2, 2),
        element="bfloat16",
    )
    call.pool([gpu_launchers.memory.send(features)])
    np.testing.assert_array_equal(call.fetch(call.output), np.ones((1, 1, 2, 2, channels)))
    call.spread(call.send(np.ones((1, 1, 2, 2, channels))))
    gradient = gpu_launchers.memory.fetch(call.gradients[0])
    touched = np.flatnonzero(gradient[0, :, :, 0].any(axis=1))
    assert touched.min() >= height - 8
    assert touched.size >= 4
