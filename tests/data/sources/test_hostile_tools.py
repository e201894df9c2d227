"""Whatever labelling tools' files hold: it is refused with the file and the record, or it can be used."""

from __future__ import annotations

import copy
import json
import math
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.segmentation import packed_mask
from tests.data.sources import tool_samples
from tests.data.sources.tool_samples import OBJECTS, write

MISSING = object()
VALUES: list[Any] = [
    *(MISSING, None, True, 0, -1, 0.5, 2**63, 10**400, 1e300, -1e308, math.nan, math.inf),
    *("", "7", "x", "nan", "1e999", "\ud800", "a\0b", "x" * 300, "../../etc/passwd"),
    *(
        [],
        [None],
        [[]],
        [math.nan] * 4,
        [1e300] * 6,
        [[1e300, 1]] * 3,
        {},
        {"a": 1},
        {"size": [2**40, 2], "counts": [9]},
    ),
]


def with_outlines(name: str) -> Any:
    """The files of a tool, the first object with an outline."""
    x = [4, 36, 36, 4]
    y = [8, 8, 40, 40]
    if name == "via.json":
        content: Any = tool_samples.via_regions(2)
        shape = {"name": "polygon", "all_points_x": x, "all_points_y": y}
        content["street_01.jpg1204"]["regions"][0]["shape_attributes"] = shape
        circle = {"name": "ellipse", "cx": 45, "cy": 20, "rx": 5, "ry": 9, "theta": 0.3}
        content["street_01.jpg1204"]["regions"][1]["shape_attributes"] = circle
    elif name == "createml.json":
        content = tool_samples.create_ml()
    elif name == "street_01.json":
        content = tool_samples.labelme("street_01")
        content["shapes"][0] |= {
            "shape_type": "polygon",
            "points": [[a, b] for a, b in zip(x, y, strict=True)],
        }
        content["shapes"][1] |= {"shape_type": "circle", "group_id": 3}
    else:
        content = tool_samples.datumaro()
        first, second = content["items"][0]["annotations"]
        del first["bbox"], second["bbox"]
        first |= {"type": "polygon", "points": [4, 8, 36, 8, 36, 40]}
        counts = [48 * 40 + 10, 24, 48 * 24 - 34]
        second |= {"type": "mask", "rle": {"size": [48, 64], "counts": counts}}
    return content


FILES = {
    "via.json": "via",
    "createml.json": "createml",
    "street_01.json": "labelme",
    "datumaro.json": "datumaro",
}


def places(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values of a document, of lists those of the first two."""
    inner = list(content.items()) if isinstance(content, dict) else list(enumerate(content))[:2]
    for key, value in inner:
        yield (*above, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*above, key))


def changed(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    content = copy.deepcopy(content)
    parent = content
    for key in place[:-1]:
        parent = parent[key]
    if value is MISSING:
        parent.pop(place[-1])
    else:
        parent[place[-1]] = copy.deepcopy(value)
    return content


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path, tool_samples.pictures("."))


def complain_on_purpose(error: Exception, folder: Path) -> None:
    """The error comes from a check of the package, names its folder, and is a line that can be written."""
    assert not isinstance(error, UnicodeError), error
    assert "cascade_tf" in traceback.extract_tb(error.__traceback__)[-1].filename, error
    assert str(folder) in str(error)
    assert len(str(error).encode("utf-8", "backslashreplace")) < 3000


def read(folder: Path, layout: str, skip_broken: bool, masks: bool = False, split: str = "all") -> bool:
    """Whether a folder is read, and what was read can be used; what is not is refused on purpose."""
    try:
        dataset = read_dataset_dir(folder, split, layout=layout, skip_broken=skip_broken, segmentations=masks)
    except (ValueError, FileNotFoundError) as error:
        complain_on_purpose(error, folder)
        return False
    for example in dataset.examples:
        assert np.isfinite(example.boxes).all()
        assert (example.boxes[:, 2:] > example.boxes[:, :2]).all()
        assert (example.boxes[:, 2:] <= (example.width, example.height)).all()
        assert (example.classes >= np.where(example.crowd, 0, 1)).all()
        for segmentation in example.segmentations:
            if segmentation is not None:
                packed_mask(segmentation, (example.height, example.width), (50, 70))
    assert json.dumps(dataset.ground_truth())
    return True


@pytest.mark.parametrize(("skip_broken", "masks"), [(False, False), (True, True)])
@pytest.mark.parametrize("file", FILES)
def test_json(folder, file, skip_broken, masks):
    whole = with_outlines(file)
    (folder / file).write_text(json.dumps(whole))
    if FILES[file] == "labelme":
        # Without masks, so that one picture is left whatever the other one's file holds.
        (folder / "street_03.json").write_text(json.dumps(tool_samples.labelme("street_03")))
    assert read(folder, FILES[file], skip_broken=False)
    read_at_all, has_outlines = 0, FILES[file] != "createml"
    for number, place in enumerate(places(whole)):
        # Of the values each place sees every third: all kinds of places see them all.
        for value in VALUES[number % 3 :: 3]:
            (folder / file).write_text(json.dumps(changed(whole, place, value)))
            read_at_all += read(folder, FILES[file], skip_broken, masks and has_outlines)
    assert read_at_all


WORDS = [
    "",
    "-1",
    "0.5",
    "2",
    "7",
    "nan",
    "inf",
    "1e999",
    "-0.2",
    "1.2",
    "x",
    "\ud800",
    "9" * 400,
    "1e-400",
    "a\0b",
]


@pytest.mark.parametrize("skip_broken", [False, True])
def test_words_of_yolo(folder, skip_broken):
    write(folder, {**tool_samples.yolo_labels("."), "classes.txt": "car\nperson\n"})
    words = tool_samples.yolo_lines("street_02").split()
    for place in range(5):
        for word in WORDS:
            line = " ".join([*words[:place], word, *words[place + 1 :]])
            (folder / "street_02.txt").write_bytes(line.encode("utf-8", "surrogatepass"))
            assert read(folder, "yolo", skip_broken) or not skip_broken


@pytest.mark.parametrize("skip_broken", [False, True])
@pytest.mark.parametrize("field", ["xmin", "ymax", "name", "width", "difficult", "filename"])
def test_fields_of_xml(folder, field, skip_broken):
    write(folder, {f"{name}.xml": tool_samples.label_img_xml(name) for name in OBJECTS})
    before, _, after = tool_samples.label_img_xml("street_01").partition(f"<{field}>")
    after = after.partition("<")[2]
    for word in (*WORDS, "<b/>", "&", "&unknown;"):
        text = f"{before}<{field}>{word}<{after}"
        (folder / "street_01.xml").write_bytes(text.encode("utf-8", "surrogatepass"))
        assert read(folder, "xml", skip_broken) or not skip_broken
