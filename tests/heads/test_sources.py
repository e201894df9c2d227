"""Docstrings of the cascade name the sections, equations and figures of the paper for their arguments."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import cascade_tf
from cascade_tf.heads.cascade_heads import CascadeHeads
from cascade_tf.heads.stage import Stage

SOURCES = [
    (Stage, "iou", ["Eq. 9 and 10"]),
    (Stage, "std", ["Sec. 4.2 and 6.4", "Fig. 5"]),
    (Stage, "weight", ["Sec. 6.4"]),
    (Stage, "mean", ["Eq. 5"]),
    (Stage, "box_weight", ["Eq. 12"]),
    (CascadeHeads, "rescale_heads", ["Sec. 6.4"]),
    (CascadeHeads, "ensemble", ["Table 2"]),
    (CascadeHeads, "iterations", ["Sec. 4.4", "Eq. 13"]),
]


def text_of(constructor, argument):
    documented = inspect.getdoc(constructor)
    (text,) = re.findall(rf"^    {argument}: (.+(?:\n {{8}}.+)*)", documented, re.MULTILINE)
    return " ".join(text.split())


@pytest.mark.parametrize(("constructor", "argument", "sources"), SOURCES)
def test_an_argument_names_where_the_paper_has_it(constructor, argument, sources):
    one = r"\d[\d.]*\b"
    found = re.findall(rf"(?:Sec\.|Eq\.|Fig\.|Table) {one}(?: and {one})?", text_of(constructor, argument))
    assert found == sources


def test_section_five_which_is_about_masks_is_the_source_of_nothing_else():
    package = Path(cascade_tf.__file__).parent
    found = {
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        if re.search(r"^(?!.*et al).*Sec\. 5\b", file.read_text(), re.MULTILINE)
    }
    assert {name for name in found if "mask" not in name} == set()
