"""predict_beam.py on Beam's local runner: two processes, a broken picture, and a restart.

Beam takes an older protobuf than is pinned, so these run in an environment of its own (CONTRIBUTING.md).
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("apache_beam", reason="the extra beam is not installed, see CONTRIBUTING.md")

from cascade_tf.bulk.pictures import id_of_name
from cascade_tf.conversion.tfrecord import write_tfrecords
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.experiment.loading import load
from cascade_tf.serving.export import export_saved_model
from tests.tiny_detector import noise, tiny_detector

ROOT = Path(__file__).parents[2]
SHARDS = 4
TWO_PROCESSES = "--direct_running_mode=multi_processing --direct_num_workers=2"
PICTURES = 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of two sizes, a broken one, and an export."""
    folder = tmp_path_factory.mktemp("bulk")
    (folder / "images").mkdir()
    for number in range(PICTURES):
        picture = Image.fromarray(noise(48 + 8 * (number % 2), 64, seed=number))
        picture.save(folder / "images" / f"{number:06d}.png")
    whole = (folder / "images" / "000000.png").read_bytes()
    (folder / "images" / "broken.png").write_bytes(whole[: len(whole) // 2])
    export_saved_model(tiny_detector(), folder / "export")
    return folder


@pytest.fixture
def predict(folder, monkeypatch, tmp_path):
    """Runs the program on the pictures; gives its status and the folder of the results."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    # Beam's worker processes find the package so.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    program = importlib.import_module("predict_beam")

    def run(*inputs, flags=(), beam=""):
        names = (f"--model={folder / 'export'}", f"--output={tmp_path / 'found'}", f"--shards={SHARDS}")
        status = program.main(
            ["predict_beam.py", *names, "--score_threshold=0.3", f"--pipeline={beam}", *flags, *inputs]
        )
        return status, tmp_path / "found"

    return run


def results_in(found):
    return [result for path in sorted(found.glob("results-*")) for result in json.loads(path.read_text())]


def in_order(results):
    return sorted(results, key=lambda result: (result["image_id"], -result["score"], result["bbox"]))


def expected(folder):
    paths = sorted((folder / "images").glob("0*.png"))
    found = load(folder / "export").predict([str(path) for path in paths], score_threshold=0.3)
    return [
        result for number, record in enumerate(found) for result in record._replace(image_id=number).to_coco()
    ]


@pytest.mark.slow
def test_two_processes_and_a_restart(folder, predict):
    parquet = importlib.import_module("pyarrow.parquet")
    status, found = predict(f"{folder}/images/*", beam=TWO_PROCESSES)
    assert status == 1
    got, wanted = in_order(results_in(found)), in_order(expected(folder))
    assert len(got) == len(wanted) > 0
    for one, other in zip(got, wanted, strict=True):
        assert (one["image_id"], one["category_id"]) == (other["image_id"], other["category_id"])
        # Which pictures share a batch differs.
        assert one["bbox"] == pytest.approx(other["bbox"], abs=1e-3)
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
    lines = [line for path in found.glob("failures-*") for line in path.read_text().splitlines()]
    assert [Path(json.loads(line)["file_name"]).name for line in lines] == ["broken.png"]
    assert sum(len(parquet.read_table(path)) for path in found.glob("images-*")) == PICTURES
    assert sum(len(parquet.read_table(path)) for path in found.glob("detections-*")) == len(got)

    lost, *kept = sorted(found.glob("results-*"))
    content, times = lost.read_bytes(), [path.stat().st_mtime_ns for path in kept]
    lost.unlink()
    assert predict(f"{folder}/images/*", flags=["--shards_per_pipeline=1"])[0] == 1
    assert [path.stat().st_mtime_ns for path in kept] == times
    assert [one["image_id"] for one in json.loads(lost.read_bytes())] == [
        one["image_id"] for one in json.loads(content)
    ]
    assert not list(found.glob(".*"))


def test_records_have_their_own_ids(folder, predict, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "images").symlink_to(folder / "images")
    images = [
        {"id": 70 + number, "file_name": f"{number:06d}.png", "width": 64, "height": 48 + 8 * (number % 2)}
        for number in range(3)
    ]
    annotations = [
        {"id": 1, "image_id": 70, "category_id": 3, "bbox": [1, 2, 30, 20], "area": 600, "iscrowd": 0}
    ]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "red"}]}
    (tmp_path / "data" / "instances_val.json").write_text(json.dumps(content))
    write_tfrecords({"val": read_dataset_dir(tmp_path / "data", "val")}, tmp_path / "shards", shard_bytes=1)
    status, found = predict(flags=[f"--records={tmp_path / 'shards'}/*.tfrecord"])
    assert status == 0
    wanted = [{**one, "image_id": one["image_id"] + 70} for one in expected(folder) if one["image_id"] < 3]
    assert [one["image_id"] for one in in_order(results_in(found))] == [
        one["image_id"] for one in in_order(wanted)
    ]


def test_a_typo_leaves_nothing_behind(folder, predict, capsys):
    pattern = f"{folder}/images/000000.png"
    for wrong, flags, said in (
        (f"{folder}/imges/*.png", [], f"input {folder}/imges/*.png: got no files"),
        (pattern, ["--records", f"{folder}/*.tfrecord"], f"input {folder}/*.tfrecord: got no files"),
        (pattern, ["--model", f"{folder}/exprt"], f"model {folder}/exprt: got no saved_model.pb"),
    ):
        status, found = predict(pattern, wrong, flags=flags)
        assert status == 1
        assert said in capsys.readouterr().err
        assert not found.exists()
    assert predict(pattern)[0] == 0
    assert "4 shards: 1 picture read, 0 that cannot be." in capsys.readouterr().out


def test_files_of_one_number_get_ids_of_their_paths(folder, predict, tmp_path):
    paths = [tmp_path / camera / "0001.png" for camera in ("cam1", "cam2")]
    for number, path in enumerate(paths):
        path.parent.mkdir()
        path.write_bytes((folder / "images" / f"{number:06d}.png").read_bytes())
    status, found = predict(f"{tmp_path}/cam*/*.png")
    assert status == 0
    ids = {one["image_id"] for one in results_in(found)}
    assert ids == {id_of_name(str(path), by_number=False) for path in paths}


def test_a_new_export_in_the_same_place_is_another_model(folder, predict, tmp_path, capsys):
    pattern, model = f"{folder}/images/000000.png", tmp_path / "export"
    shutil.copytree(folder / "export", model)
    assert predict(pattern, flags=["--model", str(model)])[0] == 0
    index = model / "1" / "variables" / "variables.index"
    index.write_bytes(index.read_bytes()[::-1])
    assert predict(pattern, flags=["--model", str(model)])[0] == 1
    assert "job.json: model_digest is " in capsys.readouterr().err


def test_results_of_another_model_are_not_mixed(folder, predict, capsys):
    pattern = f"{folder}/images/000000.png"
    assert predict(pattern)[0] == 0
    assert predict(pattern, flags=["--score_threshold=0.7"])[0] != 0
    assert "score_threshold is 0.3, got 0.7; expected the same or another --output" in capsys.readouterr().err
