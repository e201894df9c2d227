"""The programs together: a demo in miniature, and what can be done with the run that it leaves."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.experiment import config
from cascade_tf.training.run_log import read_metrics

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SMALL = (
    "model.backbone.depth=14",
    "model.backbone.width=0.125",
    "model.neck.channels=32",
    "model.heads.head.units=32",
    "model.heads.masks.head.channels=16",
    "model.short_side=96",
    "model.max_side=128",
    "model.proposals.post_nms_test=30",
    "model.output.score_threshold=0.0",
    "data.short_sides=96",
    "data.max_side=128",
    "train.batch_size=2",
    "train.steps=4",
    "train.warmup_steps=0",
    "train.decay_steps=3",
    "train.checkpoint_every=2",
    "train.log_every=2",
)
SETTINGS = [f"--set={setting}" for setting in SMALL]

pytestmark = pytest.mark.slow


class Demo(NamedTuple):
    """What the miniature demo said, and its folder."""

    status: int
    out: str
    workdir: Path


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Demo:
    workdir = tmp_path_factory.mktemp("job") / "demo"
    arguments = [f"--workdir={workdir}", "--num_train=6", "--num_val=4", "--least_ap=0.99", *SETTINGS]
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.syspath_prepend(str(SCRIPTS))
        status = importlib.import_module("demo").main(["demo.py", *arguments])
    return Demo(status, out.getvalue(), workdir)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestDemo:
    def test_fails_below_the_wanted_ap_and_says_so(self, demo):
        assert demo.status == 1
        assert "expected more than 0.990" in demo.out

    def test_ends_with_the_numbers_and_where_everything_lies(self, demo):
        for row in ("stage 1", "stage 2", "stage 3", "detector"):
            assert f"{row}, boxes " in demo.out
            assert f"{row}, masks " in demo.out
        for place in ("report.html", "pictures", "export/1", "dataset"):
            assert str(demo.workdir / place) in demo.out
            assert (demo.workdir / place).exists()

    def test_trained_on_the_drawn_pictures(self, demo):
        experiment = config.read_experiment(demo.workdir)
        data = read_dataset_dir(demo.workdir / "dataset", "train")
        assert len(data.examples) == 6
        assert experiment.class_names == data.class_names
        assert experiment.train.steps == 4
        steps = [line["step"] for line in read_metrics(demo.workdir) if "losses" in line]
        assert steps == [2, 4]

    def test_the_exported_model_saw_other_pictures(self, demo):
        content = json.loads((demo.workdir / "pictures" / "detections.json").read_text())
        names = {image["file_name"] for image in content["images"]}
        assert len(names) == 12
        assert all("segmentation" in found for found in content["annotations"])
        assert all(Path(name).parent == demo.workdir / "unseen" / "images" for name in names)
        known = {path.read_bytes() for path in (demo.workdir / "dataset" / "images").iterdir()}
        assert not any(Path(name).read_bytes() in known for name in names)

    def test_report_shows_pictures_and_curves(self, demo):
        page = (demo.workdir / "report.html").read_text()
        assert page.count("data:image/") >= 12
        assert "<svg" in page
        assert "demo/cascade" in page
        assert "mask" in page
        for heading in ("Kinds of error", "Worst errors", "Confusion matrix", "Precision over recall"):
            assert f"<h2>{heading}</h2>" in page

    def test_evaluation_is_written(self, demo):
        folder = demo.workdir / "evaluation"
        stages = [json.loads((folder / f"val_stage{t}.json").read_text())["summary"]["AP"] for t in (1, 2, 3)]
        assert all(0.0 <= ap <= 1.0 for ap in stages)
        # A heading, and boxes and masks of three stages and of the detector.
        assert len((folder / "val_stages.csv").read_text().splitlines()) == 9
        detections = json.loads((folder / "val_detections.json").read_text())
        assert {d["image_id"] for d in detections} == {e.image_id for e in self.val(demo).examples}

    def val(self, demo):
        return read_dataset_dir(demo.workdir / "dataset", "val")


class TestTrain:
    def arguments(self, demo, *more: str) -> list[str]:
        places = [f"--workdir={demo.workdir}", f"--dataset_dir={demo.workdir / 'dataset'}"]
        return ["--config=demo/cascade", *places, *SETTINGS, *more]

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ("--set=train.batch_size=3", "holds a run with other settings (train.batch_size: 2, now 3)"),
            (
                "--set=model.heads.head.units=64",
                "holds a run with other settings (model.heads.head.units: 32, now 64)",
            ),
            ("--resume=never", "got the checkpoint of a run, expected none with --resume=never"),
        ],
    )
    def test_does_not_go_on_with_another_experiment(self, demo, call, more, message):
        before = tree(demo.workdir)
        assert message in call("train", *self.arguments(demo, more)).complaint
        assert tree(demo.workdir) == before

    def test_a_finished_run_stays_as_it_is(self, demo, call):
        before = tree(demo.workdir / "checkpoints")
        said = call("train", *self.arguments(demo, "--resume=always"))
        assert said.status == 0, said.err
        assert f"The trained detector lies in {demo.workdir}" in said.out
        assert tree(demo.workdir / "checkpoints") == before


class TestEvaluate:
    def test_measures_what_the_training_measured(self, demo, call, tmp_path):
        said = call(
            "evaluate",
            f"--workdir={demo.workdir}",
            f"--output={tmp_path}",
            "--set=evaluation.per_stage=false",
        )
        assert said.status == 0, said.err
        again = json.loads((tmp_path / "val.json").read_text())
        assert again == json.loads((demo.workdir / "evaluation" / "val.json").read_text())
        assert {path.name for path in tmp_path.iterdir()} == {
            "val.json", "val.csv", "val_detections.json", "val_errors.json", "val_confusion.csv", "val.html",
        }  # fmt: skip
        assert "all classes" in said.out
        assert "stage 1" not in said.out
        errors = json.loads((tmp_path / "val_errors.json").read_text())
        assert errors["AP"] == pytest.approx(again["summary"]["AP50"], abs=1e-9)
        assert errors["mask"]["AP"] == pytest.approx(again["mask"]["summary"]["AP50"], abs=1e-9)
        shown = re.search(r"^boxes: missed +(\S+) +(\d+) +(\d+)$", said.out, re.MULTILINE)
        missed = errors["kinds"]["missed"]
        assert float(shown[1]) == pytest.approx(100 * missed["cost"], abs=0.051)
        assert [int(shown[2]), int(shown[3])] == [missed["errors"], missed["seen"]]
        page = (tmp_path / "val.html").read_text()
        assert page.count("data:image/") == len(errors["worst_images"]) > 0


class TestPredict:
    def test_run_and_saved_model_find_the_same(self, demo, call, tmp_path):
        (tmp_path / "in").mkdir()
        (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
        source = sorted((demo.workdir / "unseen" / "images").glob("val_*"))[0]
        picture = np.asarray(Image.open(source))
        Image.fromarray(picture).save(tmp_path / "in" / "a.png")
        Image.fromarray(picture[:64, :90]).save(tmp_path / "in" / "b.bmp")
        Image.fromarray(picture[:50]).save(tmp_path / "a.png")
        found = {}
        for flag, model in (("workdir", demo.workdir), ("model", demo.workdir / "export")):
            output = tmp_path / flag
            inputs = [tmp_path / "in", tmp_path / "broken.jpg", tmp_path / "*.png", tmp_path / "none.jpg"]
            # One by one: group normalisation looks at the padding that images of one batch share.
            options = ["--batch_size=1", "--score_threshold=0"]
            said = call("predict", f"--{flag}={model}", f"--output={output}", *options, *inputs)
            assert said.status == 1
            assert "skipped: image" in said.err
            assert "broken.jpg: cannot be decoded" in said.err
            assert "none.jpg: no such file" in said.err
            assert "in 3 images, 2 inputs skipped" in said.out
            assert {p.name for p in output.iterdir()} == {"a.jpg", "a_2.jpg", "b.jpg", "detections.json"}
            found[flag] = json.loads((output / "detections.json").read_text())
        self.check(found["workdir"], demo)
        assert found["model"]["images"] == found["workdir"]["images"]
        assert found["model"]["categories"] == found["workdir"]["categories"]
        for image in found["workdir"]["images"]:
            best, others = (
                [a for a in found[name]["annotations"] if a["image_id"] == image["id"]]
                for name in ("workdir", "model")
            )
            assert best
            assert all(any(self.equal(one, other) for other in others) for one in best[:5])

    def equal(self, one, other) -> bool:
        """Scores may be close enough for the order to differ."""
        same_box = np.allclose(one["bbox"], other["bbox"], atol=0.1)
        return (
            same_box
            and one["category_id"] == other["category_id"]
            and abs(one["score"] - other["score"]) < 1e-3
        )

    def check(self, content, demo):
        """COCO's layout, in the original images' pixels."""
        sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
        assert sorted(sizes.values()) == [(90, 64), (256, 50), (256, 192)]
        data = read_dataset_dir(demo.workdir / "dataset", "val")
        assert [c["id"] for c in content["categories"]] == list(data.category_ids)
        assert [c["name"] for c in content["categories"]] == list(data.class_names)
        assert [a["id"] for a in content["annotations"]] == list(range(1, len(content["annotations"]) + 1))
        for found in content["annotations"]:
            x, y, width, height = found["bbox"]
            limit = sizes[found["image_id"]]
            assert 0 <= x < x + width <= limit[0] + 0.01
            assert 0 <= y < y + height <= limit[1] + 0.01
            # The area is that of the mask, which lies in its box up to whole pixels.
            assert 0 <= found["area"] <= (width + 2) * (height + 2)
            assert found["segmentation"]["size"] == [limit[1], limit[0]]
