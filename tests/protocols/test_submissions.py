"""Files for benchmarks' servers: by the rules of each, and a reader of them gets what was detected."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

from cascade_tf.data.class_matching import match_classes
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.formats import kitti as kitti_files
from cascade_tf.formats import voc as voc_files
from cascade_tf.formats import widerface as widerface_files
from cascade_tf.prediction.inference import to_coco_results
from cascade_tf.protocols.submissions import submission as common
from cascade_tf.protocols.submissions.choice import check_submission, write_submission
from tests.data.sources.small_voc import Thing, write_year
from tests.protocols.layouts import draw, made_up_detections


def submit(dataset, folder, records=None, **settings):
    records = made_up_detections(dataset) if records is None else records
    ids = [record.image_id for record in records]
    return records, write_submission(dataset, to_coco_results(records), ids, folder, **settings)


@pytest.fixture
def unlabelled(tmp_path):
    """COCO's list of test images, without annotations."""
    images = [{"id": 7 * i, "file_name": f"{7 * i:012d}.jpg", "width": 320, "height": 240} for i in (1, 2, 3)]
    for image in images:
        draw(tmp_path / "coco" / "test2017" / image["file_name"])
    categories = [{"id": 3, "name": "car"}, {"id": 90, "name": "toothbrush"}]
    file = tmp_path / "coco" / "annotations" / "image_info_test-dev2017.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"images": images, "categories": categories}))
    return read_dataset_dir(tmp_path / "coco", "test-dev")


def test_coco(unlabelled, tmp_path):
    records, written = submit(unlabelled, tmp_path / "out", name="Cascade_R-CNN")
    (path,) = written.paths
    assert path == tmp_path / "out" / "detections_test-dev2017_Cascade_R-CNN_results.json"
    content = json.loads(path.read_text())
    assert content == to_coco_results(records)
    assert {one["image_id"] for one in content} <= {7, 14, 21}
    assert {one["category_id"] for one in content} == {3, 90}
    assert written.notes == ("COCO test-dev2017 has 20,288 images, and 3 are here: a server wants them all",)


def test_coco_wants_the_ids_of_its_own_file(unlabelled, tmp_path):
    classes = ["toothbrush", "unicorn", "car"]
    dataset = match_classes(unlabelled, classes, [1, 2, 3])
    records, written = submit(dataset, tmp_path / "out")
    names = {90: "toothbrush", 3: "car"}
    content = json.loads(written.paths[0].read_text())
    assert [names[one["category_id"]] for one in content] == [
        name for record in records for name in record.names if name != "unicorn"
    ]
    assert "benchmark does not know is left out: unicorn" in written.notes[0]


def test_coco_with_masks_has_two_files(unlabelled, tmp_path):
    records = made_up_detections(unlabelled)
    masks = [np.zeros((len(record.scores), 240, 320), bool) for record in records]
    for some in masks:
        some[:, 10:20, 10:30] = True
    records = [record._replace(masks=mask) for record, mask in zip(records, masks, strict=True)]
    _, written = submit(unlabelled, tmp_path / "out", records)
    boxes, segmentations = written.paths
    assert [path.parent.name for path in written.paths] == ["bbox", "segm"]
    assert boxes.name == segmentations.name
    fields = {"image_id", "category_id", "score"}
    assert all(one.keys() == fields | {"bbox"} for one in json.loads(boxes.read_text()))
    assert all(one.keys() == fields | {"segmentation"} for one in json.loads(segmentations.read_text()))


def test_kitti_has_a_file_for_every_frame_of_the_test_set(kitti, tmp_path):
    for frame in ("000000", "000003", "000004"):
        draw(kitti.folder / "testing" / "image_2" / f"{frame}.png")
    dataset = read_dataset_dir(kitti.folder, "test")
    assert not dataset.labelled
    records = made_up_detections(dataset)
    records[1] = records[1]._replace(
        **{name: getattr(records[1], name)[:0] for name in ("boxes", "scores", "classes", "category_ids")},
        names=(),
    )
    _, written = submit(dataset, tmp_path / "out", records)
    assert [path.name for path in written.paths] == ["000000.txt", "000003.txt", "000004.txt"]
    assert written.paths[1].read_text() == ""
    for path, record in zip(written.paths, records, strict=True):
        read = kitti_files.read_results(path)
        order = np.argsort(-record.scores, kind="stable")
        np.testing.assert_array_equal(read.types, np.array(record.names, str)[order])
        np.testing.assert_allclose(read.boxes, record.boxes[order], atol=1e-6)
        np.testing.assert_array_equal(read.scores.astype(np.float32), record.scores[order])
    assert written.notes == ("KITTI testing has 7,518 images, and 3 are here: a server wants them all",)


def test_an_image_that_was_not_looked_at_has_an_empty_file_and_a_line(kitti, tmp_path):
    dataset = read_dataset_dir(kitti.folder, kitti.split)
    records = made_up_detections(dataset)[1:]
    _, written = submit(dataset, tmp_path / "out", records)
    assert len(written.paths) == len(dataset.examples)
    assert written.paths[0].read_text() == ""
    assert written.notes == ("1 image was not looked at and is written as without detections",)


def test_other_classes_and_other_files_are_told(kitti, tmp_path):
    dataset = read_dataset_dir(kitti.folder, kitti.split)
    records = made_up_detections(dataset)
    results = to_coco_results(records)
    categories = list(dataset.categories)
    categories[0] = dataclasses.replace(categories[0], name="Truck")
    dataset = dataclasses.replace(dataset, categories=tuple(categories))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "009999.txt").write_text("")
    written = write_submission(dataset, results, [r.image_id for r in records], tmp_path / "out")
    trucks = sum(one["category_id"] == categories[0].id for one in results)
    assert written.notes == (
        f"{trucks} detections of a class that the benchmark does not know are left out: Truck",
        f"{tmp_path / 'out'}: holds 1 other file, such as 009999.txt, that is not of this submission",
    )
    assert "Truck" not in "".join(path.read_text() for path in written.paths)


def test_voc_has_a_file_for_every_class_and_a_folder_for_every_year(voc, tmp_path):
    shutil.copytree(voc.folder / "VOC2007", voc.folder / "VOC2012")
    dataset = read_dataset_dir(voc.folder, "test")
    records, written = submit(dataset, tmp_path / "out")
    assert len(written.paths) == 2 * 20
    count = 0
    for year in ("VOC2007", "VOC2012"):
        folder = tmp_path / "out" / "results" / year / "Main"
        assert len(list(folder.iterdir())) == 20
        split, read = voc_files.read_results(folder)
        assert split == "test"
        count += len(read.scores)
    assert count == sum(len(record.scores) for record in records)


def test_voc_refuses_images_of_no_list(voc, tmp_path):
    dataset = read_dataset_dir(voc.folder, "all")
    with pytest.raises(ValueError, match="one list of VOC2007, got no list"):
        submit(dataset, tmp_path / "out")


def test_citypersons_without_labels(citypersons, tmp_path):
    for name in ("bonn/b_leftImg8bit.png", "berlin/a_leftImg8bit.png"):
        draw(citypersons.folder / "leftImg8bit" / "test" / name)
    dataset = read_dataset_dir(citypersons.folder, "test")
    records, written = submit(dataset, tmp_path / "out", name="mine")
    (path,) = written.paths
    assert path.name == "citypersons_test_mine.json"
    content = json.loads(path.read_text())
    assert {one["image_id"] for one in content} <= {1, 2}
    assert {one["category_id"] for one in content} == {1}
    assert len(content) == sum(len(record.scores) for record in records)


def test_widerface_has_a_file_for_every_image(widerface, tmp_path):
    dataset = read_dataset_dir(widerface.folder, widerface.split)
    records, written = submit(dataset, tmp_path / "out", made_up_detections(dataset)[:-1])
    assert [path.parent.name for path in written.paths] == ["0--Parade"] * 6
    assert written.paths[-1].read_text() == "0_Parade_5\n0\n"
    images = [("0--Parade", f"0_Parade_{i}") for i in range(5)]
    for record, (boxes, scores) in zip(
        records, widerface_files.read_detections(tmp_path / "out", images), strict=True
    ):
        order = np.argsort(-record.scores, kind="stable")
        np.testing.assert_allclose(boxes, record.boxes[order], atol=1e-4)
        assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("name", ["", "a b", "../up", "a/b", ".hidden"])
def test_names_that_no_file_can_have(unlabelled, tmp_path, name):
    with pytest.raises(ValueError, match="expected letters, digits"):
        submit(unlabelled, tmp_path / "out", name=name)


def test_a_file_that_reads_otherwise_is_no_submission(kitti, tmp_path, monkeypatch):
    dataset = read_dataset_dir(kitti.folder, kitti.split)

    def lossy(folder, frames):
        rounded = {name: one._replace(boxes=one.boxes.round()) for name, one in frames.items()}
        return kitti_files.write_results(folder, rounded)

    monkeypatch.setattr("cascade_tf.protocols.submissions.kitti.write_results", lossy)
    with pytest.raises(RuntimeError, match="reads as other detections"):
        submit(dataset, tmp_path / "out")


def test_another_number_of_detections_is_noticed(tmp_path):
    with pytest.raises(RuntimeError, match="reads as other detections"):
        common.require_same(tmp_path, (np.zeros((2, 4)), np.zeros((3, 4))))


@pytest.fixture
def own_voc(tmp_path):
    """One's own data in VOC's layout, with names of classes and lists that have a ``_`` in them."""
    things = {
        name: [Thing("traffic_light", (5, 6, 60, 80)), Thing("stop_sign", (70, 8, 90, 70))] for name in "ab"
    }
    write_year(tmp_path / "own", {"train_one": ["a"], "val_one": ["b"]}, things, size=(320, 240))
    return tmp_path / "own"


def test_voc_with_underscores_in_classes_and_another_list_in_the_folder(own_voc, tmp_path):
    for split in ("train_one", "val_one"):
        dataset = read_dataset_dir(own_voc, split)
        records, written = submit(dataset, tmp_path / "out")
        folder = written.paths[0].parent
        read = voc_files.read_results(folder, split)[1]
        assert sorted(read.classes.tolist()) == sorted(n for one in records for n in one.names)
    (line,) = written.notes
    assert "holds 2 other files" in line
    for path in folder.glob("*train_one*"):
        path.unlink()
    found = voc_files.read_measured(own_voc, folder)[2]
    assert set(found.classes.tolist()) <= {"traffic_light", "stop_sign"}


def test_voc_refuses_classes_that_no_file_can_be_named_after(own_voc):
    dataset = match_classes(read_dataset_dir(own_voc, "val_one"), ["stop_sign", "traffic_light"], [1, 2])
    categories = (dataclasses.replace(dataset.categories[0], name="stop/sign"), dataset.categories[1])
    with pytest.raises(ValueError, match="class 'stop/sign': expected a name that a file can have"):
        check_submission(dataclasses.replace(dataset, categories=categories))


def test_coco_refuses_a_detector_of_one_class_for_all(unlabelled):
    with pytest.raises(ValueError, match="a submission needs its classes, got a detector of object"):
        check_submission(match_classes(unlabelled, ["object"], [1]))


def test_citypersons_tells_of_images_that_were_not_looked_at(citypersons, tmp_path):
    dataset = read_dataset_dir(citypersons.folder, citypersons.split)
    _, written = submit(dataset, tmp_path / "out", made_up_detections(dataset)[2:])
    assert written.notes == ("2 images were not looked at and are written as without detections",)


def test_one_detection_of_another_class(kitti, tmp_path):
    dataset = read_dataset_dir(kitti.folder, kitti.split)
    categories = [dataclasses.replace(dataset.categories[0], name="Truck"), *dataset.categories[1:]]
    dataset = dataclasses.replace(dataset, categories=tuple(categories))
    found = next(
        one for one in to_coco_results(made_up_detections(dataset)) if one["category_id"] == categories[0].id
    )
    written = write_submission(dataset, [found], [example.image_id for example in dataset.examples], tmp_path)
    assert "1 detection of a class that the benchmark does not know is left out: Truck" in written.notes
