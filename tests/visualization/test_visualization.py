"""Pictures of detections: what is drawn, where, and that nothing breaks on odd input."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from cascade_tf.visualization import class_color, contact_sheet, detections, draw_detections
from cascade_tf.visualization.colors import luminance, readable_on
from cascade_tf.visualization.labels import MAX_LABEL_OVERLAP, hidden_part, label_text

GREY = 90


@pytest.fixture(autouse=True)
def _same_start():
    """Pictures do not touch Keras, whose state takes longer to reset than these tests take."""
    return


def plain(height=480, width=640):
    return np.full((height, width, 3), GREY, np.uint8)


def changed(picture):
    """[height, width] bool, where something was drawn on the plain ground."""
    return (picture != GREY).any(-1)


def extent(mask):
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def color_mask(picture, color, tolerance=3):
    return (np.abs(picture.astype(int) - color) <= tolerance).all(-1)


def lightness_and_hue(color):
    return np.asarray(color, float) @ (0.2126, 0.7152, 0.0722), np.asarray(color, float) - np.mean(color)


def test_frame_lies_on_the_box_in_the_color_of_its_class():
    picture = draw_detections(plain(), [[100, 120, 300, 360]], classes=[2])
    x1, y1, x2, y2 = extent(color_mask(picture, class_color(2)))
    assert np.abs(np.subtract((x1, y1, x2, y2), (100, 120, 300, 360))).max() <= 2
    assert not changed(picture)[140:340, 120:280].any()
    assert picture.dtype == np.uint8
    assert picture.shape == (480, 640, 3)


def test_the_image_itself_is_not_changed():
    image = plain()
    picture = draw_detections(image, [[10, 10, 50, 50]])
    assert (image == GREY).all()
    picture[:] = 0


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4)), np.zeros((0, 4), np.float32)])
def test_nothing_to_draw(boxes):
    picture = draw_detections(plain(), boxes, [], [], [], ground_truth=boxes)
    np.testing.assert_array_equal(picture, plain())


@pytest.mark.parametrize(
    "box",
    [
        [700, 10, 800, 60],
        [-90, -80, -10, -5],
        [10, 490, 60, 520],
        [np.nan, 0, 50, 50],
        [0, 0, np.inf, 50],
        [60, 60, 20, 20],
    ],
)
def test_what_cannot_be_seen_is_not_drawn(box):
    np.testing.assert_array_equal(draw_detections(plain(), [box], [0.9], ["x"], [1]), plain())


def test_boxes_that_reach_beyond_the_picture():
    picture = draw_detections(plain(), [[-1e6, -50, 1e6, 9999.5]], [0.9], ["everything"], [1])
    assert extent(color_mask(picture, class_color(1))) == (0, 0, 640, 480)


@pytest.mark.parametrize(
    "box", [[50.2, 60.4, 50.9, 60.8], [50, 60, 50, 60], [639, 479, 640, 480], [0, 0, 1, 1]]
)
def test_a_box_of_one_pixel_can_be_seen(box):
    picture = draw_detections(plain(), [box], classes=[3])
    x1, y1, x2, y2 = extent(changed(picture))
    assert x1 <= box[0] + 1
    assert y1 <= box[1] + 1
    assert max(x2 - x1, y2 - y1) <= 10
    assert color_mask(picture, class_color(3)).any()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 48), (480, 640), (1200, 1600)])
@pytest.mark.parametrize("min_side", [0, 480])
def test_any_size(size, min_side):
    image = plain(*size)
    picture = draw_detections(image, [[0, 0, size[1], size[0]]], [0.5], ["a name"], [1], min_side=min_side)
    if min_side == 0 or min(size) >= min_side:
        assert picture.shape == image.shape
    elif size == (3, 200):
        assert picture.shape == (29, 1920, 3)
    else:
        assert min(picture.shape[:2]) == min_side
        assert picture.shape[0] * size[1] == pytest.approx(picture.shape[1] * size[0], rel=0.02)
    assert changed(picture).any()


def test_boxes_grow_with_a_small_image():
    picture = draw_detections(plain(120, 160), [[40, 30, 80, 90]], classes=[1])
    found = extent(color_mask(picture, class_color(1)))
    assert np.abs(np.subtract(found, (160, 120, 320, 360))).max() <= 3


def test_lines_and_letters_grow_with_the_picture():
    thickness = [
        changed(
            draw_detections(
                plain(height, height), [[0.25 * height, 0.25 * height, 0.75 * height, 0.75 * height]]
            )
        )[height // 2, : height // 2].sum()
        for height in (480, 1920)
    ]
    assert thickness[1] >= 2 * thickness[0]


def test_grey_images():
    picture = draw_detections(np.full((480, 480), GREY, np.uint8), [[10, 10, 100, 100]])
    assert picture.shape == (480, 480, 3)
    assert changed(picture).any()


def test_score_threshold_and_order():
    boxes = [[100, 100, 300, 300]] * 3
    picture = draw_detections(plain(), boxes, [0.2, 0.9, 0.4], classes=[1, 2, 3], score_threshold=0.5)
    assert color_mask(picture, class_color(2)).any()
    assert not color_mask(picture, class_color(1)).any()
    overdrawn = draw_detections(plain(), boxes, [0.2, 0.9, 0.4], classes=[1, 2, 3], names=["", "", ""])
    assert color_mask(overdrawn, class_color(2))[200, 95:105].any()


def test_ground_truth_is_dashed_white_under_the_detections():
    picture = draw_detections(plain(), [], ground_truth=[[100, 100, 300, 200]])
    line = color_mask(picture, (255, 255, 255))[100, 100:300]
    switches = np.count_nonzero(line[1:] != line[:-1])
    assert 10 < switches < 60
    assert 0.3 < line.mean() < 0.7
    both = draw_detections(plain(), [[100, 100, 300, 200]], classes=[1], ground_truth=[[100, 100, 300, 200]])
    assert color_mask(both, class_color(1))[100, 110:290].all()


def labels_of(monkeypatch, *args, **kwargs):
    """Areas and texts of the labels that a call draws."""
    drawn = []
    monkeypatch.setattr(detections, "draw_label", lambda draw, label, style: drawn.append(label))
    picture = draw_detections(*args, **kwargs)
    return drawn, picture.shape


@pytest.mark.parametrize(
    "box", [[0, 0, 30, 30], [610, 0, 640, 20], [0, 460, 20, 480], [600, 450, 640, 480], [0, 0, 640, 480]]
)
def test_labels_stay_within_the_picture(monkeypatch, box):
    (label,), _ = labels_of(monkeypatch, plain(), [box], [0.876], ["a rather long class name"], [1])
    x1, y1, x2, y2 = label.area
    assert (x1 >= 0, y1 >= 0, x2 <= 640, y2 <= 480) == (True,) * 4
    assert label.text == "a rather long class name 0.88"


def test_a_name_wider_than_the_picture_is_cut(monkeypatch):
    (label,), shape = labels_of(monkeypatch, plain(), [[5, 50, 90, 90]], [0.5], ["long " * 60], [1])
    assert label.text.endswith("…")
    assert label.area[2] <= shape[1]


def test_labels_do_not_hide_each_other(monkeypatch):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 400, (40, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(20, 80, (40, 2))], 1)
    labels, _ = labels_of(monkeypatch, plain(), boxes, rng.uniform(size=40), ["thing"] * 40, [1] * 40)
    assert 20 <= len(labels) <= 40
    for a, b in itertools.combinations(labels, 2):
        assert hidden_part(a.area, b.area) <= MAX_LABEL_OVERLAP


def test_the_better_of_two_equal_boxes_keeps_the_place_above(monkeypatch):
    labels, _ = labels_of(monkeypatch, plain(), [[200, 200, 300, 300]] * 2, [0.3, 0.8], ["a", "b"], [1, 1])
    worse, better = sorted(labels, key=lambda label: label.text)
    assert better.area[3] <= 200
    assert better.area[1] > 150
    assert hidden_part(worse.area, better.area) == 0


def test_text_of_a_label():
    assert label_text(["cat"], np.array([0.256]), 0) == "cat 0.26"
    assert label_text(None, [1.0], 0) == "1.00"
    assert label_text(["cat"], None, 0) == "cat"


def test_colors_of_many_classes():
    colors = [class_color(index) for index in range(1, 31)]
    assert len(set(colors)) == 30
    assert np.min(colors) >= 0
    assert np.max(colors) <= 255
    for color in colors:
        ink = readable_on(color)
        low, high = sorted((luminance(color), luminance(ink)))
        assert (high + 0.05) / (low + 0.05) >= 4.5  # WCAG 2 AA
    for a, b in itertools.combinations(colors[:10], 2):
        assert np.abs(np.subtract(a, b)).sum() > 60


def test_without_classes_each_name_has_its_color():
    picture = draw_detections(plain(), [[10, 100, 90, 200], [200, 100, 290, 200]], names=["b", "a"])
    assert color_mask(picture, class_color(2))[:, :150].any()
    assert color_mask(picture, class_color(1))[:, 150:].any()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), r"uint8 \[H, W, 3\] or \[H, W\], got float32 \[4, 4, 3\]"),
        (np.zeros((4, 4, 4), np.uint8), r"got uint8 \[4, 4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), r"got uint8 \[0, 4, 3\]"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"got uint8 \[1, 4, 4, 3\]"),
    ],
)
def test_wrong_images(image, message):
    with pytest.raises(ValueError, match=message):
        draw_detections(image, [])


def test_wrong_lengths():
    with pytest.raises(ValueError, match="scores must have one entry for each of the 1 items, got 2"):
        draw_detections(plain(), [[0, 0, 9, 9]], [0.1, 0.2])
    with pytest.raises(ValueError, match=r"boxes must be \[n, 4\], got \[1, 5\]"):
        draw_detections(plain(), [[0, 0, 9, 9, 1]])
    with pytest.raises(ValueError, match=r"ground_truth must be \[n, 4\], got \[4\]"):
        draw_detections(plain(), [], ground_truth=[0, 0, 9, 9])


def test_sheet_fills_its_width_and_keeps_the_pictures_shapes():
    shapes = [(100, 200), (300, 200), (90, 90), (50, 400), (200, 200)]
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]
    pictures = [np.full((*shape, 3), color, np.uint8) for shape, color in zip(shapes, colors, strict=True)]
    sheet = contact_sheet(pictures, columns=3, width=900, background=(250, 250, 250))
    assert sheet.shape[1] == 900
    areas = [extent(color_mask(sheet, color)) for color in colors]
    for (x1, y1, x2, y2), (height, width) in zip(areas, shapes, strict=True):
        assert (x2 - x1) / (y2 - y1) == pytest.approx(width / height, rel=0.03)
    gap = 9
    assert (areas[0][0], areas[2][2]) == (gap, 900 - gap)
    assert {area[1] for area in areas[:3]} == {gap}
    assert len({area[3] for area in areas[:3]}) == 1
    assert areas[3][1] == areas[0][3] + gap
    assert areas[4][2] <= 900 - gap


def test_sheet_with_captions():
    pictures = [np.full((100, 100, 3), 0, np.uint8)] * 2
    without = contact_sheet(pictures, width=500, columns=2)
    with_text = contact_sheet(
        pictures, ["first", "a caption far too long for so narrow a picture " * 3], width=500, columns=2
    )
    assert with_text.shape[0] > without.shape[0]
    strip = with_text[-(with_text.shape[0] - without.shape[0]) :]
    assert (strip < 128).any()
    assert (strip[:, 247:253] > 240).all()
    dark = contact_sheet(pictures, ["first", "second"], width=500, columns=2, background=(16, 16, 16))
    assert (dark[-25:] > 200).any()


def test_wrong_sheets():
    with pytest.raises(ValueError, match="a sheet needs pictures and columns, got 0 and 3"):
        contact_sheet([])
    with pytest.raises(ValueError, match="captions must have one entry for each of the 1 items, got 2"):
        contact_sheet([plain()], ["a", "b"])


def disc(center, radius, size=(480, 640)):
    """[height, width] bool, and the box around it."""
    rows, columns = np.indices(size)
    mask = (columns + 0.5 - center[0]) ** 2 + (rows + 0.5 - center[1]) ** 2 <= radius**2
    x1, y1, x2, y2 = extent(mask)
    return mask, [x1, y1, x2, y2]


def colors_of(picture, masks):
    """The colour of each object, read off the left end of its contour."""
    found = []
    for mask in masks:
        row = int(np.nonzero(mask)[0].mean())
        found.append(tuple(picture[row, np.flatnonzero(mask[row])[0]].tolist()))
    return found


def test_a_mask_is_filled_and_outlined():
    mask, box = disc((300, 200), 90)
    picture = draw_detections(plain(), [box], masks=[mask])
    (color,) = colors_of(picture, [mask])
    np.testing.assert_allclose(color, class_color(1), atol=3)
    outline = color_mask(picture, color) & mask
    rows, columns = np.nonzero(outline)
    distance = np.hypot(columns + 0.5 - 300, rows + 0.5 - 200)
    assert distance.min() > 85
    inside = picture[200, 300].astype(float)
    share = (inside - GREY) / (np.array(color) - GREY)
    np.testing.assert_allclose(share, share[0], atol=0.05)
    assert 0.2 < share[0] < 0.5
    # Nothing but a rim of one pixel and the thin frame of the box lies outside.
    spill = changed(picture) & ~mask
    spill[[box[1], box[3] - 1]] = spill[:, [box[0], box[2] - 1]] = False
    rows, columns = np.nonzero(spill)
    assert np.hypot(columns + 0.5 - 300, rows + 0.5 - 200).max() < 92


def test_each_object_has_its_own_color_and_its_label_too(monkeypatch):
    masks, boxes = zip(*(disc((60 + 120 * i, 200), 50) for i in range(5)), strict=True)
    arguments = [plain(), boxes, [0.9, 0.8, 0.7, 0.6, 0.5], ["cell"] * 5, [1] * 5]
    colors = colors_of(draw_detections(*arguments, masks=masks), masks)
    assert len(set(colors)) == 5
    labels, _ = labels_of(monkeypatch, *arguments, masks=masks)
    assert [label.color for label in labels] == colors[::-1]


def test_masks_in_every_form_give_one_picture():
    masks, boxes = zip(*(disc((100 + 90 * i, 200), 60) for i in range(4)), strict=True)
    expected = draw_detections(plain(), boxes, masks=np.stack(masks))
    runs = [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]
    texts = [{**rle, "counts": rle["counts"].decode()} for rle in runs]
    for form in (list(masks), np.stack(masks).astype(np.uint8), runs, texts):
        np.testing.assert_array_equal(draw_detections(plain(), boxes, masks=form), expected)


def test_the_better_object_lies_on_top():
    (back, back_box), (front, front_box) = disc((300, 200), 100), disc((360, 200), 60)
    left_end = (200, int(np.flatnonzero(front[200])[0]))
    below = draw_detections(plain(), [back_box, front_box], [0.9, 0.3], masks=[back, front])
    above = draw_detections(plain(), [back_box, front_box], [0.3, 0.9], masks=[back, front])
    # The better one has the first colour; what lies above a contour tints it.
    assert color_mask(above, class_color(1))[left_end]
    assert not color_mask(below, class_color(2))[left_end]


def test_masks_grow_with_a_small_image():
    mask, box = disc((80, 60), 30, size=(120, 160))
    picture = draw_detections(plain(120, 160), [box], masks=[mask])
    assert picture.shape == (480, 640, 3)
    expected, _ = disc((320, 240), 120)
    drawn = changed(picture)
    drawn[[200, 280]] = drawn[:, [200, 440]] = False
    inside = (picture[..., :] != GREY).all(-1) & expected
    assert inside[expected].mean() > 0.97
    assert np.abs(np.subtract(extent(color_mask(picture, class_color(1))), extent(expected))).max() <= 3


@pytest.mark.parametrize("size", [(480, 640), (60, 80)])
def test_an_object_that_fills_the_image(size):
    picture = draw_detections(plain(*size), [[0, 0, *size[::-1]]], masks=[np.ones(size, bool)])
    assert color_mask(picture, class_color(1))[0].all()
    assert color_mask(picture, class_color(1))[:, -1].all()
    assert changed(picture).all()


def test_objects_without_pixels_or_out_of_sight():
    nothing = np.zeros((480, 640), bool)
    bare = draw_detections(plain(), [[100, 100, 200, 200]], masks=[nothing])
    assert 0 < changed(bare).sum() < 500
    outside = draw_detections(plain(), [[700, 100, 800, 200]], masks=[~nothing])
    np.testing.assert_array_equal(outside, plain())
    assert np.array_equal(
        draw_detections(plain(), [], [], [], [], masks=np.zeros((0, 480, 640), bool)), plain()
    )


def test_masks_below_the_threshold_are_not_drawn():
    masks, boxes = zip(*(disc((100 + 200 * i, 200), 60) for i in range(2)), strict=True)
    picture = draw_detections(plain(), boxes, [0.9, 0.1], masks=masks, score_threshold=0.5)
    assert changed(picture)[masks[0]].all()
    assert not changed(picture)[masks[1]].any()


def many_small(number=110):
    rng = np.random.default_rng(0)
    discs = [disc(rng.uniform((0, 0), (320, 256)), 4, size=(256, 320)) for _ in range(number)]
    return zip(*discs, strict=True)


def test_no_label_hides_an_object(monkeypatch):
    masks, boxes = many_small()
    labels, shape = labels_of(
        monkeypatch, plain(256, 320), boxes, np.linspace(1, 0.5, 110), ["nucleus"] * 110, masks=masks
    )
    assert len(labels) > 30
    pixels = [[axis * shape[1] / 320 for axis in np.nonzero(mask)] for mask in masks]
    for label in labels:
        x1, y1, x2, y2 = label.area
        for rows, columns in pixels:
            hidden = (columns >= x1) & (columns < x2) & (rows >= y1) & (rows < y2)
            assert hidden.mean() < 0.6


def test_letters_become_smaller_where_many_objects_are_filled(monkeypatch):
    masks, boxes = many_small()
    few, few_shape = labels_of(monkeypatch, plain(256, 320), boxes[:5], None, ["x"] * 5, masks=masks[:5])
    many, many_shape = labels_of(monkeypatch, plain(256, 320), boxes, None, ["x"] * 110, masks=masks)

    def part(label, shape):
        return (label.area[3] - label.area[1]) / shape[0]

    assert part(many[0], many_shape) < 0.6 * part(few[0], few_shape)


def test_wrong_masks():
    with pytest.raises(ValueError, match="masks must have one entry for each of the 1 items, got 2"):
        draw_detections(plain(), [[0, 0, 9, 9]], masks=np.zeros((2, 480, 640), bool))
    with pytest.raises(ValueError, match=r"a mask must be \[H, W\] = \[480, 640\] .* got \[28, 28\]"):
        draw_detections(plain(), [[0, 0, 9, 9]], masks=np.zeros((1, 28, 28), bool))


def test_a_hundred_masks_are_drawn_in_well_under_a_second():
    # 0.2 s on two cores.
    limit = 0.8
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 1, (100, 2)) * (1150, 620)
    boxes = np.round(np.concatenate([corners, corners + rng.uniform(15, 180, (100, 2))], 1))
    masks = np.zeros((100, 800, 1333), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
        mask[y1:y2, x1:x2] = True
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        draw_detections(plain(800, 1333), boxes, rng.uniform(size=100), ["thing"] * 100, masks=masks)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < limit
