"""The mask head against plain sums, and which RoIs and classes it looks at."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.heads import MaskBranch, MaskHead
from cascade_tf.pooling import ROIAlign
from cascade_tf.structures import Samples
from tests.heads.examples import IMAGE_SIZE, NUM_CLASSES, build_heads, ground_truth, proposals, pyramid

X = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 2)).astype(np.float32)
# Sums of a few dozen products.
TOLERANCE = 1e-5


def build(**settings):
    head = MaskHead(NUM_CLASSES, channels=6, **settings)
    head(X)
    generator = np.random.default_rng(1)
    head.set_weights([generator.normal(0, 0.4, weight.shape) for weight in head.get_weights()])
    return head


def convolve(x, kernel, bias):
    """3x3 with zero padding, as a sum over the nine taps."""
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    height, width = x.shape[1:3]
    taps = [padded[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3)]
    return sum(taps) + bias


def upsample(x, kernel, bias):
    """Every cell becomes two by two cells; the kernel is [2, 2, out, in]."""
    n, height, width, _ = x.shape
    result = np.zeros([n, 2 * height, 2 * width, kernel.shape[2]])
    for i in range(2):
        for j in range(2):
            result[:, i::2, j::2] = x @ kernel[i, j].T + bias
    return result


def test_by_hand():
    head = build(num_convs=2)
    x = X.reshape(6, 4, 5, 2).astype(np.float64)
    for conv in head.convs:
        x = np.maximum(convolve(x, conv.kernel.numpy(), conv.bias.numpy()), 0)
    x = np.maximum(upsample(x, head.deconv.kernel.numpy(), head.deconv.bias.numpy()), 0)
    expected = x @ head.predictor.kernel.numpy()[0, 0] + head.predictor.bias.numpy()
    logits = head(X)
    np.testing.assert_allclose(
        logits, expected.reshape(2, 3, 8, 10, NUM_CLASSES), rtol=TOLERANCE, atol=TOLERANCE
    )


def test_group_normalisation_replaces_the_biases_of_the_convolutions():
    head = build(norm="group", norm_groups=3)
    assert not any(conv.use_bias for conv in head.convs)
    assert [norm.groups for norm in head.norms] == [3] * 4
    np.testing.assert_allclose(head(X), head(100 * X), atol=1e-3)


def test_the_mask_of_a_class():
    head, classes = build(), tf.constant([[1, 3, 0], [2, 2, 1]])
    logits = head(X).numpy()
    chosen = head.of_classes(logits, classes).numpy()
    for image, roi in np.ndindex(2, 3):
        label = int(classes[image, roi])
        expected = logits[image, roi, ..., label - 1] if label else np.zeros([8, 10])
        np.testing.assert_array_equal(chosen[image, roi], expected)
    agnostic = build(class_agnostic=True)
    assert agnostic(X).shape[-1] == 1
    np.testing.assert_array_equal(agnostic.of_classes(agnostic(X), classes), agnostic(X)[..., 0])


def test_no_roi_gives_no_mask():
    head = build()
    assert head(X[:, :0]).shape == (2, 0, 8, 10, NUM_CLASSES)
    assert head.of_classes(head(X[:, :0]), tf.zeros([2, 0], tf.int32)).shape == (2, 0, 8, 10)


def masks_on(*stages, num_samples=40):
    heads = build_heads(
        num_samples=num_samples,
        masks=MaskBranch(
            [MaskHead(NUM_CLASSES, channels=4, num_convs=1, name=f"mask{n}") for n in stages],
            stages,
            ROIAlign(output_size=5, canonical_size=40.0, name="mask_roi_align"),
        ),
    )
    generator = np.random.default_rng(2)
    for head in heads.masks.heads:
        head.set_weights([generator.normal(0, 0.5, weight.shape) for weight in head.get_weights()])
    return heads


@pytest.mark.parametrize("stages", [(1,), (3,), (1, 2, 3)])
def test_training_masks_are_those_of_the_stages_foreground(stages):
    heads, features = masks_on(*stages), pyramid()
    outputs = heads(features, proposals(), IMAGE_SIZE, ground_truth(), training=True)
    found = heads.masks.outputs_of(features, outputs)
    assert len(found) == len(stages)
    for number, head, output in zip(stages, heads.masks.heads, found, strict=True):
        samples = Samples(*(value.numpy() for value in outputs[number - 1].samples))
        foreground = samples.valid & (samples.classes > 0)
        counts = foreground.sum(axis=1)
        assert counts[0] > 0
        assert counts[1] == 0
        np.testing.assert_array_equal(output.valid.numpy().sum(axis=1), counts)
        assert output.valid.shape[1] == counts.max()
        np.testing.assert_array_equal(output.boxes[0], samples.boxes[0, foreground[0]])
        np.testing.assert_array_equal(output.classes[0], samples.classes[0, foreground[0]])
        np.testing.assert_array_equal(output.gt_index[0], samples.gt_index[0, foreground[0]])
        pooled = heads.masks.pooling(features, output.boxes)
        np.testing.assert_array_equal(output.logits, head(pooled))


def test_without_foreground_there_is_no_mask_to_train():
    heads, features = masks_on(2), pyramid()
    nothing = type(ground_truth())(*(tf.zeros_like(value) for value in ground_truth()))
    outputs = heads(features, proposals(), IMAGE_SIZE, nothing, training=True)
    (found,) = heads.masks.outputs_of(features, outputs)
    assert found.logits.shape == (2, 0, 10, 10, NUM_CLASSES)


def test_detected_masks_are_the_mean_of_all_heads():
    heads, features = masks_on(1, 3), pyramid()
    boxes = tf.constant([[[10.0, 10, 40, 40], [0, 0, 0, 0]], [[5, 5, 60, 30], [30, 20, 50, 60]]])
    classes = tf.constant([[2, 0], [1, 3]])
    masks = heads.masks(features, boxes, classes).numpy()
    pooled = heads.masks.pooling(features, boxes)
    logits = [head(pooled).numpy() for head in heads.masks.heads]
    for image, place in ((0, 0), (1, 0), (1, 1)):
        channel = int(classes[image, place]) - 1
        expected = np.mean([1 / (1 + np.exp(-one[image, place, ..., channel])) for one in logits], axis=0)
        np.testing.assert_allclose(masks[image, place], expected, rtol=TOLERANCE)
    assert not masks[0, 1].any()


@pytest.mark.parametrize(
    ("stages", "heads", "message"),
    [
        ((4,), 1, r"masks: got 'stages \(4,\)', expected numbers of stages in 1..3"),
        ((3, 1), 2, r"stages: got \(3, 1\), expected ascending numbers of stages from 1"),
        ((0, 1), 2, r"stages: got \(0, 1\), expected ascending"),
        ((), 0, r"stages: got \(\), expected ascending"),
        ((1,), 2, r"heads: got '2', expected one for each of \(1,\)"),
    ],
)
def test_heads_that_do_not_fit(stages, heads, message):
    with pytest.raises(ValueError, match=message):
        build_heads(masks=MaskBranch([MaskHead(NUM_CLASSES) for _ in range(heads)], stages, ROIAlign()))


def test_a_head_needs_classes():
    with pytest.raises(ValueError, match="num_classes: got 0, expected 1 or more"):
        MaskHead(0)
