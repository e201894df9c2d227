"""Objects beside detections, in the colours of what became of them."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.metrics import evaluate_errors
from cascade_tf.visualization import class_color, draw_errors, error_pictures
from tests.metrics import coco_cases

SQUARE, DISC = 3, 7
GREY = 90
GREEN, RED, ORANGE = (class_color(number) for number in (4, 3, 6))


@pytest.fixture(autouse=True)
def _same_start():
    """Pictures do not touch Keras, whose state takes longer to reset than these tests take."""
    return


def judged_image():
    """A square that was found, one that was missed, a crowd with a detection in it, and a false detection."""
    objects = [
        coco_cases.truth(10, SQUARE, [40.0, 40.0, 100.0, 100.0], 1),
        coco_cases.truth(10, SQUARE, [40.0, 300.0, 100.0, 100.0], 2),
        coco_cases.truth(10, DISC, [300.0, 300.0, 200.0, 150.0], 3, iscrowd=1),
    ]
    found = [
        coco_cases.detection(10, SQUARE, [40.0, 40.0, 100.0, 100.0], 0.9),
        coco_cases.detection(10, DISC, [400.0, 60.0, 100.0, 100.0], 0.75),
        coco_cases.detection(10, DISC, [350.0, 350.0, 40.0, 40.0], 0.7),
    ]
    result = evaluate_errors(coco_cases.dataset(objects), found)
    return result.images[0], result.classes


def halves(judged, classes):
    """The sides of the sheet, [h, w, 3] each."""
    picture = draw_errors(np.full((480, 640, 3), GREY, np.uint8), judged, classes, width=1320)
    assert picture.shape[1] == 1320
    return picture[:, :660].astype(int), picture[:, 660:].astype(int)


def has(picture, color) -> bool:
    return bool((np.abs(picture - color) <= 3).all(-1).sum() > 100)


def test_colors_say_what_became_of_what():
    truth, found = halves(*judged_image())
    assert has(truth, GREEN)
    assert has(truth, RED)
    assert not has(truth, ORANGE)
    assert has(found, GREEN)
    assert has(found, ORANGE)
    assert not has(found, RED)


def test_labels(monkeypatch):
    calls = []

    def draw(image, boxes, **settings):
        calls.append((boxes, settings))
        return image

    monkeypatch.setattr(error_pictures, "draw_detections", draw)
    draw_errors(np.full((480, 640, 3), GREY, np.uint8), *judged_image())
    (objects, of_objects), (found, of_found) = calls
    assert of_objects["names"] == ["missed: square", "square"]
    assert of_found["names"] == ["background: disc 0.75", ""]
    np.testing.assert_array_equal(objects[0], [40, 300, 140, 400])
    np.testing.assert_array_equal(found[1], [40, 40, 140, 140])
    # What does not count is dashed.
    np.testing.assert_array_equal(of_objects["ground_truth"], [[300, 300, 500, 450]])
    np.testing.assert_array_equal(of_found["ground_truth"], [[350, 350, 390, 390]])


def test_image_without_objects_and_one_without_detections():
    content = coco_cases.dataset([coco_cases.truth(11, SQUARE, [40.0, 40.0, 100.0, 100.0])])
    result = evaluate_errors(content, [coco_cases.detection(10, DISC, [40.0, 40.0, 100.0, 100.0], 0.9)])
    for judged in result.images:
        truth, found = halves(judged, result.classes)
        assert has(truth, RED) == (judged.image_id == 11)
        assert has(found, ORANGE) == (judged.image_id == 10)
