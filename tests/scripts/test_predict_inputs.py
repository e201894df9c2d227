"""What predict.py takes from folders, and photos with an EXIF orientation."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.exif_files import corners, orientation_entry, stored_for, tiff, with_exif

UPRIGHT = np.repeat(np.repeat(corners(), 4, axis=0), 4, axis=1)
HEIGHT, WIDTH = UPRIGHT.shape[:2]


@pytest.fixture
def photos(tmp_path):
    """Files of several formats, some of them turned, other files, and a sub-folder with a picture."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    exif = tiff([orientation_entry(6)])
    for name, kind in (("a.jpg", "JPEG"), ("b.png", "PNG"), ("c.webp", "WEBP")):
        (folder / name).write_bytes(with_exif(stored_for(UPRIGHT, 6), kind, exif))
    Image.fromarray(UPRIGHT).save(folder / "d.TIF", "TIFF")
    Image.fromarray(UPRIGHT).save(folder / "more" / "e.png")
    for name in ("1.txt", "2.txt", "3.TXT", "labels.json", "LICENSE"):
        (folder / name).write_text("nothing")
    return folder


def predict(call, photos, tmp_path, *flags):
    said = call("predict", f"--output={tmp_path / 'found'}", "--score_threshold=0", *flags, photos)
    assert said.status == 0, said.err
    content = json.loads((tmp_path / "found" / "detections.json").read_text())
    return said, {entry["file_name"].rpartition("photos/")[2]: entry for entry in content["images"]}


def test_photos_are_looked_at_and_drawn_upright(call, workdir, photos, tmp_path):
    said, images = predict(call, photos, tmp_path, f"--workdir={workdir}")
    assert sorted(images) == ["a.jpg", "b.png", "c.webp", "d.TIF"]
    assert {(entry["height"], entry["width"]) for entry in images.values()} == {(HEIGHT, WIDTH)}
    for stem in "abcd":
        with Image.open(tmp_path / "found" / f"{stem}.jpg") as drawn:
            assert drawn.width > drawn.height
    assert "left out of the folders: 3 .txt, 1 .json, 1 sub-folders, 1 without a suffix" in said.err
    assert "--recursive looks into sub-folders" in said.err


def test_sub_folders_and_pixels_as_they_are_stored(call, workdir, photos, tmp_path):
    flags = (f"--workdir={workdir}", "--recursive", "--noupright", "--nopictures")
    said, images = predict(call, photos, tmp_path, *flags)
    assert sorted(images) == ["a.jpg", "b.png", "c.webp", "d.TIF", "more/e.png"]
    assert [images[name]["height"] for name in sorted(images)[:4]] == [WIDTH] * 3 + [HEIGHT]
    assert "sub-folders" not in said.err
    assert "3 .txt" in said.err


def test_the_runs_setting_counts(call, workdir, photos, tmp_path):
    flags = (f"--workdir={workdir}", "--set=data.upright=false", "--nopictures")
    _, images = predict(call, photos, tmp_path, *flags)
    assert images["a.jpg"]["height"] == WIDTH


def test_the_runs_setting_goes_with_its_weights_and_its_export(call, workdir, photos, tmp_path):
    run = tmp_path / "stored"
    shutil.copytree(workdir, run, ignore=shutil.ignore_patterns("checkpoints", "events", "export"))
    content = json.loads((run / "experiment.json").read_text())
    content["data"]["upright"] = False
    (run / "experiment.json").write_text(json.dumps(content))
    _, images = predict(call, photos, tmp_path, f"--weights={run}", "--nopictures")
    assert images["a.jpg"]["height"] == WIDTH
    _, images = predict(call, photos, tmp_path, f"--weights={run}", "--set=data.upright=true", "--nopictures")
    assert images["a.jpg"]["height"] == HEIGHT
    said = call("export", f"--weights={run}", f"--output={tmp_path / 'export'}")
    assert said.status == 0, said.err
    model = f"--model={tmp_path / 'export'}"
    _, images = predict(call, photos, tmp_path, model, "--nopictures")
    assert images["a.jpg"]["height"] == WIDTH
    _, images = predict(call, photos, tmp_path, model, "--upright", "--nopictures")
    assert images["a.jpg"]["height"] == HEIGHT


def test_broken_records_of_a_data_set_can_be_left_out(call, workdir, dataset, tmp_path):
    content = json.loads((dataset / "instances_val.json").read_text())
    content["annotations"][0]["bbox"] = None
    del content["annotations"][0]["segmentation"]
    (dataset / "instances_val.json").write_text(json.dumps(content))
    flags = (f"--workdir={workdir}", f"--dataset_dir={dataset}", f"--output={tmp_path / 'found'}")
    flags = (*flags, "--nopictures")
    said = call("predict", *flags)
    assert said.status == 1
    assert "bbox is None" in said.err
    assert "--set data.skip_broken=true" in said.err
    said = call("predict", *flags, "--set=data.skip_broken=true")
    assert said.status == 0, said.err
    assert "bbox is None" in said.err
    found = json.loads((tmp_path / "found" / "detections.json").read_text())["images"]
    left_out = content["annotations"][0]["image_id"]
    assert [image["id"] for image in found] == [i["id"] for i in content["images"] if i["id"] != left_out]
