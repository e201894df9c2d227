"""What the page says of errors: the right numbers in the right cells, for any number of classes."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from cascade_tf.metrics import ErrorResult, evaluate_errors
from cascade_tf.metrics.error_costs import KINDS
from cascade_tf.report import write_report
from cascade_tf.report.confusion import confusion_matrix
from tests.metrics import coco_cases
from tests.report.reading import Page


def write(tmp_path, errors: ErrorResult, **parts) -> tuple[str, Page]:
    path = write_report(tmp_path / "page.html", title="A page", errors=errors, **parts)
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


@pytest.fixture(scope="module")
def errors() -> ErrorResult:
    content, detections = coco_cases.random_case(4, num_images=30)
    return evaluate_errors(content, detections)


def kind_rows(page: Page) -> list[list[str]]:
    """The rows that end with what a kind of error is."""
    return [row for row in page.rows if len(row) == 5 and " " in row[-1]]


def of_many(num_classes: int) -> ErrorResult:
    """As many classes, every second one without objects, the first taken for the third."""
    categories = [{"id": k, "name": f"<class> {k}"} for k in range(num_classes)]
    boxes = [[60.0 * k % 600, 100.0 * (k // 10), 40.0, 40.0] for k in range(num_classes)]
    objects = [coco_cases.truth(10, k, boxes[k], k + 1) for k in range(0, num_classes, 2)]
    found = [
        coco_cases.detection(10, 2 if k == 0 else k, boxes[k], 0.9 - k / 1000) for k in range(num_classes)
    ]
    return evaluate_errors(coco_cases.dataset(objects, categories=categories), found)


def test_kinds_and_classes(errors, tmp_path):
    _, page = write(tmp_path, errors)
    rows = {row[0]: row[1:] for row in kind_rows(page)}
    for kind in KINDS:
        cost, count, seen = rows[kind][:3]
        assert float(cost) == pytest.approx(100 * errors.costs()[kind], abs=0.051)
        assert (int(count), int(seen)) == (errors.counts[kind].sum(), errors.seen[kind].sum())
    assert float(rows["all false positives"][0]) > 0
    square = next(row for row in page.rows if row[0] == "square" and len(row) == 11)
    k = errors.classes.index("square")
    assert int(square[1]) == errors.objects[k]
    assert float(square[2]) == pytest.approx(100 * errors.average_precisions[""][k], abs=0.051)
    of_kinds = [100 * errors.class_costs()[kind][k] for kind in KINDS]
    assert [float(cell) for cell in square[3:9]] == pytest.approx(of_kinds, abs=0.051)
    star = next(row for row in page.rows if row[0] == "star" and len(row) == 11)
    assert set(star[2:]) == {"–"}


def test_numbers_of_a_small_matrix(errors, tmp_path):
    _, page = write(tmp_path, errors)
    header = next(row for row in page.rows if row[-1] == "missed" and "square" in row)
    start = page.rows.index(header) + 1
    for shown, expected in zip(page.rows[start : start + 4], errors.confusion.tolist(), strict=True):
        assert [int(cell or 0) for cell in shown[1:]] == expected
    assert [row[0] for row in page.rows[start : start + 4]] == [*errors.classes, "background"]


def test_map_of_many_classes(tmp_path):
    errors = of_many(80)
    text, page = write(tmp_path, errors)
    cells = page.count("rect", **{"class": "hit"}) + page.count("rect", **{"class": "slip"})
    assert cells == np.count_nonzero(errors.confusion)
    assert "&lt;class&gt; 0 taken for &lt;class&gt; 2: 1</title>" in text
    assert ["<class> 0 taken for <class> 2", "1", "1"] in page.rows
    assert "<class> 1 where nothing is: 1" in page.texts
    # Tables and charts of eighty classes are folded.
    assert page.count("details") == 2
    assert len(re.findall(r"<h3>&lt;class&gt; \d+</h3>", text)) == 40


def test_very_many_classes(tmp_path):
    text, page = write(tmp_path, of_many(200))
    assert page.count("rect") == 0
    assert ["<class> 0 taken for <class> 2", "1", "1"] in page.rows
    assert page.texts.count("The 100 classes with the most objects") == 1
    assert len(re.findall(r"<h3>&lt;class&gt; \d+</h3>", text)) == 100


def test_curves(errors, tmp_path):
    text, page = write(tmp_path, errors)
    ap = 100 * errors.average_precision
    assert f"IoU 0.50, AP {ap:.1f}" in page.texts
    headings = re.findall(r'<figure class="card chart"><figcaption><h3>([^<]*)', text)
    # All on one scale.
    axes = re.findall(
        r'text-anchor="end">([\d.]+)</text>', text.split("Precision over recall")[1].split("</section>")[0]
    )
    assert axes == ["0", "0.2", "0.4", "0.6", "0.8", "1"] * 3
    # No curve for the class without objects.
    assert headings == ["All classes", "square", "disc"]


def test_boxes_and_masks(tmp_path):
    content, detections = coco_cases.random_case(1, masks=True)
    for detection in detections:
        detection["bbox"] = [10.0, 10.0, 20.0, 20.0]
    boxes, masks = (evaluate_errors(content, detections, iou_type=kind) for kind in ("bbox", "segm"))
    errors = dataclasses.replace(boxes, mask=masks)
    text, page = write(tmp_path, errors)
    costs = [float(row[1]) for row in kind_rows(page) if row[0] == "background"]
    expected = [100 * result.costs()["background"] for result in (boxes, masks)]
    assert costs == pytest.approx(expected, abs=0.051)
    headings = re.findall(r"<h3>((?:Boxes|Masks): (?!what)[^<]*)", text)
    assert headings == [
        "Boxes: all classes", "Masks: all classes",
        "Boxes: square", "Masks: square", "Boxes: disc", "Masks: disc",
    ]  # fmt: skip


def test_pictures(errors, tmp_path):
    picture = np.zeros((48, 64, 3), np.uint8)
    _, page = write(tmp_path, errors, error_pictures=[("one.jpg: 2 missed", picture)])
    assert page.count("img", alt="one.jpg: 2 missed") == 1
    assert page.texts.count("Worst errors") == 1


@pytest.mark.parametrize("categories", [[], coco_cases.CATEGORIES[:1], coco_cases.CATEGORIES])
def test_nothing_to_find(categories, tmp_path):
    content = coco_cases.dataset([]) | {"categories": categories}
    text, page = write(tmp_path, evaluate_errors(content, []))
    assert "nan" not in text
    assert page.texts.count("Kinds of error") == 1
    assert page.texts.count("Precision over recall") == page.texts.count("Worst errors") == 0


def test_nothing_found(tmp_path):
    content, _ = coco_cases.random_case(0)
    text, page = write(tmp_path, evaluate_errors(content, []))
    assert "nan" not in text
    missed = next(row for row in kind_rows(page) if row[0] == "missed")
    assert missed[1] == "100.0"


def test_colors_of_the_matrix_are_shares():
    text = confusion_matrix(["a", "b"], np.array([[3, 1, 0], [0, 2, 2], [1, 0, 0]]))
    shares = [float(share) for share in re.findall(r"--v:([\d.]+)", text)]
    # Of the objects of a row; of false ones, of the detections of their class.
    assert shares == [0.75, 0.25, 0, 0, 0.5, 0.5, 0.25, 0, 0]
