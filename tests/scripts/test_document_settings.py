"""The page of settings is what the docstrings say, and every setting has one."""

from __future__ import annotations

import pytest

from cascade_tf.experiment.overrides import convert
from cascade_tf.parts import Part, constructors, takes_part


@pytest.fixture
def program(call):
    import document_settings

    return document_settings


def test_the_page_is_up_to_date(call):
    said = call("document_settings", "--check")
    assert (said.status, said.out) == (0, "The page is up to date.\n")


def test_a_stale_page_is_noticed(call, program, tmp_path, monkeypatch):
    stale = tmp_path / "configuration.md"
    row = "| `model.backbone.depth` | {} |"
    stale.write_text(program.PAGE.read_text().replace(row.format(50), row.format(51)))
    monkeypatch.setattr(program, "PAGE", stale)
    assert call("document_settings", "--check").status == 1
    assert call("document_settings").status == 0
    assert call("document_settings", "--check").status == 0
    assert row.format(50) in stale.read_text()


def test_a_page_without_marks_is_refused(program):
    with pytest.raises(ValueError, match="got no marks"):
        program.with_tables("# A page")


@pytest.mark.parametrize("name", sorted(constructors()))
def test_every_setting_of_a_part_is_explained(program, name):
    part = Part(constructors()[name])
    texts = program.descriptions(part.constructor, "Args")
    assert set(part.settings) <= set(texts)
    assert all(len(texts[setting]) > 10 for setting in part.settings)


@pytest.mark.parametrize("name", sorted(constructors()))
def test_defaults_are_shown_as_they_can_be_given(program, name):
    part = Part(constructors()[name])
    for setting, value in part.settings.items():
        if not takes_part(part.types[setting]) and value != "" and value != ():
            given = convert(program.default_text(value), part.types[setting], setting)
            assert given == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value)
