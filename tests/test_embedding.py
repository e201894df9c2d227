"""Parts of the package inside other people's models, and other people's backbones inside the detector."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf import TwoStageDetector
from cascade_tf.heads import BoxHead, CascadeHeads, Stage
from cascade_tf.layers import DetectionOutput, PixelNormalization
from cascade_tf.losses import stage_losses
from cascade_tf.necks import FPN
from cascade_tf.pooling import ROIAlign
from cascade_tf.proposals import RegionProposal
from cascade_tf.structures import ImageBatch, Targets
from tests.tiny_detector import tiny_detector

NUM_CLASSES = 2


def own_pyramid(images):
    """A user's own two-level network: strides 4 and 8."""
    fine = keras.layers.Conv2D(8, 3, strides=4, padding="same", activation="relu", name="fine")(images)
    coarse = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="coarse")(fine)
    return {"P2": fine, "P3": coarse}


def cascade(num_stages: int = 3) -> CascadeHeads:
    stages = [
        Stage(BoxHead(NUM_CLASSES, units=16), iou=0.4 + 0.1 * number, num_samples=16 if number == 1 else None)
        for number in range(1, num_stages + 1)
    ]
    return CascadeHeads(stages, ROIAlign(output_size=3, strides=(4, 8), canonical_size=56.0))


def pictures(seed: int = 0, count: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (count, 64, 64, 3)).astype(np.float32)


def test_roi_align_in_a_functional_model_learns_and_round_trips(tmp_path):
    images, boxes = keras.Input((None, None, 3)), keras.Input((None, 4))
    pooled = ROIAlign(output_size=3, strides=(4, 8))(own_pyramid(images), boxes)
    score = keras.layers.Dense(1)(keras.layers.Reshape((-1, 3 * 3 * 8))(pooled))
    model = keras.Model([images, boxes], score)

    # Bright and dark squares: the score of a box is to be its brightness, which only pooled pixels tell.
    pixels = np.full((2, 64, 64, 3), 0.1, np.float32)
    pixels[0, 8:24, 8:24] = pixels[1, 36:60, 36:60] = 1.0
    where = np.float32([[[8, 8, 24, 24], [36, 36, 60, 60]]] * 2)
    brightness = np.float32([[[1], [0.1]], [[0.1], [1]]])
    model.compile(keras.optimizers.Adam(0.02), loss="mse")
    history = model.fit([pixels, where], brightness, epochs=40, verbose=0).history["loss"]
    assert history[-1] < 0.2 * history[0]

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again([pixels, where]), model([pixels, where]))


def test_cascade_heads_in_a_functional_model_learn_and_round_trip(tmp_path):
    images, image_size = keras.Input((None, None, 3)), keras.Input((2,))
    truth = Targets(
        boxes=keras.Input((None, 4)),
        classes=keras.Input((None,), dtype="int32"),
        valid=keras.Input((None,), dtype="bool"),
        crowd=keras.Input((None,), dtype="bool"),
        seed=keras.Input((2,), dtype="int32"),
    )
    features = own_pyramid(keras.layers.Rescaling(1 / 255)(images))
    _, proposals = RegionProposal(
        anchor_sizes=(16, 32), strides=(4, 8), pre_nms_test=40, post_nms_test=20, post_nms_train=30
    )(features, image_size)
    heads = cascade()
    outputs = heads(features, proposals, image_size, truth)
    learner = keras.Model([images, image_size, truth], outputs)
    last = heads(features, proposals, image_size)[-1]
    model = keras.Model([images, image_size], {"logits": last.logits, "boxes": last.boxes})

    inputs = [pictures(), np.float32([[64, 64], [60, 50]])]
    before = model(inputs)
    assert before["logits"].shape == (2, 20, NUM_CLASSES + 1)
    history = [step(learner, heads, [*inputs, one_object_each()]) for _ in range(12)]
    assert history[-1] < 0.7 * history[0]
    assert np.max(np.abs(model(inputs)["logits"] - before["logits"])) > 0.01

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    expected = model(inputs)
    for name, value in again(inputs).items():
        np.testing.assert_array_equal(value, expected[name])


def step(model: keras.Model, heads: CascadeHeads, inputs) -> float:
    """One step of plain gradient descent on the losses of the stages."""
    with tf.GradientTape() as tape:
        outputs = model(inputs, training=True)
        losses = [
            sum(stage_losses(one, stage.coder)) for one, stage in zip(outputs, heads.stages, strict=True)
        ]
        total = tf.add_n(losses)
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(total, model.trainable_variables), strict=True
    ):
        if gradient is not None:
            variable.assign_sub(0.05 * gradient)
    return float(total)


def one_object_each() -> Targets:
    """One disc in the first picture, one square in the second."""
    return Targets(
        boxes=np.float32([[[10, 10, 40, 40]], [[5, 20, 30, 50]]]),
        classes=np.int32([[1], [2]]),
        valid=np.ones((2, 1), bool),
        crowd=np.zeros((2, 1), bool),
        seed=np.int32([[1, 1], [2, 2]]),
    )


def detector_on(backbone: keras.Model, pixels: PixelNormalization) -> TwoStageDetector:
    """A cascade on any backbone with levels at strides 4, 8, 16 and 32, small in everything else."""
    stages = [
        Stage(
            BoxHead(NUM_CLASSES, units=32),
            iou=iou,
            std=(0.1 / number, 0.1 / number, 0.2 / number, 0.2 / number),
            weight=0.5 ** (number - 1),
            num_samples=32 if number == 1 else None,
        )
        for number, iou in enumerate((0.5, 0.6, 0.7), start=1)
    ]
    return TwoStageDetector(
        backbone=backbone,
        neck=FPN(32),
        proposals=RegionProposal(
            anchor_sizes=(8, 16, 32, 64, 128), pre_nms_train=60, post_nms_train=40, post_nms_test=20
        ),
        heads=CascadeHeads(stages, ROIAlign(canonical_size=56.0)),
        detection_output=DetectionOutput(score_threshold=0.0, max_detections=10),
        image_inputs=pixels,
        class_names=("disc", "square"),
        short_side=64,
        max_side=64,
    )


def check_whole_detector(detector: TwoStageDetector, folder) -> None:
    """One step of training changes the backbone, and the detector comes back from its file."""
    batch = ImageBatch(
        pictures().astype(np.uint8),
        np.float32([[64, 64], [60, 50]]),
        np.float32([[128, 128], [120, 100]]),
        np.int64([1, 2]),
    )
    data = tf.data.Dataset.from_tensors((batch, one_object_each()))
    detector.compile(keras.optimizers.SGD(1e-3))
    before = [np.asarray(value) for value in detector.backbone.trainable_variables]
    report = detector.fit(data, verbose=0, shuffle=False).history
    assert np.isfinite(report["loss"][0])
    changed = [
        np.any(old != np.asarray(new))
        for old, new in zip(before, detector.backbone.trainable_variables, strict=True)
    ]
    assert np.mean(changed) > 0.9

    detector.save(folder / "detector.keras")
    again = keras.saving.load_model(folder / "detector.keras")
    expected = detector(batch)
    for name, value in again(batch)._asdict().items():
        np.testing.assert_array_equal(value, getattr(expected, name), err_msg=name)

    records = detector.predict([np.zeros((40, 80, 3), np.uint8)])
    assert np.all(records[0].boxes[:, 2::2] <= 80)
    assert np.all(records[0].boxes[:, 1::2] <= 40)


@pytest.mark.slow
def test_detector_on_keras_applications(tmp_path):
    network = keras.applications.MobileNet(
        include_top=False, weights=None, alpha=0.25, input_shape=(None, None, 3)
    )
    ends = {"C2": "conv_pw_3_relu", "C3": "conv_pw_5_relu", "C4": "conv_pw_11_relu", "C5": "conv_pw_13_relu"}
    backbone = keras.Model(
        network.inputs, {level: network.get_layer(name).output for level, name in ends.items()}
    )
    pixels = PixelNormalization("RGB", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
    check_whole_detector(detector_on(backbone, pixels), tmp_path)


@pytest.mark.slow
def test_detector_on_keras_hub(tmp_path):
    keras_hub = pytest.importorskip("keras_hub", reason="an optional extra: see requirements/keras_hub.txt")
    network = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64, 64, 64],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )
    backbone = keras.Model(network.inputs, network.pyramid_outputs)
    pixels = PixelNormalization("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
    check_whole_detector(detector_on(backbone, pixels), tmp_path)


def test_a_detector_in_a_functional_model_round_trips(tmp_path):
    detector = tiny_detector()
    parts = (
        keras.Input((None, None, 3)),
        keras.Input((2,)),
        keras.Input((2,)),
        keras.Input((), dtype="int64"),
    )
    found = detector(ImageBatch(*parts))
    model = keras.Model(list(parts), {"boxes": found.boxes, "scores": found.scores})
    sizes = np.float32([[64, 64], [60, 50]])
    inputs = [pictures(), sizes, sizes, np.int64([1, 2])]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    expected = detector(ImageBatch(*map(tf.constant, inputs)))
    assert np.max(expected.scores) > 0
    for name, value in again(inputs).items():
        np.testing.assert_allclose(value, getattr(expected, name), atol=1e-4)


def test_four_images_in_a_list_are_no_batch():
    with pytest.raises(TypeError, match=r"expected an ImageBatch; detector\.predict"):
        tiny_detector()(list(pictures(count=4)))
