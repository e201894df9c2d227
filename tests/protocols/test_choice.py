"""Which protocol a data set is measured by, and what a data set lacks for another."""

from __future__ import annotations

import dataclasses
import json
import logging

import pytest
from PIL import Image

from cascade_tf.data.class_matching import as_one_class
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.protocols.choice import choose_protocol
from cascade_tf.protocols.protocol import MissingError, at_iou
from tests.protocols.layouts import write_voc

JUDGES = {
    "voc": ("voc2007/mAP", False),
    "kitti": ("kitti/mean/AP40/moderate", False),
    "citypersons": ("citypersons/MR/reasonable", True),
    "widerface": ("widerface/AP/hard", False),
}


def read(written, split=None):
    return read_dataset_dir(written.folder, split or written.split)


@pytest.fixture
def coco(tmp_path):
    """A data set of COCO's layout with one car."""
    (tmp_path / "coco" / "images").mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(tmp_path / "coco" / "images" / "a.png")
    car = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 10], "area": 100, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
        "annotations": [car],
        "categories": [{"id": 1, "name": "Car"}],
    }
    (tmp_path / "coco" / "instances_val.json").write_text(json.dumps(content))
    return read_dataset_dir(tmp_path / "coco", "val")


@pytest.mark.parametrize("layout", JUDGES)
def test_the_layout_chooses(layout, request):
    protocol = choose_protocol(read(request.getfixturevalue(layout)))
    assert (protocol.judge, protocol.lower_is_better) == JUDGES[layout]


def test_the_rule_is_told_beside_the_name_of_the_number(kitti, coco):
    for rule in (2016, 2017):
        assert choose_protocol(read(kitti), kitti_rule=rule).measured_by == f"the rule of {rule}"
    assert choose_protocol(coco).measured_by == ""


def test_coco_is_for_everything_else(coco):
    protocol = choose_protocol(coco)
    assert (protocol.name, protocol.judge, protocol.lower_is_better) == ("coco", "AP", False)


def test_years_of_voc(tmp_path):
    later = write_voc(tmp_path / "later", "VOC2012")
    assert choose_protocol(read(later, "trainval")).name == "voc2010"
    write_voc(tmp_path / "both", "VOC2007")
    both = write_voc(tmp_path / "both", "VOC2012")
    # All that is not 2007's test list is to train on.
    assert choose_protocol(read(both, "train")).name == "voc2010"
    assert choose_protocol(read(both, "train"), "voc2007").name == "voc2007"


@pytest.mark.parametrize(
    ("name", "lack"),
    [
        ("voc2007", "is not laid out as PASCAL VOC, whose XML files say which objects are difficult"),
        ("kitti", "is not laid out as KITTI, whose label_2 says"),
        ("citypersons", "is not laid out as CityPersons, whose annotations say how much"),
        ("widerface", "is not laid out as WIDER FACE, whose images belong to events"),
    ],
)
def test_a_protocol_of_another_layout_is_refused(coco, name, lack):
    with pytest.raises(MissingError) as error:
        choose_protocol(coco, name)
    text = str(error.value)
    assert text.startswith(f"{coco.annotation_file}: {lack}")
    assert text.endswith(f"which the protocol {name!r} needs")
    assert "\n" not in text


@pytest.mark.parametrize("layout", JUDGES)
def test_one_class_is_measured_by_coco(layout, request, caplog):
    dataset = as_one_class(read(request.getfixturevalue(layout)))
    with caplog.at_level(logging.WARNING, "absl"):
        assert choose_protocol(dataset).name == "coco"
    assert "class" in caplog.messages[-1]
    assert caplog.messages[-1].endswith("; COCO's is taken in its place")


@pytest.mark.parametrize("layout", ["voc", "widerface"])
def test_overlaps_are_not_dropped_where_coco_takes_the_place(layout, request):
    dataset = as_one_class(read(request.getfixturevalue(layout)))
    with pytest.raises(MissingError) as error:
        choose_protocol(dataset, ious=(0.75, 0.5))
    text = str(error.value)
    assert text.endswith(
        "; COCO's cannot take its place with evaluation.ious=0.75, 0.5, as its overlaps are fixed"
    )
    assert "\n" not in text


def test_faces_need_the_files_of_the_evaluation(widerface, tmp_path, caplog):
    moved = widerface.ground_truth.rename(tmp_path / "elsewhere")
    dataset = read(widerface)
    with caplog.at_level(logging.WARNING, "absl"):
        assert choose_protocol(dataset).name == "coco"
    assert "has no wider_hard_val.mat and others beside it in" in caplog.messages[-1]
    with pytest.raises(MissingError, match=r"\(evaluation\.ground_truth names another folder\), which the"):
        choose_protocol(dataset, "widerface")
    assert choose_protocol(dataset, ground_truth=str(moved)).name == "widerface"
    with pytest.raises(FileNotFoundError, match=r"nowhere/wider_face_val\.mat: no such \.mat file"):
        choose_protocol(dataset, ground_truth=str(tmp_path / "nowhere"))


def test_faces_of_other_images_are_not_measured(widerface):
    file = widerface.folder / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    file.write_text(file.read_text().replace("0_Parade_3", "0_Parade_9"))
    images = widerface.folder / "WIDER_val" / "images" / "0--Parade"
    (images / "0_Parade_3.jpg").rename(images / "0_Parade_9.jpg")
    with pytest.raises(MissingError, match=r"has 0--Parade/0_Parade_9, which is no image of the validation"):
        choose_protocol(read(widerface), "widerface")


def test_overlaps(citypersons, kitti, coco):
    protocol = choose_protocol(read(citypersons), ious=(0.75, 0.6))
    assert protocol.judge == "citypersons/MR75/reasonable"
    assert set(protocol.measure([], [1]).benchmark.numbers) >= {"MR75/heavy", "MR60/heavy"}
    for dataset, name in ((read(kitti), "kitti"), (coco, "coco")):
        with pytest.raises(ValueError, match=rf"ious: got 0\.5, expected none: .* '{name}' are fixed"):
            choose_protocol(dataset, ious=(0.5,))
    assert at_iou("AP/hard", 0.5) == "AP/hard"
    assert at_iou("AP/hard", 0.625) == "AP62.5/hard"


def test_an_unknown_name(coco):
    with pytest.raises(ValueError, match=r"protocol: got 'lvis', expected auto, coco, voc2007,"):
        choose_protocol(coco, "lvis")


@pytest.mark.parametrize("layout", JUDGES)
def test_nothing_detected(layout, request):
    dataset = read(request.getfixturevalue(layout))
    protocol = choose_protocol(dataset)
    measured = protocol.measure([], [example.image_id for example in dataset.examples])
    assert measured.numbers()[protocol.judge] == (100.0 if layout == "citypersons" else 0.0)


def test_images_that_were_not_looked_at_do_not_count(kitti):
    dataset = read(kitti)
    example = dataset.examples[2]
    detections = [
        {
            "image_id": example.image_id,
            "category_id": int(kind),
            "bbox": [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()],
            "score": 0.9,
        }
        for box, kind, no_object in zip(
            example.boxes, example.classes, example.ignored | example.crowd, strict=True
        )
        if not no_object
    ]
    protocol = choose_protocol(dataset)
    alone = protocol.measure(detections, [example.image_id])
    among = protocol.measure(detections, [example.image_id, dataset.examples[0].image_id])
    assert alone.coco.summary["AP50"] == pytest.approx(1.0)
    assert among.coco.summary["AP50"] < 0.9
    hard = "mean/AP11/hard"
    assert alone.benchmark.numbers[hard] > among.benchmark.numbers[hard]


def test_a_detector_of_some_classes_is_measured_by_these(kitti):
    dataset = read(kitti)
    cars = dataclasses.replace(dataset, categories=dataset.categories[:1])
    numbers = choose_protocol(cars).benchmark([], [dataset.examples[0].image_id]).numbers
    assert {name.partition("/")[0] for name in numbers} == {"car", "mean"}
