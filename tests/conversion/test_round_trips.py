"""A data set that is written in another layout and read again is the same, as far as the layout can say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from cascade_tf.conversion import convert
from cascade_tf.conversion.pictures import place_picture
from cascade_tf.data.coco import read_coco, read_dataset_dir
from tests.data.small_dataset import content, content_with_masks, write_annotations, write_pictures
from tests.data.sources.samples import sample
from tests.data.sources.small_voc import Thing, write_year


@pytest.fixture
def folder(tmp_path) -> Path:
    """Five pictures; a crowd in image 11, and an ignored object with a fact of its own in image 14."""
    root = tmp_path / "data"
    root.mkdir()
    write_pictures(root / "images")
    annotations = content()
    annotations["annotations"][4] |= {"ignore": 1, "occluded": 2}
    write_annotations(root, annotations)
    return root


def read(folder: Path, split: str = "train", **settings):
    return read_dataset_dir(folder, split, **settings)


def assert_same(found, expected, *, atol: float = 0.0) -> None:
    assert found.class_names == expected.class_names
    assert len(found.examples) == len(expected.examples)
    for one, other in zip(found.examples, expected.examples, strict=True):
        assert (one.height, one.width) == (other.height, other.width)
        assert Path(one.path).read_bytes() == Path(other.path).read_bytes()
        np.testing.assert_allclose(one.boxes, other.boxes, rtol=0, atol=atol)
        np.testing.assert_array_equal(one.classes, other.classes)
        np.testing.assert_array_equal(one.crowd, other.crowd)
        np.testing.assert_array_equal(one.ignored, other.ignored)


def test_coco(folder, tmp_path):
    before = read(folder)
    assert convert({"train": before}, tmp_path / "out", "coco") == []
    after = read(tmp_path / "out")
    assert_same(after, before)
    assert after.categories == before.categories
    assert [one.image_id for one in after.examples] == [10, 11, 12, 13, 14]
    assert {key: after.ground_truth()["annotations"][4][key] for key in ("id", "ignore", "occluded")} == {
        "id": 5,
        "ignore": 1,
        "occluded": 2,
    }


def test_coco_with_masks(folder, tmp_path):
    write_annotations(folder, content_with_masks())
    before = read(folder, segmentations=True)
    convert({"train": before}, tmp_path / "out", "coco")
    after = read(tmp_path / "out", segmentations=True)
    assert_same(after, before)
    assert after.ground_truth() == before.ground_truth()
    api = COCO(str(tmp_path / "out" / "instances_train.json"))
    for record in api.anns.values():
        assert api.annToMask(record).sum() == record["area"]


@pytest.mark.parametrize("layout", ["voc", "yolo", "kitti"])
def test_lost_masks_are_told(folder, tmp_path, layout):
    annotations = content_with_masks()
    for category, name in zip(annotations["categories"], ("Car", "Cyclist"), strict=True):
        category["name"] = name
    write_annotations(folder, annotations)
    lost = convert({"train": read(folder)}, tmp_path / "out", layout)
    assert lost[-1] == "4 masks are left out"


def test_ids_that_tools_cannot_tell_apart_are_numbered(folder, tmp_path):
    annotations = content()
    for record in annotations["annotations"]:
        record["id"] = 0
    write_annotations(folder, annotations)
    convert({"train": read(folder)}, tmp_path / "out", "coco")
    written = json.loads((tmp_path / "out" / "instances_train.json").read_text())
    assert [record["id"] for record in written["annotations"]] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("pictures", "links"), [("link", True), ("copy", False)])
def test_pictures_are_links_or_copies(folder, tmp_path, pictures, links):
    for _ in range(2):  # what an earlier conversion wrote is replaced
        convert({"train": read(folder)}, tmp_path / "out", "coco", pictures=pictures)
    files = sorted((tmp_path / "out" / "images").iterdir())
    assert [file.name for file in files] == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    assert [file.is_symlink() for file in files] == 5 * [links]
    assert files[0].read_bytes() == (folder / "images" / "a.png").read_bytes()


def test_pictures_may_stay_where_they_are(folder, tmp_path):
    before = read(folder)
    convert({"train": before}, tmp_path / "out", "coco", pictures="none")
    assert not (tmp_path / "out" / "images").exists()
    assert_same(read_coco(tmp_path / "out" / "instances_train.json", folder / "images"), before)


@pytest.mark.parametrize("pictures", ["link", "copy", "none"])
def test_a_data_set_is_not_written_over_itself(folder, pictures):
    before = (folder / "instances_train.json").read_text()
    for target in (folder, folder / "images"):
        with pytest.raises(ValueError, match="is a folder of the data set itself, expected another one"):
            convert({"train": read(folder)}, target, "coco", pictures=pictures)
    assert (folder / "instances_train.json").read_text() == before


@pytest.mark.parametrize("way", ["link", "copy"])
def test_a_picture_is_not_written_over_itself(folder, way):
    picture = folder / "images" / "a.png"
    with pytest.raises(ValueError, match="is the picture itself, expected another folder"):
        place_picture(str(picture), picture, way)
    assert picture.stat().st_size


def test_voc(folder, tmp_path):
    before = read(folder)
    lost = convert({"train": before, "val": before}, tmp_path / "out", "voc")
    # Both splits are the same pictures, which have one file.
    assert len(list((tmp_path / "out" / "Annotations").iterdir())) == 5
    assert lost == ["2 crowds and regions are difficult objects: the layout knows no regions"]
    after = read(tmp_path / "out", layout="voc")
    assert after.class_names == ("cat", "dog")
    names = [[after.class_names[i - 1] for i in one.classes] for one in after.examples]
    assert names == [["cat"], ["dog", "cat"], ["dog"], [], ["dog"]]
    for one, other in zip(after.examples, before.examples, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.ignored, other.ignored | other.crowd)
    text = (tmp_path / "out" / "Annotations" / "b.xml").read_text()
    # Continuous edges 4.5, 8, 20.5, 16.
    for field in ("<xmin>5.5", "<ymin>9<", "<xmax>20.5<", "<ymax>16<"):
        assert field in text


def test_voc_to_coco_keeps_what_is_difficult(tmp_path):
    things = {
        "000001": [
            Thing("cat", (1, 1, 10, 10), {"difficult": 1, "truncated": 1}),
            Thing("dog", (11, 11, 30, 20)),
        ],
        "000007": [],
    }
    voc = write_year(tmp_path / "voc", {"train": ["000001", "000007"]}, things)
    before = read(voc)
    convert({"train": before}, tmp_path / "coco", "coco")
    after = read(tmp_path / "coco")
    assert_same(after, before)
    assert [one.image_id for one in after.examples] == [1, 7]
    assert after.ground_truth()["annotations"][0]["truncated"] == 1
    learnt = read(tmp_path / "coco", learn_difficult=True)
    assert not learnt.examples[0].ignored.any()
    # And back.
    convert({"train": after}, tmp_path / "back", "voc")
    assert_same(read(tmp_path / "back", layout="voc"), before)
    assert (tmp_path / "back" / "ImageSets" / "Main" / "train.txt").read_text() == "000001\n000007\n"


def test_yolo(folder, tmp_path):
    lost = convert({"train": read(folder)}, tmp_path / "out", "yolo")
    (line,) = lost
    assert line.startswith("2 crowds and ignored objects are left out, since the layout knows none")
    labels = tmp_path / "out" / "labels" / "train"
    # Box 10, 5, 20, 30 of a picture of 60 x 40; the class of id 7 is the second.
    assert (labels / "a.txt").read_text() == "1 0.3333333333 0.5000000000 0.3333333333 0.7500000000\n"
    assert (labels / "d.txt").read_text() == (labels / "e.txt").read_text() == ""
    assert (tmp_path / "out" / "images" / "train" / "e.png").is_file()
    description = (tmp_path / "out" / "data.yaml").read_text()
    assert description == 'path: .\ntrain: images/train\nnames:\n  0: "dog"\n  1: "cat"\n'


def test_yolo_has_the_same_boxes(folder, tmp_path):
    before = read(folder)
    convert({"train": before}, tmp_path / "out", "yolo")
    for one in before.examples:
        text = (tmp_path / "out" / "labels" / "train" / f"{Path(one.path).stem}.txt").read_text()
        rows = np.array(text.split(), float).reshape(-1, 5)
        center, sides = rows[:, 1:3] * (one.width, one.height), rows[:, 3:] * (one.width, one.height)
        wanted = ~(one.crowd | one.ignored)
        boxes = np.concatenate([center - sides / 2, center + sides / 2], axis=1)
        np.testing.assert_allclose(boxes, one.boxes[wanted], atol=1e-5)
        np.testing.assert_array_equal(rows[:, 0] + 1, one.classes[wanted])


KITTI_LABELS = """\
Car 0.25 1 1.55 10.25 5.50 40.75 30.00 1.5 1.6 3.7 1 1.7 20 1.6
Van 0.00 0 1.55 1.00 5.50 9.75 30.00 1.5 1.6 3.7 1 1.7 20 1.6
DontCare -1 -1 -10 50.5 0 59.5 10 -1 -1 -1 -1000 -1000 -1000 -10
"""


@pytest.fixture
def kitti(tmp_path, folder) -> Path:
    training = tmp_path / "kitti" / "training"
    (training / "label_2").mkdir(parents=True)
    (training / "image_2").mkdir()
    (training / "image_2" / "000003.png").write_bytes((folder / "images" / "a.png").read_bytes())
    (training / "label_2" / "000003.txt").write_text(KITTI_LABELS)
    return tmp_path / "kitti"


def test_kitti(kitti, tmp_path):
    before = read(kitti, "all")
    assert convert({"train": before}, tmp_path / "out", "kitti") == []
    after = read(tmp_path / "out", "train", layout="kitti")
    assert_same(after, before)
    records = after.ground_truth()["annotations"]
    assert [record["type"] for record in records[:3]] == ["Car", "Van", "DontCare"]
    assert (records[0]["truncated"], records[0]["occluded"]) == (0.25, 1)


def test_kitti_to_coco_has_a_region_for_each_class(kitti, tmp_path):
    before = read(kitti, "all")
    convert({"train": before}, tmp_path / "coco", "coco")
    one, other = before.examples[0], read(tmp_path / "coco").examples[0]
    np.testing.assert_array_equal(other.boxes, np.concatenate([one.boxes, one.boxes[2:], one.boxes[2:]]))
    assert other.classes.tolist() == [1, 1, 1, 2, 3]
    assert other.crowd.tolist() == [False, False, True, True, True]
    assert other.ignored.tolist() == [False, True, False, False, False]
    # Back in KITTI's layout it is one region again.
    convert({"train": read(tmp_path / "coco")}, tmp_path / "back", "kitti")
    assert_same(read(tmp_path / "back", layout="kitti"), before)


def test_kitti_has_classes_of_its_own(folder, tmp_path):
    with pytest.raises(
        ValueError, match="class 'dog': is none of KITTI's, expected Car, Pedestrian, Cyclist"
    ):
        convert({"train": read(folder)}, tmp_path / "out", "kitti")


def test_splits_get_the_classes_of_all(folder, tmp_path):
    other = content()
    other["categories"] = [{"id": 3, "name": "cow"}, {"id": 7, "name": "dog"}]
    (folder / "instances_val.json").write_text(json.dumps(other))
    convert({"train": read(folder), "val": read(folder, "val")}, tmp_path / "out", "coco")
    written = json.loads((tmp_path / "out" / "instances_val.json").read_text())
    assert [(one["id"], one["name"]) for one in written["categories"]] == [(3, "dog"), (7, "cat"), (8, "cow")]
    # What was 7, dog, and 3, cow.
    assert [record["category_id"] for record in written["annotations"]] == [3, 8, 3, 8, 8]


def test_same_names_in_several_folders_stay_apart(tmp_path):
    voc = tmp_path / "kit"
    for year in ("VOC2007", "VOC2012"):
        write_year(voc / year, {"train": ["1"]}, {"1": [Thing("cat", (1, 1, 9, 9))]})
    before = read(voc)
    assert len({one.path for one in before.examples}) == 2
    for layout in ("coco", "voc"):
        convert({"train": before}, tmp_path / layout, layout)
        after = read(tmp_path / layout)
        assert [[after.class_names[i - 1] for i in one.classes] for one in after.examples] == [
            ["cat"],
            ["cat"],
        ]
        assert len({one.path for one in after.examples}) == 2


def test_names_with_spaces(folder, tmp_path):
    annotations = content()
    annotations["images"][0]["file_name"] = "in the garden.png"
    (folder / "images" / "a.png").rename(folder / "images" / "in the garden.png")
    write_annotations(folder, annotations)
    convert({"train": read(folder)}, tmp_path / "out", "voc")
    after = read(tmp_path / "out", layout="voc")
    assert [Path(one.path).name for one in after.examples][:2] == ["in_the_garden.png", "b.png"]


def test_images_without_labels(folder, tmp_path):
    annotations = content()
    del annotations["annotations"]
    (folder / "annotations").mkdir()
    (folder / "annotations" / "image_info_test.json").write_text(json.dumps(annotations))
    before = read(folder, "test")
    assert not before.labelled
    convert({"test": before}, tmp_path / "coco", "coco")
    after = read(tmp_path / "coco", "test")
    assert not after.labelled
    assert len(after.examples) == 5


@pytest.mark.parametrize("layout", ["coco", "voc"])
@pytest.mark.parametrize("name", ["voc_sample", "widerface_sample", "coco_mini"])
def test_real_samples(name, layout, tmp_path):
    split = "all" if name == "voc_sample" else "val"
    before = read(sample(name), split, skip_broken=True)
    convert({"val": before}, tmp_path / "out", layout)
    after = read(tmp_path / "out", "val")
    if layout == "coco":
        assert_same(after, before, atol=1e-4)
    else:
        for one, other in zip(after.examples, before.examples, strict=True):
            np.testing.assert_allclose(one.boxes, other.boxes, rtol=0, atol=1e-4)
            np.testing.assert_array_equal(one.ignored, other.ignored | other.crowd)


def test_a_layout_that_does_not_exist(folder, tmp_path):
    with pytest.raises(ValueError, match="layout: got 'tfrecord', expected one of coco, voc, yolo, kitti"):
        convert({"train": read(folder)}, tmp_path / "out", "tfrecord")


def test_a_folder_inside_the_data_set_is_not_written_over(tmp_path):
    folder = tmp_path / "VOCdevkit" / "VOC2007"
    write_year(folder, {"val": ["a"]}, {"a": [Thing("cat", (2, 3, 20, 30))]}, size=(64, 48))
    file = folder / "Annotations" / "a.xml"
    before = file.read_bytes()
    with pytest.raises(ValueError, match="is a folder of the data set itself"):
        convert({"val": read_dataset_dir(tmp_path / "VOCdevkit", "val")}, folder, "voc", pictures="none")
    assert file.read_bytes() == before


@pytest.mark.parametrize("layout", ["voc", "yolo", "kitti"])
def test_two_images_of_one_file_have_no_place_in_layouts_of_files(layout, tmp_path):
    boxes = ([1, 2, 10, 12], [20, 2, 10, 12])
    images = [{"id": i, "file_name": "a.png", "width": 64, "height": 48} for i in (1, 2)]
    objects = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": box, "area": 120, "iscrowd": 0}
        for i, box in enumerate(boxes, start=1)
    ]
    content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "Car"}]}
    (tmp_path / "images").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "images" / "a.png")
    (tmp_path / "instances_val.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"val: images 1 and 2 are one file, a\.png, expected"):
        convert({"val": read_dataset_dir(tmp_path, "val")}, tmp_path / "new", layout)
    assert not list((tmp_path / "new").glob("**/*.txt"))
