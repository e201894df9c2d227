"""Every configuration has the settings of the paper or of its authors' code, as the data file says."""

from __future__ import annotations

import fnmatch
import re

import pytest

from cascade_tf.experiment.config import load_config
from cascade_tf.experiment.overrides import apply_overrides
from tests.paper.files import NAMES, SETTINGS, entries, is_cascade, resolve, resolved, text_of

# What makes a cascade of a baseline, and what experiments are called.
THE_CASCADE_ITSELF = {"name", "model.heads.ious", "stages.weights", "stages.stds"}


def same(value, expected):
    if isinstance(expected, list) and isinstance(value, list):
        return len(value) == len(expected) and all(map(same, value, expected))
    if type(value) in (int, float) and type(expected) in (int, float):
        return value == pytest.approx(expected, rel=1e-6)
    return type(value) is type(expected) and value == expected


def has_no_meaning(setting, entry, values):
    """Whether an entry of ``without_meaning`` is for a setting, where the others have these values."""
    if not fnmatch.fnmatchcase(setting, entry["setting"]):
        return False
    where = entry.get("where", ())
    return all(
        other in values and same(values[other], value)
        for other, value in zip(where[::2], where[1::2], strict=True)
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_listed_or_has_no_meaning(name):
    values, listed = resolved(name), entries(name).keys()
    meaningless = {
        key
        for key in values
        if any(has_no_meaning(key, entry, values) for entry in SETTINGS["without_meaning"])
    }
    assert sorted(values.keys() - listed - meaningless) == []
    assert sorted(listed & meaningless) == []


@pytest.mark.parametrize("entry", SETTINGS["without_meaning"], ids=lambda entry: entry["setting"])
def test_what_has_no_meaning_occurs_and_says_why(entry):
    assert entry["why"]
    assert any(has_no_meaning(key, entry, resolved(name)) for name in NAMES for key in resolved(name))


@pytest.mark.parametrize("name", NAMES)
def test_every_setting(name):
    expected = {key: entry["value"] for key, entry in entries(name).items()}
    batch = expected.pop("devices") * expected.pop("images_per_device")
    values = resolved(name)
    wrong = {
        key: (values.get(key), value) for key, value in expected.items() if not same(values.get(key), value)
    }
    assert not wrong
    assert not expected.keys() - values.keys()
    assert values["train.batch_size"] == batch


def test_families_name_configurations_that_exist():
    for family in SETTINGS["families"]:
        assert set(family["configurations"]) <= set(NAMES), family["family"]
        names = [entry["setting"] for entry in family["settings"]]
        assert len(names) == len(set(names)), family["family"]


@pytest.mark.parametrize("family", SETTINGS["families"], ids=lambda family: family["family"])
def test_sources_agree_with_what_is_followed(family):
    for entry in family["settings"]:
        paper, code, follows = entry["paper"], entry["code"], entry["follows"]
        assert follows in ("both", "code", "paper", "own")
        if follows in ("paper", "both"):
            assert (paper is not None and same(paper[0], entry["value"])) or "why" in entry, entry
        if follows == "code":
            assert code is not None
            assert paper is None or "why" in entry, entry
        if follows == "own":
            assert "why" in entry, entry
        if paper is not None and not same(paper[0], entry["value"]):
            assert "why" in entry, entry


def hardware(name):
    """What one batch is made of."""
    return {key: entries(name)[key]["value"] for key in ("devices", "images_per_device")}


@pytest.mark.parametrize("pair", SETTINGS["pairs"], ids=lambda pair: pair["cascade"])
def test_baseline_and_cascade_differ_in_what_is_listed_and_in_nothing_else(pair):
    base, cascade = (resolved(name) | hardware(name) for name in (pair["baseline"], pair["cascade"]))
    assert not is_cascade(pair["baseline"])
    assert is_cascade(pair["cascade"])
    different = {key for key in base | cascade if base.get(key) != cascade.get(key)} - THE_CASCADE_ITSELF
    assert different == {entry["setting"] for entry in pair["differs"]}
    for entry in pair["differs"]:
        # A part of another kind lacks settings.
        assert same(base.get(entry["setting"]), entry["baseline"])
        assert same(cascade.get(entry["setting"]), entry["cascade"])
        assert entry["why"]


def test_every_baseline_has_its_cascade():
    baselines = {name for name in NAMES if "rpn" not in name and not is_cascade(name)}
    variants = {variant["configuration"] for variant in SETTINGS["variants"]}
    assert baselines - variants == {pair["baseline"] for pair in SETTINGS["pairs"]}


@pytest.mark.parametrize("variant", SETTINGS["variants"], ids=lambda variant: variant["configuration"])
def test_a_variant_differs_from_its_baseline_in_what_is_listed_and_in_nothing_else(variant):
    base, other = resolved(variant["of"]), resolved(variant["configuration"])
    # Heads of another kind have settings that the baseline's have not.
    different = {key for key in base.keys() & other.keys() if base[key] != other[key]} - {"name"}
    assert different == {*variant["differs"]}


@pytest.mark.parametrize("name", NAMES)
def test_a_drop_lies_before_the_end(name):
    train = load_config(name).train
    assert max(train.decay_steps) < train.steps


@pytest.mark.parametrize("name", [name for name in NAMES if "mscnn" in name])
def test_the_text_of_the_paper_is_some_flags_away(name):
    """A configuration of the released nets says with which flags it is what the paper's text has."""
    (flags,) = re.findall(r"^The paper's text: ((?:.+\n)+)", text_of(name), re.MULTILINE)
    changed = resolve(apply_overrides(load_config(name), re.findall(r"--set (\S+)", flags)))
    said = {key: entry["paper"][0] for key, entry in entries(name).items() if entry["paper"]}
    assert changed["train.batch_size"] == said.pop("devices") * said.pop("images_per_device")
    # A third and two thirds, which the nets round.
    said.pop("stages.stds")
    assert {key: changed[key] for key, value in said.items() if not same(changed[key], value)} == {}
    assert any(not same(resolved(name)[key], value) for key, value in said.items())
