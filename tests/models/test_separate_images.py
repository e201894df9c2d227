"""With GroupNorm an image gets the same answer in a batch of images of other sizes as alone."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.models import cascade_mask_rcnn_fpn
from cascade_tf.prediction.network_calls import IMAGE_BATCH_SPEC, make_batch
from cascade_tf.serving.export import export_saved_model
from cascade_tf.structures import InstanceTargets, Targets
from tests.conformance.catalogue import CLASS_NAMES, TINY
from tests.tiny_detector import noise

# One reaches the frame's height, one its width; the sides of the second are multiples of 32, so that boxes at
# its border touch what lies beyond; the third is in the frame's corner only.
SIZES = ((90, 60), (64, 128), (33, 31))
# Sums of other order. Without separation features differ by more than 0.1.
TOLERANCE = 1e-4
# Of the largest: so far does rounding move gradients through GroupNorm, as in the golden tests. A few anchors
# more move them by 4e-2.
GRADIENTS = 1e-2


def images():
    return [noise(*size, seed=seed) for seed, size in enumerate(SIZES)]


def batch_of(some):
    return make_batch(some, short_side=None, max_side=None, size_divisor=32)


@functools.cache
def detector(**settings):
    keras.utils.set_random_seed(3)
    return cascade_mask_rcnn_fpn(
        CLASS_NAMES,
        **{
            **TINY,
            "heads.masks.head.channels": 16,
            "heads.masks.stages": (1, 3),
            "heads.rescale_heads": False,
            **settings,
        },
    )


@functools.cache
def graph(name, **settings):
    """A method of a detector as a graph for batches of any size."""
    one = detector(**settings)
    specs = [IMAGE_BATCH_SPEC] if name != "losses" else [IMAGE_BATCH_SPEC, target_spec()]
    return tf.function(functools.partial(METHODS[name], one), input_signature=specs, autograph=False)


def losses(one, batch, targets):
    """The losses, and what the proposals' have for gradients from the stem on: they weigh images alike."""
    variables = one.backbone.trainable_variables + one.neck.trainable_variables
    some = [v for v in variables if v.path.endswith(("conv1/kernel", "conv1_norm/gamma", "lateral5/kernel"))]
    with tf.GradientTape() as tape:
        values, _ = one.compute_losses(batch, targets)
        total = values["rpn_objectness"] + values["rpn_box"]
    return values, tape.gradient(total, some)


METHODS = {
    "features": lambda one, batch: one.features(batch),
    "detections": lambda one, batch: one(batch),
    "losses": losses,
}


def target_spec():
    rows = tf.nest.map_structure(lambda value: tf.TensorSpec([None, *value.shape[1:]], value.dtype), truth(0))
    return rows._replace(masks=tf.TensorSpec([None, 2, None, None], tf.uint8))


def truth(index, frame=None):
    """Two objects of an image, one at its border, with their masks in the frame."""
    height, width = SIZES[index]
    frame_height, frame_width = frame or (height, width)
    boxes = np.float32([[[2, 3, width * 0.6, height * 0.7], [width * 0.4, height * 0.5, width, height]]])
    masks = np.zeros([1, 2, frame_height, frame_width], np.uint8)
    masks[:, :, : height - 5, : width - 9] = 1
    return InstanceTargets(
        boxes=boxes,
        classes=np.int32([[1, 3]]),
        valid=np.ones([1, 2], bool),
        crowd=np.zeros([1, 2], bool),
        seed=np.int32([[7, index]]),
        masks=np.packbits(masks, axis=-1),
    )


def of_image(nest, index):
    return tf.nest.map_structure(lambda value: value[index : index + 1], nest)


def assert_same(found, expected):
    """``expected`` may have fewer cells than ``found``, of whose padding nothing is said."""
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        own = tuple(slice(0, size) for size in other.shape)
        np.testing.assert_allclose(np.asarray(one)[own], other, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("features", {}),
        # Its biases would stand in the padding.
        ("features", {"neck.norm": "none"}),
        ("detections", {"*.implementation": "tensorflow"}),
        pytest.param("detections", {"*.implementation": "custom"}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_each_image_as_alone(name, settings, order):
    run = graph(name, **settings)
    together = run(batch_of([images()[i] for i in order]))
    for place, index in enumerate(order):
        assert_same(of_image(together, place), run(batch_of([images()[index]])))


def truth_of_all(batch):
    frame = tuple(batch.images.shape[1:3])
    rows = [truth(index, frame) for index in range(len(SIZES))]
    return tf.nest.map_structure(lambda *values: np.concatenate(values), *rows)


def labels(batch, targets):
    one = detector()
    with one.in_areas(batch):
        output, _ = one.proposals.of_batch(one.features(batch), batch, training=True)
    return output, one.proposals.label(output, Targets(*targets[: len(Targets._fields)]))


def test_anchors_and_the_draw_among_them():
    """An image has the anchors that it has alone, also on P6, of whose stride frames are no multiples."""
    batch = batch_of(images())
    output, together = labels(batch, truth_of_all(batch))
    for index, image in enumerate(images()):
        one = batch_of([image])
        alone_output, alone = labels(one, truth(index, tuple(one.images.shape[1:3])))
        own = output.of_image[index].numpy()
        np.testing.assert_array_equal(output.anchors[own], alone_output.anchors)
        np.testing.assert_array_equal(together.labels[index][own], alone.labels[0])
        assert (together.labels[index][~own].numpy() == -1).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{"*.recompute": True}, {"*.implementation": "custom", "heads.rescale_heads": True}]
)
def test_training(settings):
    """Losses and gradients of a batch are the means of those of its images, down to the draws."""
    run = graph("losses", **settings)
    batch = batch_of(images())
    found, gradients = run(batch, truth_of_all(batch))
    alone = []
    for index, image in enumerate(images()):
        one = batch_of([image])
        alone.append(run(one, truth(index, tuple(one.images.shape[1:3]))))
    expected, slopes = tf.nest.map_structure(lambda *values: np.mean(values, axis=0), *alone)
    assert_same(found, expected)
    for gradient, slope in zip(gradients, slopes, strict=True):
        np.testing.assert_allclose(gradient, slope, atol=GRADIENTS * np.abs(slope).max())


@pytest.mark.slow
def test_predict_and_export(tmp_path):
    """Whole files in, as a server joins them."""
    encoded = [tf.io.encode_png(image).numpy() for image in images()]
    exported = tf.saved_model.load(str(export_saved_model(detector(), tmp_path)))
    serve = exported.signatures["serving_default"]
    joined = serve(image_bytes=tf.constant(encoded))
    predicted = detector().predict(images(), batch_size=3)
    for index, image in enumerate(images()):
        assert_same(of_image(joined, index), serve(image_bytes=tf.constant(encoded[index : index + 1])))
        [alone] = detector().predict(image)
        np.testing.assert_allclose(predicted[index].boxes, alone.boxes, atol=TOLERANCE)
        np.testing.assert_allclose(predicted[index].scores, alone.scores, atol=TOLERANCE)
        np.testing.assert_array_equal(predicted[index].classes, alone.classes)
