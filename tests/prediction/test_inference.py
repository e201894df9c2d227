import concurrent.futures
import gc
import json
import weakref

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools import mask as coco_mask

from cascade_tf.data.coco import read_coco
from cascade_tf.data.pipeline import eval_batches
from cascade_tf.models import cascade_mask_rcnn_fpn
from cascade_tf.prediction import inference
from cascade_tf.prediction.inference import to_records
from cascade_tf.prediction.network_calls import make_batch
from cascade_tf.prediction.test_time_augmentation import Augmentation, detect
from cascade_tf.serving.export import _resize_into_canvas
from cascade_tf.structures import Detections, ImageBatch, InstanceDetections
from tests.tiny_detector import CATEGORY_IDS, CLASS_NAMES, MAX_DETECTIONS, SETTINGS, noise, tiny_detector


class BrightBoxDetector:
    """Finds the bright rectangle (class 2) and the whole picture (class 1); the third entry is padding."""

    class_names = ("picture", "rectangle")
    category_ids = (40, 90)
    short_side, max_side, size_divisor, side_multiple = 64, 96, 32, None
    row_names = ("stage 1", "stage 2")
    resize = "shorter_side"
    takes_proposals = False

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


class LeftHalfDetector(BrightBoxDetector):
    """Says that the objects cover the left half of their boxes, surer in the later stage."""

    def __call__(self, batch, training):
        found = super().__call__(batch, training)
        left = tf.repeat([0.9, 0.1], 8)
        return InstanceDetections(
            *found, tf.where(found.valid[..., None, None], tf.tile(left[None], [16, 1]), 0.0)
        )

    def per_stage_detections(self, batch):
        last = self(batch, training=False)
        return [last._replace(masks=last.masks / 2), last]


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


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # 300 x 40 at a shorter side of 64 is 480 x 64: limited to 96, and both are multiples of 32.
        ({"round_sides": True}, [96, 64]),
        ({"resize": "both_sides"}, [96, 64]),
        ({"resize": "none"}, [96, 13]),
        ({"resize": "none", "round_sides": True}, [96, 32]),
        # 300 x 40 is 304 x 48, which shrinks to 96 x 15.2.
        ({"resize": "none", "round_sides": True, "round_to": 16}, [96, 16]),
    ],
)
def test_images_have_the_same_size_everywhere(tmp_path, settings, expected):
    detector, image = tiny_detector(**settings), noise(300, 40)
    Image.fromarray(image).save(tmp_path / "a.png")
    content = {"images": [{"id": 1, "file_name": "a.png", "height": 300, "width": 40}], "annotations": []}
    content["categories"] = [{"id": 40, "name": "a"}]
    (tmp_path / "instances.json").write_text(json.dumps(content))
    sizes = {"short_side": 64, "max_side": 96, "size_divisor": 32, "side_multiple": detector.side_multiple}
    sizes["resize"] = settings.get("resize", "shorter_side")
    batch = make_batch([image], **sizes)
    assert batch.image_size.numpy().tolist() == [expected]
    dataset = read_coco(tmp_path / "instances.json", tmp_path)
    (evaluated,) = eval_batches(dataset, batch_size=1, **sizes)
    np.testing.assert_array_equal(evaluated.images, batch.images)
    canvas, size, _ = _resize_into_canvas(tf.constant(image), detector)
    assert size.numpy().tolist() == expected
    columns = batch.images.shape[2]
    np.testing.assert_array_equal(canvas[:, :columns], batch.images[0])
    found = detector.predict(image)[0].boxes
    expected = to_records(detector(batch), batch, detector.class_names, detector.category_ids)[0].boxes
    # Eager and traced calls round in another order.
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert found.max(axis=0)[2] <= 40


@pytest.mark.parametrize("way", ["predict", "data set", "stages", "augmentation", "augmented batch"])
def test_weights_that_changed_since_the_last_call_are_seen(way, tmp_path):
    detector, image = tiny_detector(), noise(64, 96)
    Image.fromarray(image).save(tmp_path / "a.png")
    content = {"images": [{"id": 1, "file_name": "a.png", "height": 64, "width": 96}], "annotations": []}
    content["categories"] = [{"id": 40, "name": "a"}]
    (tmp_path / "instances.json").write_text(json.dumps(content))
    dataset = read_coco(tmp_path / "instances.json", tmp_path)
    batch = make_batch([image], short_side=None, max_side=None, size_divisor=1)
    runs = {
        "predict": lambda: detector.predict(image)[0],
        "data set": lambda: inference.detect_dataset(detector, dataset)[0],
        "stages": lambda: inference.detect_dataset(detector, dataset, per_stage=True)[-1][0],
        "augmentation": lambda: detector.predict(image, augmentation=Augmentation(flip=True))[0],
        "augmented batch": lambda: detect(detector, batch, Augmentation(flip=True)),
    }
    before = np.asarray(runs[way]().scores)
    norm = detector.backbone.get_layer("res5_0_conv3_norm")
    assert norm.folded
    norm.gamma.assign(norm.gamma * 3.0 + 1.0)
    changed = np.asarray(runs[way]().scores)
    assert changed.shape != before.shape or np.abs(changed - before).max() > 1e-3
    # A detector that never saw the old weights says the same.
    fresh = tiny_detector()
    fresh.set_weights(detector.get_weights())
    detector = fresh
    np.testing.assert_array_equal(np.asarray(runs[way]().scores), changed)


def test_threads_that_begin_together_see_later_weights():
    image = noise(64, 96)
    for _ in range(3):
        detector = tiny_detector()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _, d=detector: d.predict(image), range(4)))
        norm = detector.backbone.get_layer("res5_0_conv3_norm")
        norm.gamma.assign(norm.gamma * 3.0 + 1.0)
        fresh = tiny_detector()
        fresh.set_weights(detector.get_weights())
        np.testing.assert_array_equal(detector.predict(image)[0].scores, fresh.predict(image)[0].scores)


def left_half(size, box):
    """[height, width] bool."""
    mask = np.zeros(size, bool)
    x1, y1, x2, y2 = np.rint(box).astype(int)
    mask[y1:y2, x1 : (x1 + x2 + 1) // 2] = True
    return mask


def test_masks_are_pasted_into_each_original():
    records = inference.predict_images(LeftHalfDetector(), PICTURES, batch_size=3)
    for record, size in zip(records, BOXES, strict=True):
        assert record.masks.shape == (2, 16, 16)
        pasted = record.paste()
        assert pasted.shape == (2, *size)
        for mask, box in zip(pasted, record.boxes, strict=True):
            expected = left_half(size, box)
            # The rim of a mask, a pixel or two wide, may fall on either side.
            assert (mask & expected).sum() / (mask | expected).sum() > 0.9
        assert record.paste(threshold=0.95).sum() == 0


def test_the_results_of_coco_have_boxes_and_masks():
    [record] = inference.predict_images(LeftHalfDetector(), PICTURES[0])
    results = json.loads(json.dumps(inference.to_coco_results([record])))
    x1, y1, x2, y2 = record.boxes[0].tolist()
    assert results[0]["bbox"] == [x1, y1, x2 - x1, y2 - y1]
    decoded = np.stack([coco_mask.decode(result["segmentation"]) for result in results])
    np.testing.assert_array_equal(decoded, record.paste())
    assert inference.to_coco_results([record.encode()]) == results


def test_encoded_records_keep_their_masks():
    [record] = inference.predict_images(LeftHalfDetector(), PICTURES[0])
    encoded = record.encode()
    assert encoded.masks is None
    assert encoded.has_masks
    assert encoded.encode() is encoded
    np.testing.assert_array_equal(encoded.paste(), record.paste())
    [one] = inference.to_coco_results([inference.keep_above(encoded, 0.5)])
    assert one == inference.to_coco_results([record])[0]


def test_records_without_masks_have_none_to_give(detector):
    [record] = inference.predict_images(detector, PICTURES[0])
    assert not record.has_masks
    assert "segmentation" not in inference.to_coco_results([record])[0]
    for method in (record.paste, record.encode):
        with pytest.raises(ValueError, match="the detections have no masks"):
            method()


def test_no_detections_have_no_masks_of_the_right_shape():
    [record] = inference.predict_images(LeftHalfDetector(), np.zeros((50, 70, 3), np.uint8))
    assert record.masks.shape == (0, 16, 16)
    assert record.paste().shape == (0, 50, 70)
    assert record.encode().segmentations == ()
    assert record.encode().paste().shape == (0, 50, 70)
    assert inference.to_coco_results([record]) == []


@pytest.mark.parametrize("per_stage", [False, True])
def test_a_data_set_gives_encoded_masks(dataset, per_stage):
    found = inference.detect_dataset(LeftHalfDetector(), dataset, batch_size=2, per_stage=per_stage)
    expected = inference.predict_images(LeftHalfDetector(), PICTURES)
    for record, one in zip(found[-1] if per_stage else found, expected, strict=True):
        assert record.masks is None
        np.testing.assert_array_equal(record.paste(), one.paste())
    if per_stage:
        # Less than half sure everywhere.
        assert all(record.paste().sum() == 0 for record in found[0])


def test_a_real_network_with_masks():
    settings = {
        **SETTINGS,
        "heads.masks.stages": (3,),
        "heads.masks.head.num_convs": 1,
        "heads.masks.head.channels": 8,
    }
    detector = cascade_mask_rcnn_fpn(CLASS_NAMES, CATEGORY_IDS, **settings)
    images = [noise(90, 130), noise(130, 90, seed=1)]
    for record, image in zip(detector.predict(images, batch_size=2), images, strict=True):
        assert len(record.boxes) > 0
        assert record.masks.shape == (len(record.boxes), 28, 28)
        assert record.paste().shape == (len(record.boxes), *image.shape[:2])
    settings["output.score_threshold"] = 0.999
    [record] = cascade_mask_rcnn_fpn(CLASS_NAMES, CATEGORY_IDS, **settings).predict(images[0])
    assert record.masks.shape == (0, 28, 28)
    assert record.paste().shape == (0, 90, 130)
