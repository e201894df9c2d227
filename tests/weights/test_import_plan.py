from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.backbones import ResNet
from cascade_tf.weights import import_plan
from cascade_tf.weights.families.family import Family, Source
from cascade_tf.weights.import_plan import ImportPlan
from cascade_tf.weights.import_report import ImportReport
from cascade_tf.weights.places import backbone_places
from tests.weights.synthetic import checkpoint

STEM, MEAN = "backbone.stem.conv1.kernel", "backbone.stem.conv1.norm.moving_mean"


class Plain(Family):
    """Tensors have the places' names and layout; what begins with "optimizer" is ignored."""

    name = "plain"

    def matches(self, checkpoint):
        return True

    def settings(self, checkpoint):
        return {}

    def source(self, place, model, checkpoint):
        return Source((place.name,), np.asarray)

    def ignored(self, name):
        return "state of the optimizer" if name.startswith("optimizer") else None


@pytest.fixture
def backbone():
    return ResNet(14, width=0.0625, freeze_at=0)


@pytest.fixture
def arrays(backbone):
    rng = np.random.default_rng(0)
    found = backbone_places(backbone)
    return {name: rng.standard_normal(place.shape).astype(np.float32) for name, place in found.items()}


def plan(backbone, arrays, family=None, **settings):
    found = backbone_places(backbone).values()
    return ImportPlan(checkpoint(arrays), family or Plain(), backbone, found, **settings)


def values(backbone):
    return {name: np.array(place.variable) for name, place in backbone_places(backbone).items()}


def assert_equal(given, expected):
    assert given.keys() == expected.keys()
    for name, value in given.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_every_value_arrives_and_every_name_is_accounted_for(backbone, arrays):
    report = plan(backbone, arrays | {"optimizer.step": np.zeros(3)}).carry_out({"backbone.depth": 14})
    assert_equal(values(backbone), arrays)
    assert report == ImportReport(
        source="plain",
        path="model.pth",
        loaded={name: (name,) for name in arrays},
        unused={"optimizer.step": "state of the optimizer"},
        missing={},
        settings={"backbone.depth": 14},
        assumed={},
    )


@pytest.mark.parametrize("size", [1, 1000, 2**20])
def test_large_arrays_go_block_by_block(backbone, arrays, monkeypatch, size):
    monkeypatch.setattr(import_plan, "_LARGE_BYTES", 0)
    monkeypatch.setattr(import_plan, "_BLOCK_BYTES", size)
    plan(backbone, arrays).carry_out({})
    assert_equal(values(backbone), arrays)


@pytest.mark.parametrize("large", [0, 2**30])
def test_leading_axes_are_merged(backbone, arrays, monkeypatch, large):
    monkeypatch.setattr(import_plan, "_LARGE_BYTES", large)
    monkeypatch.setattr(import_plan, "_BLOCK_BYTES", 64)

    class Unmerged(Plain):
        def source(self, place, model, checkpoint):
            return Source((place.name,), lambda v: v.reshape(2, -1, *v.shape[1:]) if len(v) % 2 == 0 else v)

    plan(backbone, arrays, Unmerged()).carry_out({})
    assert_equal(values(backbone), arrays)


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4"])
def test_other_floats(backbone, arrays, dtype):
    given = {name: value.astype(dtype) for name, value in arrays.items()}
    plan(backbone, given).carry_out({})
    assert_equal(values(backbone), {name: value.astype(np.float32) for name, value in given.items()})


def test_constants_need_no_tensor(backbone, arrays):
    class Constant(Plain):
        def source(self, place, model, checkpoint):
            if place.name == MEAN:
                return Source((), lambda: np.full(place.shape, 3.0))
            return super().source(place, model, checkpoint)

    del arrays[MEAN]
    report = plan(backbone, arrays, Constant()).carry_out({})
    assert report.loaded[MEAN] == ()
    np.testing.assert_array_equal(backbone.get_layer("stem_conv1_norm").moving_mean, 3.0)


def test_a_failure_lists_both_sides_and_changes_nothing(backbone, arrays):
    before = values(backbone)
    del arrays[MEAN]
    arrays |= {"extra.b": np.zeros(2), "extra.a": np.zeros(2)}
    arrays[STEM] = arrays[STEM][..., :2]
    with pytest.raises(ValueError, match=r"checkpoint model\.pth \(plain\) does not fit the model") as error:
        plan(backbone, arrays).carry_out({})
    for part in (
        f"1 variables without a tensor: {MEAN} (from {MEAN})",
        "2 tensors without a variable: extra.a, extra.b",
        f"1 tensors that do not fit: {STEM} (7, 7, 3, 2) gives (7, 7, 3, 2) for {STEM} (7, 7, 3, 4)",
    ):
        assert part in str(error.value)
    assert_equal(values(backbone), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.astype(np.int32), r"\(7, 7, 3, 4\) of type int32 for backbone\.stem"),
        (lambda v: v.astype(np.complex64), "of type complex64"),
        (lambda v: v[0], r"\(7, 3, 4\) gives \(7, 3, 4\) for .* \(7, 7, 3, 4\)"),
        (lambda v: v.transpose(3, 2, 0, 1), r"\(4, 3, 7, 7\) gives"),
    ],
)
def test_values_that_cannot_be_the_variable(backbone, arrays, change, message):
    arrays[STEM] = change(arrays[STEM])
    with pytest.raises(ValueError, match=message):
        plan(backbone, arrays).carry_out({})


def test_a_conversion_that_fails_is_a_misfit(backbone, arrays):
    class Transposing(Plain):
        def source(self, place, model, checkpoint):
            convert = (lambda v: v.transpose(1, 0)) if place.name == STEM else np.asarray
            return Source((place.name,), convert)

    with pytest.raises(ValueError, match=r"1 tensors that do not fit: .*axes don't match"):
        plan(backbone, arrays, Transposing()).carry_out({})


def test_long_lists_are_shortened(backbone, arrays):
    with pytest.raises(ValueError, match=r"100 tensors without a variable: (x\d+, ){7}x\d+ and 92 more"):
        plan(backbone, arrays | {f"x{n:03}": np.zeros(1) for n in range(100)}).carry_out({})


def test_values_that_are_not_finite_are_loaded_with_a_warning(backbone, arrays, caplog):
    plan(backbone, arrays).carry_out({})
    assert "finite" not in caplog.text
    arrays[STEM][0, 0, 0, 0] = np.nan
    arrays[MEAN][1] = np.inf
    plan(backbone, arrays).carry_out({})
    assert f"model.pth: 2 tensors hold values that are not finite: {STEM}, {MEAN}" in caplog.text
    assert_equal(values(backbone), arrays)


def test_what_fits_is_loaded_on_request(backbone, arrays):
    before = values(backbone)
    del arrays[MEAN]
    arrays |= {"extra": np.zeros(2)}
    arrays[STEM] = arrays[STEM][..., :2]
    report = plan(backbone, arrays).carry_out({}, allow_partial=True)
    assert report.missing == {MEAN: "not in the checkpoint", STEM: "of another shape in the checkpoint"}
    assert report.unused == {
        "extra": "has no place in the model",
        STEM: "its variables are left out (of another shape in the checkpoint)",
    }
    loaded = {name: value for name, value in arrays.items() if name not in (STEM, "extra")}
    assert report.loaded == {name: (name,) for name in loaded}
    assert_equal(values(backbone), before | loaded)


def test_where_nothing_fits_there_is_nothing_to_load(backbone):
    with pytest.raises(ValueError, match="1 tensors without a variable: another"):
        plan(backbone, {"another": np.zeros(2)}).carry_out({}, allow_partial=True)


def test_places_that_are_kept(backbone, arrays):
    before = values(backbone)
    arrays[STEM] = np.zeros(3)
    report = plan(backbone, arrays, kept={STEM: "a new stem"}).carry_out({})
    assert report.missing == {STEM: "a new stem"}
    assert report.unused == {STEM: "its variables are left out (a new stem)"}
    assert_equal(values(backbone), arrays | {STEM: before[STEM]})


def test_the_report_as_text(backbone, arrays):
    del arrays[STEM]
    arrays |= {f"optimizer.{n}": np.zeros(1) for n in range(10)}
    text = plan(backbone, arrays).carry_out({}, allow_partial=True).to_text()
    assert text.splitlines() == [
        f"model.pth (plain): loaded {len(arrays) - 10} variables",
        "  10 tensors not loaded (state of the optimizer): optimizer.0, optimizer.1, optimizer.2, "
        "optimizer.3, optimizer.4, optimizer.5, optimizer.6, optimizer.7 and 2 more",
        f"  1 variables left at their initial values (not in the checkpoint): {STEM}",
    ]
