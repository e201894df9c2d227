"""The table of conventions in the documents says what the recipes and the importers do."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest

from cascade_tf.models import cascade_mask_rcnn_fpn
from cascade_tf.weights.families.detectron import DETECTRON
from cascade_tf.weights.families.detectron2 import DETECTRON2
from cascade_tf.weights.families.mmdetection import MMDETECTION
from tests.weights import conventions_cases

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "conventions.md"
COLUMNS = ("default", "Caffe", "Detectron", "detectron2", "MMDetection")


def table():
    """{argument: {column: value}}; an empty cell has no value."""
    rows = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and re.fullmatch(r"`[\w.]+`", cells[0]):
            values = zip(COLUMNS, cells[1:], strict=True)
            rows[cells[0].strip("`")] = {name: parse(cell) for name, cell in values if cell}
    return rows


def parse(cell):
    text = cell.strip("`")
    if re.fullmatch(r"\d+/\d+", text):
        above, below = text.split("/")
        return int(above) / int(below)
    return ast.literal_eval(text)


def assert_same(actual, expected, name):
    if isinstance(expected, float):
        np.testing.assert_allclose(actual, expected, err_msg=name)
    else:
        assert actual == expected, name


FAMILIES = {"Detectron": DETECTRON, "detectron2": DETECTRON2, "MMDetection": MMDETECTION}
# Read off the checkpoint or its data set, and explained elsewhere on the page.
OF_THE_CHECKPOINT = {"inputs.mean", "inputs.std"}


def test_the_table_has_all_that_the_families_differ_in():
    found = {n: f.settings(conventions_cases.cascade_mask_rcnn(f.name)) for n, f in FAMILIES.items()}
    names = set.intersection(*(set(settings) for settings in found.values()))
    differing = {n for n in names if len({repr(settings[n]) for settings in found.values()}) > 1}
    assert differing - OF_THE_CHECKPOINT <= set(table())
    assert set(table()) <= set(cascade_mask_rcnn_fpn.names())


def test_defaults():
    for name, row in table().items():
        default = cascade_mask_rcnn_fpn.value(name)
        # The last of three stages.
        assert_same((3,) if default == (-1,) else default, row["default"], name)


@pytest.mark.parametrize("column", FAMILIES)
def test_imports(column):
    family = FAMILIES[column]
    settings = family.settings(conventions_cases.cascade_mask_rcnn(family.name))
    for name, row in table().items():
        if column in row:
            assert_same(settings[name], row[column], name)


def test_what_the_paper_says_of_the_defaults_is_what_its_settings_have():
    """The page names the settings on which the paper says something; the others have no source in it."""
    (sentence,) = re.findall(
        r'^"default" is what the paper says, (.+?)\.\n', PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    said = set(re.findall(r"`([\w.]+)`", sentence))
    families = json.loads((ROOT / "configs" / "paper" / "settings.json").read_text())["families"]
    sourced = {entry["setting"] for family in families for entry in family["settings"] if entry["paper"]}
    # What these two give is what the data has.
    given = {"stages.weights": "model.heads.weighting", "stages.stds": "model.heads.round_statistics"}
    sourced = {given.get(name, name) for name in sourced}
    assert {name for name in table() if f"model.{name}" in sourced} == said
