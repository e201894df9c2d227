import gc
import json
import weakref

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cascade_tf import inference
from cascade_tf.data.coco import read_coco
from cascade_tf.structures import Detections, ImageBatch
from tests.tiny_detector import CATEGORY_IDS, MAX_DETECTIONS, noise, tiny_detector


class BrightBoxDetector:
    """Finds the bright rectangle (class 2) and the whole picture (class 1); the third entry is padding."""

    class_names = ("picture", "rectangle")
    category_ids = (40, 90)
    short_side, max_side, size_divisor, num_stages = 64, 96, 32, 2

    def __init__(self):
        self.num_traces = 0

    def __call__(self, batch, training):
        assert not training
        self.num_traces += 1
        bright = tf.reduce_all(batch.images > 128, axis=-1)
        (x1, x2), (y1, y2) = (_extent(tf.reduce_any(bright, axis=axis)) for axis in (1, 2))
        rectangle = tf.cast(tf.stack([x1, y1, x2, y2], axis=1), tf.float32)
        picture = tf.concat([tf.zeros_like(batch.image_size), batch.image_size[:, ::-1]], axis=1)
        found = tf.reduce_any(bright, axis=(1, 2))
        same = tf.ones_like(found, tf.int32)
        return Detections(
            boxes=tf.stack([rectangle, picture, tf.zeros_like(picture)], axis=1),
            scores=tf.tile([[0.9, 0.3, 0.0]], [tf.shape(found)[0], 1]),
            classes=tf.stack([2 * same, same, 0 * same], axis=1),
            valid=tf.stack([found, found, tf.zeros_like(found)], axis=1),
        )

    def per_stage_detections(self, batch):
        last = self(batch, training=False)
        return [last._replace(scores=last.scores / 2), last]


def _extent(rows):
    last = tf.shape(rows)[1] - tf.argmax(tf.reverse(rows, [1]), axis=1, output_type=tf.int32)
    return tf.argmax(rows, axis=1, output_type=tf.int32), last


def picture(height, width, box):
    x1, y1, x2, y2 = box
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[y1:y2, x1:x2] = 255
    return pixels


# One pixel of the network's frame, in pixels of the larger originals below.
FRAME_TOLERANCE = 3.5
BOXES = {(200, 300): (60, 30, 150, 120), (300, 200): (20, 90, 110, 240), (40, 48): (8, 4, 40, 36)}
PICTURES = [picture(*size, box) for size, box in BOXES.items()]


@pytest.fixture
def detector():
    return BrightBoxDetector()


def test_boxes_are_in_pixels_of_each_original(detector):
    records = detector_records = inference.predict_images(detector, PICTURES, batch_size=3)
    assert [record.image_id for record in records] == [0, 1, 2]
    for record, (size, box) in zip(detector_records, BOXES.items(), strict=True):
        assert record.boxes.dtype == np.float32
        np.testing.assert_allclose(record.boxes[0], box, atol=FRAME_TOLERANCE)
        np.testing.assert_array_equal(record.boxes[1], [0, 0, size[1], size[0]])
        np.testing.assert_allclose(record.scores, [0.9, 0.3])
        np.testing.assert_array_equal(record.classes, [2, 1])
        np.testing.assert_array_equal(record.category_ids, [90, 40])
        assert record.names == ("rectangle", "picture")


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_the_batch_size_changes_nothing(detector, batch_size):
    expected = inference.predict_images(detector, PICTURES, batch_size=3)
    found = inference.predict_images(detector, iter(PICTURES), batch_size=batch_size)
    assert [record.image_id for record in found] == [0, 1, 2]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)


def test_one_trace_serves_all_image_sizes_and_calls(detector):
    for images in (PICTURES, PICTURES[:1], [noise(33, 500)]):
        inference.predict_images(detector, images, batch_size=2)
    assert detector.num_traces == 1


def test_the_trace_does_not_keep_a_detector_alive():
    detector = BrightBoxDetector()
    inference.predict_images(detector, PICTURES[0])
    reference = weakref.ref(detector)
    del detector
    gc.collect()
    assert reference() is None


def test_one_image_in_every_form(detector, tmp_path):
    path = tmp_path / "image.png"
    image = Image.fromarray(PICTURES[0])
    image.save(path)
    [expected] = inference.predict_images(detector, PICTURES[0])
    for form in (
        path,
        str(path),
        path.read_bytes(),
        image,
        tf.constant(PICTURES[0]),
        [path],
        PICTURES[0][None],
    ):
        [record] = inference.predict_images(detector, form)
        np.testing.assert_array_equal(record.boxes, expected.boxes)


def test_no_images(detector):
    assert inference.predict_images(detector, []) == []


def test_an_image_without_objects(detector):
    [record] = inference.predict_images(detector, np.zeros((50, 70, 3), np.uint8))
    assert record.boxes.shape == (0, 4)
    assert record.names == ()
    assert inference.to_coco_results([record]) == []


def test_score_threshold_is_strict(detector):
    [record] = inference.predict_images(detector, PICTURES[0], score_threshold=0.3)
    np.testing.assert_allclose(record.scores, [0.9, 0.3][: len(record.scores)])
    [record] = inference.predict_images(detector, PICTURES[0], score_threshold=0.5)
    assert record.names == ("rectangle",)
    assert record.boxes.shape == (1, 4)
    np.testing.assert_array_equal(record.category_ids, [90])
    assert inference.predict_images(detector, PICTURES[0], score_threshold=0.95)[0].names == ()


def test_an_unreadable_file_is_named(detector, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    with pytest.raises(ValueError, match=r"bad\.jpg: cannot be decoded"):
        inference.predict_images(detector, [PICTURES[0], tmp_path / "bad.jpg"])


def test_a_batch_size_of_zero_is_refused(detector):
    with pytest.raises(ValueError, match="batch_size: got 0, expected 1 or more"):
        inference.predict_images(detector, PICTURES, batch_size=0)


def test_records_are_scaled_clipped_and_freed_of_padding():
    # The image of 100 x 400 pixels was resized to 50 x 100: x4 in x, x2 in y.
    batch = ImageBatch(
        images=np.zeros((1, 64, 128, 3), np.uint8),
        image_size=np.array([[50, 100]], np.float32),
        original_size=np.array([[100, 400]], np.float32),
        image_id=np.array([77]),
    )
    detections = Detections(
        boxes=np.array([[[10, 5, 20, 30], [-5, 40, 120, 64], [101, 0, 128, 20], [0, 0, 9, 9]]], np.float32),
        scores=np.array([[0.9, 0.8, 0.7, 0]], np.float32),
        classes=np.array([[1, 2, 1, 0]], np.int32),
        valid=np.array([[True, True, True, False]]),
    )
    [record] = inference.to_records(detections, batch, ("a", "b"), (5, 11))
    np.testing.assert_array_equal(record.boxes, [[40, 10, 80, 60], [0, 80, 400, 100]])
    assert (record.image_id, record.names) == (77, ("a", "b"))
    assert inference.to_coco_results([record])[1] == {
        "image_id": 77,
        "category_id": 11,
        "bbox": [0.0, 80.0, 400.0, 20.0],
        "score": pytest.approx(0.8),
    }


@pytest.fixture
def dataset(tmp_path):
    images = []
    for number, pixels in enumerate(PICTURES):
        name = f"{number}.png"
        Image.fromarray(pixels).save(tmp_path / name)
        height, width = pixels.shape[:2]
        images.append({"id": 100 - number, "file_name": name, "height": height, "width": width})
    categories = [{"id": 40, "name": "picture"}, {"id": 90, "name": "rectangle"}]
    content = {"images": images, "annotations": [], "categories": categories}
    (tmp_path / "instances.json").write_text(json.dumps(content))
    return read_coco(tmp_path / "instances.json", tmp_path)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_data_set_gives_what_its_images_give(detector, dataset, batch_size):
    counts = []
    records = inference.detect_dataset(detector, dataset, batch_size=batch_size, progress=counts.append)
    assert [record.image_id for record in records] == [100, 99, 98]
    assert counts == ([1, 1, 1] if batch_size == 1 else [2, 1])
    for record, expected in zip(records, inference.predict_images(detector, PICTURES), strict=True):
        np.testing.assert_array_equal(record.boxes, expected.boxes)
        np.testing.assert_array_equal(record.category_ids, expected.category_ids)


def test_a_data_set_stage_by_stage(detector, dataset):
    first, last = inference.detect_dataset(detector, dataset, per_stage=True)
    assert [record.image_id for record in first] == [100, 99, 98]
    np.testing.assert_allclose(first[0].scores, [0.45, 0.15])
    np.testing.assert_allclose(last[0].scores, [0.9, 0.3])


def test_a_broken_image_of_a_data_set_is_named(detector, dataset, tmp_path):
    (tmp_path / "1.png").write_bytes(b"\x89PNG gone")
    with pytest.raises(ValueError, match=r"1\.png cannot be read"):
        inference.detect_dataset(detector, dataset)


def test_a_broken_image_of_a_data_set_is_left_out_on_request(detector, dataset, tmp_path):
    (tmp_path / "1.png").write_bytes(b"\x89PNG gone")
    records = inference.detect_dataset(detector, dataset, skip_broken=True)
    assert len(records) == 2


def test_the_real_network():
    detector = tiny_detector()
    images = [noise(90, 130), noise(130, 90, seed=1), noise(64, 96, seed=2)]
    records = detector.predict(images)
    assert len(records) == 3
    for record, image in zip(records, images, strict=True):
        count = len(record.boxes)
        assert 0 < count <= MAX_DETECTIONS
        assert np.all(np.diff(record.scores) <= 0)
        assert np.all((record.boxes >= 0) & (record.boxes <= [*image.shape[1::-1]] * 2))
        assert set(record.category_ids) <= set(CATEGORY_IDS)
    np.testing.assert_array_equal(detector.predict(images[1])[0].boxes, records[1].boxes)
