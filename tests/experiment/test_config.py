"""Experiments: typed overrides, errors that say what was meant, and JSON that brings everything back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

import cascade_tf
from cascade_tf.backbones import VGG16
from cascade_tf.data import image_check, settings
from cascade_tf.experiment import config
from cascade_tf.experiment.overrides import apply_overrides, changes, setting_names
from cascade_tf.heads import MaskHead, mask_heads
from cascade_tf.models import cascade_rcnn_fpn
from cascade_tf.parts import Part, of_kind, part
from cascade_tf.prediction.test_time_augmentation import Augmentation
from cascade_tf.training.settings import TrainConfig

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FILES = sorted(file for file in CONFIGS.rglob("*.py") if file.parent.name != "studies")


@of_kind("small part")
def small_part(number: int, *, units: int = 7) -> None:
    """A part inside a part."""


@of_kind("small recipe")
def small_recipe(
    class_names: Sequence[str],
    category_ids: Sequence[int] | None = None,
    *,
    depth: int = 50,
    head: Part = part(small_part),
    neck: Part | None = None,
    ious: Sequence[float] = (0.5,),
    pooled: int | tuple[int, int] = 7,
    mode: Literal["decay", "avg"] = "decay",
    agnostic: bool = True,
    limit: float | None = None,
    label: str = "a",
    free: Any = None,
    stds: Sequence[Sequence[float]] = (),
) -> None:
    """A signature with one setting of each kind."""


@dataclasses.dataclass(frozen=True)
class Tree:
    name: str
    model: Part
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)


def tree() -> Tree:
    return Tree("tree", part(small_recipe, depth=101))


@pytest.fixture
def experiment() -> config.Experiment:
    return config.Experiment(
        name="mine",
        model=cascade_rcnn_fpn.replace({"backbone.depth": 50, "heads.ious": (0.5, 0.6)}),
        data=config.DataConfig(dataset_dir="cats", short_sides=(320, 352)),
        train=TrainConfig(batch_size=2, decay_steps=(3, 7), clip_norm=None),
        evaluation=config.EvaluationConfig(per_stage=True),
        backbone_weights="r50.npz",
        class_names=("cat", "dog"),
        category_ids=(3, 18),
    )


class TestOverrides:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("model.depth=152", 152),
            ("model.depth=1_000", 1000),
            ("model.ious=0.5,0.6,0.7", (0.5, 0.6, 0.7)),
            ("model.ious=(0.5, 0.6)", (0.5, 0.6)),
            ("model.ious=[0.5]", (0.5,)),
            ("model.ious=", ()),
            ("model.stds=[0.1,0.2],[0.3,0.4]", ((0.1, 0.2), (0.3, 0.4))),
            ("model.stds=((0.1, 0.2), (0.3, 0.4))", ((0.1, 0.2), (0.3, 0.4))),
            ("model.stds=[[0.1, 0.2]]", ((0.1, 0.2),)),
            ("model.stds=((0.1, 0.2),)", ((0.1, 0.2),)),
            ("model.pooled=14", 14),
            ("model.pooled=7,14", (7, 14)),
            ("model.mode=avg", "avg"),
            ("model.agnostic=false", False),
            ("model.agnostic=1", True),
            ("model.limit=none", None),
            ("model.limit=1e-3", 0.001),
            ("model.label=none", "none"),
            ("model.label=a=b", "a=b"),
            ("train.decay_steps=10,20", (10, 20)),
            ("train.clip_norm=10", 10.0),
            ("train.precision=mixed_bfloat16", "mixed_bfloat16"),
            ("name=other", "other"),
        ],
    )
    def test_values_get_the_declared_type(self, text, expected):
        result = apply_overrides(tree(), [text])
        group, _, leaf = text.partition("=")[0].rpartition(".")
        owner = {"": result, "train": result.train, "model": result.model}[group]
        value = owner.settings[leaf] if group == "model" else getattr(owner, leaf)
        assert value == expected
        assert type(value) is type(expected)

    def test_a_part_is_exchanged_for_one_with_its_own_defaults(self, experiment):
        changed = apply_overrides(experiment, ["model.backbone=vgg16"])
        assert changed.model.value("backbone") == part(VGG16)
        assert changed.model.value("heads") == experiment.model.value("heads")

    def test_a_part_is_chosen_before_its_settings_whatever_their_order(self, experiment):
        texts = ["model.backbone.width=0.5", "model.heads.masks.head=mask_head", "model.heads.masks.stages=1"]
        texts += ["model.backbone.freeze_at=3", "model.heads.masks=mask_heads", "model.backbone=vgg16"]
        model = apply_overrides(experiment, texts).model
        assert model.value("backbone") == part(VGG16, width=0.5, freeze_at=3)
        assert model.value("heads.masks") == part(mask_heads, stages=(1,))
        found = changes(experiment.model, [text.removeprefix("model.") for text in texts])
        assert experiment.model.replace(found) == model
        with pytest.raises(ValueError, match=r"unknown setting 'model\.backbone\.depth'"):
            apply_overrides(experiment, ["model.backbone.depth=101", "model.backbone=vgg16"])

    def test_a_star_among_the_settings_of_a_chosen_part(self, experiment):
        model = apply_overrides(experiment, ["model.*.freeze_at=3", "model.backbone=vgg16"]).model
        assert model.value("backbone") == part(VGG16, freeze_at=3)

    def test_an_absent_part_is_put_in_by_its_name(self, experiment):
        texts = ["model.heads.masks=mask_heads", "model.heads.masks.head.channels=8", "model.neck=none"]
        model = apply_overrides(experiment, texts).model
        assert model.value("heads.masks") == part(mask_heads, head=part(MaskHead, channels=8))
        assert model.value("neck") is None

    def test_a_part_of_another_kind_is_refused_where_none_is_there(self, experiment):
        with pytest.raises(ValueError, match=r"model\.heads\.masks': got 'resnet', .* 'masks': mask_heads"):
            apply_overrides(experiment, ["model.heads.masks=resnet"])
        without = apply_overrides(experiment, ["model.neck=none"])
        with pytest.raises(ValueError, match=r"model\.neck': got 'vgg16', .* 'neck': FPN"):
            apply_overrides(without, ["model.neck=vgg16"])
        assert apply_overrides(without, ["model.neck=fpn"]) == experiment

    def test_a_star_stands_for_any_number_of_parts(self, experiment):
        model = apply_overrides(experiment, ["model.*.recompute=true", "model.heads.*.norm=group"]).model
        names = [name for name, value in model.walk() if name.endswith("recompute") and value]
        assert names == ["backbone.recompute", "neck.recompute", "heads.head.recompute"]
        assert model.value("heads.head.norm") == "group"
        assert model.value("backbone.norm") == "frozen"

    def test_later_assignments_win_and_the_rest_stays(self):
        before = tree()
        after = apply_overrides(before, ["train.batch_size=2", "train.batch_size=4"])
        assert after.train == dataclasses.replace(before.train, batch_size=4)
        assert after.model.given == {"depth": 101}
        assert before.train.batch_size == 16

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("batchsize=4", "unknown setting 'batchsize'; did you mean 'train.batch_size'?"),
            ("batch_size=4", "unknown setting 'batch_size'; did you mean 'train.batch_size'?"),
            ("train.batchsize=4", "unknown setting 'train.batchsize'; did you mean 'train.batch_size'?"),
            ("model.dept=4", "unknown setting 'model.dept'; did you mean 'model.depth'?"),
            ("modle.depth=4", "unknown setting 'modle.depth'; did you mean 'model.depth'?"),
            ("qqq=4", "unknown setting 'qqq'; known are name, model, model.depth, model.head, "),
            ("model.class_names=a", "unknown setting 'model.class_names'"),
            ("train.steps.x=1", "unknown setting 'train.steps.x'"),
            ("train=4", "setting 'train' is a group"),
            ("train.batch_size=four", "setting 'train.batch_size': got 'four', expected a whole number"),
            ("train.batch_size=1.5", "got '1.5', expected a whole number"),
            ("train.batch_size=0", "train.batch_size: got 0, expected 1 or more"),
            ("train.momentum=nan", "setting 'train.momentum': got 'nan', expected a number"),
            ("model.agnostic=maybe", "got 'maybe', expected true or false"),
            ("model.mode=sum", "got 'sum', expected one of 'decay', 'avg'"),
            ("model.ious=a,b", "got 'a,b', expected a comma-separated list, each a number"),
            ("model.ious=[0.5,0.6", "expected a comma-separated list, each a number"),
            ("model.stds=[0.1,0.2],[a]", "expected a comma-separated list, each a comma-separated list"),
            ("model.pooled=1,2,3", "setting 'model.pooled': got '1,2,3'"),
            ("model.head.unit=3", "unknown setting 'model.head.unit'; did you mean 'model.head.units'?"),
            (
                "model.neck.units=3",
                "setting 'model.neck.units': there is no model.neck, expected one",
            ),
            ("model.neck=pyramid", "setting 'model.neck': got 'pyramid', expected a part: "),
            ("model.head=fpn", "setting 'model.head': got 'fpn', expected a part of the kind 'small part'"),
            ("model.*.unit=3", "unknown setting 'model.*.unit'"),
            ("train.batch_size", "got the override 'train.batch_size', expected the form a.b=value"),
            ("=4", "expected the form a.b=value"),
        ],
    )
    def test_errors_name_setting_and_expectation(self, text, message):
        with pytest.raises(ValueError, match=r"expected|known|mean|group") as error:
            apply_overrides(tree(), [text])
        assert message in str(error.value)

    def test_every_listed_name_can_be_set(self, experiment):
        names = setting_names(experiment)
        assert {"train.batch_size", "model.backbone.depth", "data.flip", "backbone_weights"} <= set(names)
        assert not {"class_names", "category_ids", "model.class_names"} & set(names)
        values = config.settings(experiment)
        for name in names:
            value = values[name]
            if name == "model" or isinstance(experiment.model.value(name.removeprefix("model.")), Part):
                continue
            text = ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
            again = config.settings(apply_overrides(experiment, [f"{name}={text}"]))
            assert again == values, name


class TestJson:
    def test_round_trip_brings_every_setting_back(self, experiment):
        text = config.to_json(experiment)
        back = config.from_json(text)
        assert config.settings(back) == config.settings(experiment)
        assert back.model == experiment.model

    def test_content_names_version_classes_and_explicit_defaults(self, experiment):
        content = json.loads(config.to_json(experiment))
        assert content["version"] == cascade_tf.__version__
        assert content["class_names"] == ["cat", "dog"]
        assert content["category_ids"] == [3, 18]
        model = content["model"]
        assert model["part"] == "cascade_tf.models.two_stage:two_stage"
        assert model["backbone"]["part"] == "cascade_tf.backbones.resnet:ResNet"
        assert model["heads"]["ious"] == [0.5, 0.6]
        assert model["heads"]["masks"] is None
        assert model["output"]["score_threshold"] == 0.05

    def test_files_round_trip(self, experiment, tmp_path):
        path = config.write_experiment(experiment, tmp_path)
        assert [f.name for f in tmp_path.iterdir()] == ["experiment.json"] == [path.name]
        assert config.settings(config.read_experiment(tmp_path)) == config.settings(experiment)

    @pytest.mark.parametrize(
        "name",
        [
            "os:system",
            "cascade_tf.experiment.config:load_config",
            "cascade_tf.models.detector:tf",
            "cascade_tf.models:x",
            3,
        ],
    )
    def test_only_parts_of_the_package_are_called(self, experiment, name):
        content = json.loads(config.to_json(experiment))
        content["model"]["backbone"]["part"] = name
        with pytest.raises(ValueError, match="part") as error:
            config.from_json(json.dumps(content))
        assert "model.backbone" in str(error.value) or "'part'" in str(error.value)

    def test_a_foreign_part_is_not_written(self):
        foreign = config.Experiment(name="x", model=part(small_recipe))
        with pytest.raises(ValueError, match=r"small_recipe'.* expected a public part"):
            config.to_json(foreign)

    def test_what_older_versions_wrote_is_refused_in_one_line(self, experiment):
        content = json.loads(config.to_json(experiment))
        content["model"] = {"recipe": "cascade_tf.models.cascade_rcnn:cascade_rcnn_fpn", "depth": 50}
        with pytest.raises(ValueError, match=r"as older versions wrote it; expected a tree of parts"):
            config.from_json(json.dumps(content))

    @pytest.mark.parametrize("value", [None, 3, "cascade_tf.backbones.resnet:ResNet", []])
    def test_a_part_that_is_none_is_named(self, experiment, value):
        content = json.loads(config.to_json(experiment))
        content["model"]["backbone"] = value
        with pytest.raises(ValueError, match=r"model\.backbone: got .*, expected an object with"):
            config.from_json(json.dumps(content))

    def test_a_part_may_be_absent(self, experiment):
        changed = apply_overrides(experiment, ["model.neck=none"])
        assert config.from_json(config.to_json(changed)).model.value("neck") is None

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda c: c["train"].update(batchsize=3), "unknown setting 'train.batchsize'; did you mean"),
            (lambda c: c["train"].update(batch_size="x"), "setting 'train.batch_size': got 'x'"),
            (lambda c: c.pop("train"), "part 'train'"),
            (lambda c: c.update(colour=1), "unknown setting 'colour'"),
            (lambda c: c.update(class_names=[1]), "class_names"),
            (lambda c: c.update(category_ids=[1]), "2 class names and 1 category ids"),
        ],
    )
    def test_broken_content_is_named(self, experiment, tmp_path, change, message):
        content = json.loads(config.to_json(experiment))
        change(content)
        (tmp_path / "experiment.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match=r"experiment\.json: ") as error:
            config.read_experiment(tmp_path)
        assert message in str(error.value)

    @pytest.mark.parametrize("text", ["", "{", "[]", "3"])
    def test_what_is_no_experiment_is_refused(self, tmp_path, text):
        (tmp_path / "experiment.json").write_text(text)
        with pytest.raises(ValueError, match=r"experiment\.json: got .* expected an"):
            config.read_experiment(tmp_path)

    def test_a_folder_without_a_run_is_refused(self, tmp_path):
        with pytest.raises(
            FileNotFoundError, match=r"experiment\.json, expected the folder of a training run"
        ):
            config.read_experiment(tmp_path)


class TestAugmentation:
    def test_none_by_default(self, experiment):
        assert experiment.evaluation.augmentation() is None

    def test_settings_reach_it(self, experiment):
        texts = ["evaluation.scales=400,1200", "evaluation.scales_max_side=2000", "evaluation.vote_iou=0.9"]
        changed = apply_overrides(experiment, [*texts, "evaluation.flip=true"])
        expected = Augmentation(scales=(400, 1200), max_side=2000, flip=True, vote_iou=0.9)
        assert changed.evaluation.augmentation() == expected
        assert config.from_json(config.to_json(changed)).evaluation.augmentation() == expected
        assert config.differences(experiment, changed) == []

    @pytest.mark.parametrize(
        "text", ["evaluation.scales=600", "evaluation.flip=yes", "evaluation.vote_iou=0.9"]
    )
    def test_one_of_them_is_enough(self, experiment, text):
        assert apply_overrides(experiment, [text]).evaluation.augmentation() is not None

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("evaluation.scales=400,0", "evaluation.scales: got (400, 0), expected sizes above 0"),
            ("evaluation.scales_max_side=-1", "evaluation.scales_max_side: got -1, expected sizes above 0"),
            ("evaluation.vote_iou=0", "evaluation.vote_iou: got 0.0, expected an overlap in (0, 1], or none"),
            ("evaluation.vote_iou=1.1", "evaluation.vote_iou: got 1.1, expected an overlap"),
        ],
    )
    def test_wrong_values_are_named(self, experiment, text, message):
        with pytest.raises(ValueError, match="expected") as error:
            apply_overrides(experiment, [text])
        assert message in str(error.value)

    @pytest.mark.parametrize("kind", ["mask_rcnn", "cascade_mask_rcnn"])
    def test_the_papers_enhanced_rows(self, kind):
        plain, enhanced = (
            config.load_config(f"coco/{kind}_x152_32x8d_fpn{suffix}") for suffix in ("", "_tta")
        )
        # Multi-scale training is row *, and the same for both.
        assert plain.data.short_sides == (640, 672, 704, 736, 768, 800)
        assert config.differences(plain, enhanced) == []
        assert plain.evaluation.augmentation() is None
        augmentation = enhanced.evaluation.augmentation()
        model = config.settings(enhanced)
        passes = augmentation.passes(model["model.short_side"], model["model.max_side"])
        assert len(passes) == 18
        assert {(one.short_side, one.max_side) for one in passes} == {
            (800, 1333),
            *((side, 2000) for side in (400, 500, 600, 700, 900, 1000, 1100, 1200)),
        }
        assert augmentation.vote_iou == 0.9


class TestClasses:
    def test_resolves_once(self, experiment):
        blank = dataclasses.replace(experiment, class_names=(), category_ids=())
        assert config.with_classes(blank, ["cat", "dog"], [3, 18]) == dataclasses.replace(experiment)

    def test_other_classes_are_refused_with_both(self, experiment):
        with pytest.raises(
            ValueError, match=r"1 class: owl \(7\), expected .* 2 classes: cat \(3\), dog \(18\)"
        ):
            config.with_classes(experiment, ["owl"], [7])

    def test_no_detector_without_classes(self, experiment):
        blank = dataclasses.replace(experiment, class_names=(), category_ids=())
        with pytest.raises(ValueError, match="'mine' has no classes"):
            config.build_detector(blank)


class TestDifferences:
    def test_names_each_setting_with_both_values(self, experiment):
        other = apply_overrides(experiment, ["train.batch_size=8", "model.heads.ious=0.5"])
        lines = config.differences(experiment, other)
        assert lines == ["model.heads.ious: (0.5, 0.6), now (0.5,)", "train.batch_size: 2, now 8"]

    def test_ignores_what_does_not_change_the_weights(self, experiment):
        other = apply_overrides(
            experiment,
            [
                "name=x",
                "data.workers=1",
                "data.service=reader:5050",
                "evaluation.batch_size=2",
                "train.log_every=1",
            ],
        )
        assert config.differences(experiment, other) == []


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(CONFIGS).with_suffix("")))
class TestFiles:
    def test_is_of_the_kind_that_its_name_says(self, file):
        experiment = config.load_config(file)
        name = str(file.relative_to(CONFIGS).with_suffix(""))
        assert experiment.name == name
        values = config.settings(experiment)
        kind = name.rpartition("/")[2]
        if kind.startswith(("cascade", "fast_cascade")):
            # Rising; of the authors' networks some begin at 0.45, and end at 0.75.
            assert values["model.heads.ious"] in ((0.5, 0.6, 0.7), (0.45, 0.65, 0.75))
        elif kind.startswith(("faster", "fast_rcnn", "mask", "rfcn", "mscnn")):
            assert len(values["model.heads.ious"]) == 1
        has_masks = values.get("model.heads.masks") is not None
        assert has_masks == ("mask" in kind or name in ("demo/cascade", "nuclei/cascade"))
        if has_masks:
            expected = {"_b": (1,), "_d": (1, 2, 3)}.get(name[-2:], (-1,))
            assert values["model.heads.masks.stages"] == expected
        assert values["model.max_side"] >= values["model.short_side"]

    def test_survives_json(self, file):
        experiment = config.load_config(file)
        assert config.settings(config.from_json(config.to_json(experiment))) == config.settings(experiment)

    def test_documents_its_command(self, file):
        text = file.read_text()
        assert f"--config {file.relative_to(CONFIGS).with_suffix('')}" in text or "make demo" in text
        assert sum(bool(line.strip()) for line in text[text.index("def experiment") :].splitlines()) <= 45


class TestLoadConfig:
    def test_takes_names_and_paths(self):
        by_name = config.load_config("coco/cascade_rcnn_r50_fpn_1x")
        by_path = config.load_config(CONFIGS / "coco" / "cascade_rcnn_r50_fpn_1x.py")
        assert config.settings(by_name) == config.settings(by_path)

    def test_the_deep_variants_differ_from_their_parents_in_the_backbone_only(self):
        for kind in ("faster", "cascade"):
            parent, deep = (config.load_config(f"coco/{kind}_rcnn_r{depth}_fpn_1x") for depth in (50, 101))
            assert config.differences(parent, deep) == ["model.backbone.depth: 50, now 101"]

    def test_an_unknown_name_lists_the_known_ones(self):
        with pytest.raises(
            FileNotFoundError, match=r"'coco/nothing'.* known names are .*coco/cascade_rcnn_r101"
        ):
            config.load_config("coco/nothing")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("x = 1", "got nothing of that name, expected a function experiment"),
            ("def experiment(): return 3", "got int, expected a function experiment"),
            ("import", "SyntaxError"),
            ("def experiment(): return 1 / 0", "ZeroDivisionError"),
        ],
    )
    def test_a_broken_file_is_named(self, tmp_path, text, message):
        (tmp_path / "mine.py").write_text(text)
        with pytest.raises(ValueError, match=r"mine\.py: ") as error:
            config.load_config(tmp_path / "mine.py")
        assert message in str(error.value)


@pytest.mark.parametrize("sizes", [(32.0, 64.0), ((32.0, 45.0), (64.0, 90.0)), (32.0, (64.0, 90.0))])
def test_anchor_sizes_may_be_several_per_level(sizes):
    model = cascade_rcnn_fpn.replace({"proposals.anchor_sizes": sizes})
    experiment = config.Experiment("made", model, class_names=("a",), category_ids=(1,))
    again = config.from_json(config.to_json(experiment))
    assert again.model.value("proposals.anchor_sizes") == sizes


def test_anchor_sizes_as_text():
    made = config.Experiment("made", cascade_rcnn_fpn)
    changed = apply_overrides(made, ["model.proposals.anchor_sizes=32,64"])
    assert changed.model.value("proposals.anchor_sizes") == (32.0, 64.0)


def test_the_levels_of_the_check_are_those_of_its_settings():
    assert settings.CHECK_LEVELS == image_check.LEVELS
