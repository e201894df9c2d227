"""Several passes over an image: by hand with a known network, and real networks against slow loops."""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import types
import weakref

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cascade_tf.data.coco import read_coco
from cascade_tf.layers import DetectionOutput
from cascade_tf.models import cascade_mask_rcnn_fpn, faster_rcnn_fpn
from cascade_tf.prediction import inference
from cascade_tf.prediction.network_calls import make_batch
from cascade_tf.prediction.test_time_augmentation import Augmentation, Pass
from cascade_tf.structures import ImageBatch, InstanceDetections
from tests.reference import cascade as reference
from tests.reference import voting
from tests.tiny_detector import CATEGORY_IDS, CLASS_NAMES, SETTINGS, noise

# Boxes of up to a few hundred pixels, mapped to the original image before or after the selection.
BOX_TOLERANCE = 1e-3
# Features of boxes that differ by that much.
SCORE_TOLERANCE = 1e-4
MASK_SIDE = 4
MASK_COLUMNS = np.float32([0.8, 0.6, 0.2, 0.0])
MASK_SETTINGS = {
    **SETTINGS,
    "heads.masks.stages": (3,),
    "heads.masks.head.num_convs": 1,
    "heads.masks.head.channels": 8,
}


class KnownNetwork:
    """Finds the bright rectangle, one pixel of its input too far to the right, surer in larger inputs.

    The score is the input's height / 256. The mask's columns fall from the left; its first row holds a
    thousandth of the box's left side in the input, its second row of the input's width.
    """

    class_names, category_ids = ("picture", "rectangle"), (40, 90)
    short_side, max_side, size_divisor, side_multiple = 64, 96, 32, None
    resize = "shorter_side"
    takes_proposals = False

    def __init__(self, has_masks=False, class_aware=False, **output):
        self.has_masks = has_masks
        self.detection_output = DetectionOutput(max_detections=5, **output)
        self.num_traces = 0
        self.heads = _Heads(class_aware)

    def propose(self, batch):
        self.num_traces += 1
        return self.features(batch), None, None

    def features(self, batch):
        return batch

    def in_areas(self, batch):
        return contextlib.nullcontext()


class _Heads:
    def __init__(self, class_aware):
        self.class_aware = class_aware

    def __call__(self, features, proposals, image_size):
        found = tf.reduce_any(features.images > 128, axis=(1, 2, 3))
        return (types.SimpleNamespace(batch=features, samples=types.SimpleNamespace(valid=found[:, None])),)

    def detection_boxes(self, outputs):
        bright = tf.reduce_all(outputs[-1].batch.images > 128, axis=-1)
        (x1, x2), (y1, y2) = (_extent(tf.reduce_any(bright, axis=axis)) for axis in (1, 2))
        box = tf.cast(tf.stack([x1 + 1, y1, x2 + 1, y2], axis=1), tf.float32)[:, None, None]
        # A class-aware network has a useless box for the other class.
        return tf.concat([box / 2, box], axis=2) if self.class_aware else box

    def class_probabilities(self, outputs):
        score = outputs[-1].batch.image_size[:, :1] / 256
        return tf.stack([1 - score, 0 * score, score], axis=-1)

    def with_masks(self, features, detections):
        boxes, classes = detections.boxes, detections.classes
        rows = tf.ones([MASK_SIDE, 1]) * MASK_COLUMNS
        masks = tf.tile(rows[None, None], [*tf.unstack(tf.shape(classes)), 1, 1])
        left, width = boxes[..., 0] / 1000, tf.ones_like(boxes[..., 0]) * features.image_size[:, 1:] / 1000
        told = tf.tile(tf.stack([left, width], axis=-1)[..., None], [1, 1, 1, MASK_SIDE])
        valid = tf.cast(detections.valid, tf.float32)[..., None, None]
        return InstanceDetections(*detections, tf.concat([told, masks[:, :, 2:]], axis=2) * valid)


def _extent(rows):
    last = tf.shape(rows)[1] - tf.argmax(tf.reverse(rows, [1]), axis=1, output_type=tf.int32)
    return tf.argmax(rows, axis=1, output_type=tf.int32), last


def picture(height=64, width=96, box=(20, 10, 60, 40)):
    x1, y1, x2, y2 = box
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[y1:y2, x1:x2] = 255
    return pixels


def test_passes():
    assert Augmentation().passes(64, 96) == [Pass(64, 96, False)]
    assert Augmentation(scales=(32, 128), flip=True).passes(64, 96) == [
        Pass(side, 96, flip) for side in (64, 32, 128) for flip in (False, True)
    ]
    own, mirrored, further, _ = Augmentation(scales=(32,), flip=True).passes(64, 96, "both_sides")
    assert own == Pass(64, 96, False, "both_sides")
    assert mirrored == Pass(64, 96, True, "both_sides")
    assert further == Pass(32, 96, False)
    papers = Augmentation((400, 500, 600, 700, 900, 1000, 1100, 1200), 2000, flip=True).passes(800, 1333)
    assert len(papers) == 18
    assert papers[:3] == [Pass(800, 1333, False), Pass(800, 1333, True), Pass(400, 2000, False)]


@pytest.mark.parametrize("class_aware", [False, True])
@pytest.mark.parametrize(
    ("settings", "shift", "score"),
    [
        ({}, 1.0, 0.25),
        # Of equal scores the detector's own pass comes first.
        ({"flip": True}, 1.0, 0.25),
        # The larger input is surer, and its pixels are half as large.
        ({"scales": (128,), "max_side": 192}, 0.5, 0.5),
        ({"scales": (128,), "max_side": 192, "flip": True}, 0.5, 0.5),
        # Mean of 1, -1 with score 1/4 and of 1/2, -1/2 with score 1/2.
        ({"scales": (128,), "max_side": 192, "flip": True, "vote_iou": 0.9}, 0.0, 0.5),
        # The limit leaves out the box at -1, whose IoU is 38.5 / 41.5.
        ({"scales": (128,), "max_side": 192, "flip": True, "vote_iou": 0.94}, 0.2, 0.5),
        # The limit of the longer side makes of 128 a 96: 64 again.
        ({"scales": (128,)}, 1.0, 0.25),
    ],
)
def test_the_union_by_hand(settings, shift, score, class_aware):
    detector = KnownNetwork(class_aware=class_aware)
    [record] = inference.predict_images(detector, picture(), augmentation=Augmentation(**settings))
    assert record.names == ("rectangle",)
    np.testing.assert_allclose(record.scores, [score])
    np.testing.assert_allclose(record.boxes, [[20 + shift, 10, 60 + shift, 40]], atol=BOX_TOLERANCE)
    assert record.size == (64, 96)


@pytest.mark.parametrize(("vote_iou", "shifts"), [(None, (1.0, -1.0)), (0.9, (0.0, 0.0))])
def test_soft_suppression_by_hand(vote_iou, shifts):
    detector = KnownNetwork(soft_nms="gaussian", soft_sigma=1.0)
    augmentation = Augmentation(flip=True, vote_iou=vote_iou)
    [record] = inference.predict_images(detector, picture(), augmentation=augmentation)
    # The IoU of the two boxes is 38 / 42. They vote with the scores that the network gave them.
    np.testing.assert_allclose(record.scores, [0.25, 0.25 * np.exp(-((38 / 42) ** 2))], rtol=1e-5)
    expected = [[20 + shift, 10, 60 + shift, 40] for shift in shifts]
    np.testing.assert_allclose(record.boxes, expected, atol=BOX_TOLERANCE)


def test_boxes_are_clipped_to_the_original_image():
    image = picture(box=(70, 10, 96, 40))
    [record] = inference.predict_images(KnownNetwork(), image, augmentation=Augmentation(flip=True))
    np.testing.assert_allclose(record.boxes, [[71, 10, 96, 40]], atol=BOX_TOLERANCE)
    [record] = inference.predict_images(KnownNetwork(), image, augmentation=Augmentation(vote_iou=0.9))
    np.testing.assert_allclose(record.boxes, [[71, 10, 96, 40]], atol=BOX_TOLERANCE)


def test_masks_are_averaged_and_mirrored_back():
    augmentation = Augmentation(scales=(128,), max_side=192, flip=True, vote_iou=0.9)
    [record] = inference.predict_images(KnownNetwork(has_masks=True), picture(), augmentation=augmentation)
    assert record.masks.shape == (1, MASK_SIDE, MASK_SIDE)
    symmetric = (MASK_COLUMNS + MASK_COLUMNS[::-1]) / 2
    np.testing.assert_allclose(record.masks[0, 2:], [symmetric] * 2, rtol=1e-5)
    # The final box (20, 60), mirrored (36, 76), in inputs of 96 and of 192 pixels.
    np.testing.assert_allclose(record.masks[0, 0], (20 + 36 + 40 + 72) / 4000, rtol=1e-5)
    np.testing.assert_allclose(record.masks[0, 1], (96 + 96 + 192 + 192) / 4000, rtol=1e-5)


@pytest.mark.parametrize("has_masks", [False, True])
def test_nothing_is_found(has_masks):
    dark = np.zeros((50, 70, 3), np.uint8)
    augmentation = Augmentation(scales=(128,), flip=True, vote_iou=0.9)
    detector = KnownNetwork(has_masks=has_masks)
    for record in inference.predict_images(detector, [dark, dark], batch_size=2, augmentation=augmentation):
        assert record.boxes.shape == (0, 4)
        assert record.names == ()
        if has_masks:
            assert record.masks.shape == (0, MASK_SIDE, MASK_SIDE)
            assert record.paste().shape == (0, 50, 70)


def test_images_of_one_batch_do_not_mix():
    boxes = {(64, 96): (20, 10, 60, 40), (96, 64): (8, 40, 40, 80), (40, 70): (0, 0, 1, 1)}
    images = [picture(*size, box) for size, box in boxes.items()]
    images[2][:] = 0
    augmentation = Augmentation(scales=(128,), max_side=192, flip=True, vote_iou=0.9)
    detector = KnownNetwork(has_masks=True)
    together = inference.predict_images(detector, images, batch_size=3, augmentation=augmentation)
    alone = inference.predict_images(detector, images, augmentation=augmentation)
    assert [len(record.boxes) for record in together] == [1, 1, 0]
    for one, other, box in zip(together, alone, boxes.values(), strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes)
        np.testing.assert_allclose(one.boxes, np.array([box])[: len(one.boxes)], atol=BOX_TOLERANCE)
        np.testing.assert_allclose(one.scores, other.scores)
        np.testing.assert_allclose(one.masks, other.masks)


def test_one_trace_serves_all_passes_and_images():
    detector = KnownNetwork()
    for augmentation in (Augmentation(flip=True), Augmentation(scales=(100, 40), vote_iou=0.9)):
        inference.predict_images(detector, [picture(), picture(40, 150)], augmentation=augmentation)
    assert detector.num_traces == 1


def test_the_traces_do_not_keep_a_detector_alive():
    detector = KnownNetwork(has_masks=True)
    inference.predict_images(detector, picture(), augmentation=Augmentation(flip=True, vote_iou=0.9))
    reference_to_it = weakref.ref(detector)
    del detector
    gc.collect()
    assert reference_to_it() is None


@pytest.fixture
def dataset(tmp_path):
    images = []
    for number, size in enumerate([(64, 96), (96, 64), (40, 150)]):
        Image.fromarray(picture(*size, (20, 10, 50, 30))).save(tmp_path / f"{number}.png")
        images.append({"id": 100 - number, "file_name": f"{number}.png", "height": size[0], "width": size[1]})
    content = {"images": images, "annotations": [], "categories": [{"id": 40, "name": "a"}]}
    (tmp_path / "instances.json").write_text(json.dumps(content))
    return read_coco(tmp_path / "instances.json", tmp_path)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_data_set_gives_what_its_images_give(dataset, batch_size):
    augmentation = Augmentation(scales=(128,), max_side=192, flip=True, vote_iou=0.9)
    detector = KnownNetwork(has_masks=True)
    found = inference.detect_dataset(
        detector, dataset, batch_size=batch_size, augmentation=augmentation, skip_broken=batch_size == 2
    )
    assert [record.image_id for record in found] == [100, 99, 98]
    paths = [example.path for example in dataset.examples]
    expected = inference.predict_images(detector, paths, augmentation=augmentation)
    for record, one in zip(found, expected, strict=True):
        assert len(record.boxes) == 1
        assert record.size == one.size
        np.testing.assert_allclose(record.boxes, one.boxes)
        np.testing.assert_allclose(record.scores, one.scores)
        np.testing.assert_array_equal(record.paste(), one.paste())


def test_stages_by_themselves_are_seen_once(dataset):
    with pytest.raises(ValueError, match="got per_stage with augmentation, expected one of them"):
        inference.detect_dataset(
            KnownNetwork(), dataset, per_stage=True, augmentation=Augmentation(flip=True)
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scales": (400, 0)}, r"got scales \(400, 0\) and max_side None, expected sizes above 0"),
        ({"max_side": -1}, r"max_side -1, expected sizes above 0"),
        ({"vote_iou": 0.0}, r"got vote_iou 0.0, expected an overlap in \(0, 1\] or None"),
        ({"vote_iou": 1.5}, r"got vote_iou 1.5"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**settings)


@functools.cache
def real(kind):
    """Traced once for all tests: with masks a cascade, whose boxes are class-agnostic, else one stage."""
    if kind == "masks":
        return cascade_mask_rcnn_fpn(CLASS_NAMES, CATEGORY_IDS, **MASK_SETTINGS)
    return faster_rcnn_fpn(CLASS_NAMES, CATEGORY_IDS, **SETTINGS)


def assert_same_records(found, expected):
    for record, one in zip(found, expected, strict=True):
        assert len(one.boxes) > 3
        np.testing.assert_array_equal(record.classes, one.classes)
        np.testing.assert_allclose(record.scores, one.scores, atol=SCORE_TOLERANCE)
        np.testing.assert_allclose(record.boxes, one.boxes, atol=BOX_TOLERANCE)
        assert (record.masks is None) == (one.masks is None)
        if one.masks is not None:
            np.testing.assert_allclose(record.masks, one.masks, atol=SCORE_TOLERANCE)


@pytest.mark.parametrize("kind", ["class_aware", "masks"])
def test_one_pass_is_plain_prediction(kind):
    detector = real(kind)
    images = [noise(90, 130), noise(130, 77, seed=1)]
    found = detector.predict(images, batch_size=2, augmentation=Augmentation())
    assert_same_records(found, detector.predict(images, batch_size=2))


@pytest.mark.parametrize("kind", ["class_aware", "masks"])
def test_with_flips_a_mirrored_image_gives_mirrored_results(kind):
    detector = real(kind)
    augmentation = Augmentation(scales=(48,), flip=True, vote_iou=0.9)
    image = noise(90, 131)
    [expected] = detector.predict(image, augmentation=augmentation)
    [found] = detector.predict(image[:, ::-1], augmentation=augmentation)
    mirrored = found._replace(
        boxes=[131, 0, 131, 0] - found.boxes[:, [2, 1, 0, 3]] * np.float32([1, -1, 1, -1]),
        masks=None if found.masks is None else found.masks[..., ::-1],
    )
    assert_same_records([mirrored], [expected])
    # The network itself is far from symmetric.
    [plain], [other] = detector.predict(image), detector.predict(image[:, ::-1])
    assert not np.allclose(plain.scores[:3], other.scores[:3], atol=SCORE_TOLERANCE)


def candidates_by_hand(detector, image, short_side, max_side, flip):
    """Boxes in the original frame, as nested lists, and class probabilities of one pass."""
    shown = image[:, ::-1] if flip else image
    batch = make_batch([shown], short_side=short_side, max_side=max_side, size_divisor=32)
    features, _, proposals = detector.propose(batch)
    outputs = detector.heads(features, proposals, batch.image_size)
    valid = outputs[-1].samples.valid[0].numpy()
    height, width = (image.shape[:2] / batch.image_size[0].numpy()).tolist()
    boxes = detector.heads.detection_boxes(outputs)[0].numpy()[valid] * [width, height, width, height]
    if flip:
        boxes = np.stack(
            [image.shape[1] - boxes[..., 2], boxes[..., 1], image.shape[1] - boxes[..., 0], boxes[..., 3]], -1
        )
    return boxes, detector.heads.class_probabilities(outputs)[0].numpy()[valid]


@pytest.mark.parametrize("kind", ["class_aware", "masks"])
@pytest.mark.parametrize("vote_iou", [None, 0.5])
def test_real_networks_equal_loops(kind, vote_iou):
    detector, image = real(kind), noise(90, 131)
    augmentation = Augmentation(scales=(48, 80), max_side=110, flip=True, vote_iou=vote_iou)
    parts = [candidates_by_hand(detector, image, *one[:3]) for one in augmentation.passes(64, 96)]
    boxes, probabilities = (np.concatenate(part) for part in zip(*parts, strict=True))
    expected = reference.detect(boxes, probabilities, image.shape[:2], 0.0, 0.5, 10)
    clipped = [[reference.clip(box, image.shape[:2]) for box in row] for row in boxes]
    [found] = detector.predict(image, augmentation=augmentation)
    assert len(found.boxes) == len(expected) == 10
    moved = 0
    for box, score, label, one in zip(found.boxes, found.scores, found.classes, expected, strict=True):
        wanted = one.box
        if vote_iou is not None:
            own = [row[label - 1 if len(row) > 1 else 0] for row in clipped]
            wanted = voting.vote(one.box, own, probabilities[:, label], vote_iou, 0.0)
            moved += not np.allclose(wanted, one.box, atol=0.1)
        np.testing.assert_allclose(box, wanted, atol=BOX_TOLERANCE)
        np.testing.assert_allclose(score, one.score, atol=SCORE_TOLERANCE)
        assert label == one.label
    assert vote_iou is None or moved > 0


def test_a_batch_may_keep_the_images_sizes():
    images = [noise(40, 70), noise(33, 64, seed=1)]
    batch = make_batch(images, short_side=None, max_side=None, size_divisor=32, first_id=5)
    assert isinstance(batch, ImageBatch)
    assert batch.images.shape == (2, 64, 96, 3)
    np.testing.assert_array_equal(batch.image_size, [[40, 70], [33, 64]])
    np.testing.assert_array_equal(batch.original_size, batch.image_size)
    np.testing.assert_array_equal(batch.image_id, [5, 6])
    for pixels, image in zip(batch.images.numpy(), images, strict=True):
        height, width = image.shape[:2]
        np.testing.assert_array_equal(pixels[:height, :width], image)
        assert not pixels[height:].any()
