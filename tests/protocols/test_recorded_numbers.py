"""Published numbers of detectors come out of the data sets in memory, too.

The pictures of the benchmarks are not at hand; empty ones have their names.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from cascade_tf.coco_format.results_file import load_results_file
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.formats.kitti import read_results as read_kitti
from cascade_tf.formats.voc import read_results
from cascade_tf.formats.widerface import SETTINGS, read_detections
from cascade_tf.protocols.choice import choose_protocol
from tests.data.sources.samples import sample
from tests.metrics.oracles import oracle

EXACT = 1e-12


@pytest.fixture
def blank(tmp_path):
    """Puts a picture of 2048 x 1024 pixels in a place."""
    source = tmp_path / "blank.png"
    Image.new("L", (2048, 1024)).save(source)

    def put(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(source)

    return put


def box(corners):
    x1, y1, x2, y2 = map(float, corners)
    return [x1, y1, x2 - x1, y2 - y1]


def test_citypersons(tmp_path, blank):
    pytest.importorskip("scipy")
    shutil.copy(oracle("citypersons") / "anno_val.mat", tmp_path)
    for image in json.loads((oracle("citypersons") / "val_gt.json").read_text())["images"]:
        city = image["im_name"].split("_")[0]
        blank(tmp_path / "leftImg8bit" / "val" / city / image["im_name"])
    protocol = choose_protocol(read_dataset_dir(tmp_path, "val"))
    found = load_results_file(oracle("citypersons_real") / "csp_normal_val_dt.json")
    numbers = protocol.measure(found, range(1, 501)).numbers()
    (line,) = [
        line.split()
        for line in (oracle("citypersons_real") / "expected.txt").read_text().splitlines()
        if line.startswith("csp_normal")
    ]
    recorded = {"reasonable": line[2], "reasonable_small": line[4], "heavy": line[6], "all": line[8]}
    recorded |= {"bare": line[10], "partial": line[12], "heavy_csp": line[14]}
    assert {name: f"{numbers[f'citypersons/MR/{name}']:.10f}" for name in recorded} == recorded


@pytest.mark.slow
def test_widerface(tmp_path, blank):
    pytest.importorskip("scipy")
    for archive in (oracle("widerface") / "detections").glob("*.tar.gz"):
        with tarfile.open(archive) as tar:
            tar.extractall(tmp_path, filter="data")
    truth = oracle("widerface") / "ground_truth"
    (tmp_path / "wider_face_split").mkdir()
    shutil.copy(truth / "wider_face_val.mat", tmp_path / "wider_face_split")
    for file in (tmp_path / "widerface_txt").glob("*/*.txt"):
        blank(tmp_path / "WIDER_val" / "images" / file.parent.name / f"{file.stem}.jpg")
    dataset = read_dataset_dir(tmp_path, "val")
    assert len(dataset.examples) == 3226
    names = {example.image_id: Path(example.path) for example in dataset.examples}
    images = [(path.parent.name, path.stem) for path in names.values()]
    found = [
        {"image_id": image_id, "category_id": 1, "bbox": box(corners), "score": float(score)}
        for image_id, (boxes, scores) in zip(
            names, read_detections(tmp_path / "widerface_txt", images), strict=True
        )
        for corners, score in zip(boxes, scores, strict=True)
    ]
    protocol = choose_protocol(dataset, ground_truth=str(truth))
    numbers = protocol.benchmark(found, list(names)).numbers
    recorded = json.loads((oracle("widerface") / "expected.json").read_text())["retinaface_mobilenet025"]
    for iou, name in (("0.50", "AP"), ("0.75", "AP75")):
        measured = [numbers[f"{name}/{setting}"] / 100 for setting in SETTINGS]
        assert measured == pytest.approx(recorded[iou], abs=EXACT)


@pytest.mark.parametrize(("name", "key"), [("voc2007", "iou0.50_voc07_11pt"), ("voc2010", "iou0.50_area")])
def test_voc(tmp_path, blank, name, key):
    year = sample("voc_sample") / "VOCdevkit" / "VOC2012"
    for part in ("Annotations", "ImageSets"):
        shutil.copytree(year / part, tmp_path / "VOC2012" / part)
    for file in (year / "Annotations").iterdir():
        blank(tmp_path / "VOC2012" / "JPEGImages" / f"{file.stem}.jpg")
    dataset = read_dataset_dir(tmp_path, "val100")
    _, detections = read_results(oracle("voc") / "real100" / "dets_real")
    image_ids = {Path(example.path).stem: example.image_id for example in dataset.examples}
    category_ids = dict(zip(dataset.class_names, dataset.category_ids, strict=True))
    found = [
        {
            "image_id": image_ids[image],
            "category_id": category_ids[kind],
            "bbox": box(corners),
            "score": float(score),
        }
        for image, kind, corners, score in zip(*detections, strict=True)
    ]
    numbers = choose_protocol(dataset, name).measure(found, list(image_ids.values())).benchmark.numbers
    recorded = json.loads((oracle("voc") / "real100" / "expected.json").read_text())["real"][key]
    expected = {"mAP": recorded["mAP"], **{f"AP/{kind}": ap for kind, ap in recorded["per_class"].items()}}
    assert {number: value / 100 for number, value in numbers.items()} == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize(("rule", "name"), [(2016, "old"), (2017, "new")])
def test_kitti(tmp_path, blank, rule, name):
    with tarfile.open(oracle("kitti") / "kittibox_val.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "training").mkdir()
    (tmp_path / "val_gt").rename(tmp_path / "training" / "label_2")
    for file in (tmp_path / "val_pred").glob("*.txt"):
        blank(tmp_path / "training" / "image_2" / f"{file.stem}.png")
    (tmp_path / "ImageSets").mkdir()
    frames = sorted(file.stem for file in (tmp_path / "val_pred").glob("*.txt"))
    (tmp_path / "ImageSets" / "val.txt").write_text("\n".join(frames))
    dataset = read_dataset_dir(tmp_path, "val")
    category_ids = dict(zip(dataset.class_names, dataset.category_ids, strict=True))
    found = [
        {
            "image_id": int(frame),
            "category_id": category_ids[kind],
            "bbox": box(corners),
            "score": float(score),
        }
        for frame in frames
        for kind, corners, score in zip(*read_kitti(tmp_path / "val_pred" / f"{frame}.txt"), strict=True)
        if kind in category_ids
    ]
    image_ids = [example.image_id for example in dataset.examples]
    # Some boxes are turned inside out, which COCO's protocol refuses.
    numbers = choose_protocol(dataset, kitti_rule=rule).benchmark(found, image_ids).numbers
    recorded = json.loads((oracle("kitti") / "expected.json").read_text())[name]["car"]
    for level, averages in recorded.items():
        for average, expected in averages.items():
            # The figures were computed from precisions of six digits.
            assert numbers[f"car/{average}/{level}"] == pytest.approx(expected, abs=1e-4)
