"""YOLO's labels: descriptions, pictures without files, outlines, key points, and what is broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.sources.tools.plain_yaml import read_fields
from tests.data.sources import tool_samples
from tests.data.sources.tool_samples import SPLIT, write


@pytest.fixture
def folder(tmp_path):
    """Three pictures beside their labels; those of the second are the test's."""
    tree = {
        **tool_samples.pictures("images"),
        **tool_samples.yolo_labels("labels"),
        "classes.txt": "car\nperson\n",
    }
    return write(tmp_path, tree)


def second(folder: Path, text: str, **options):
    """Reads the data set with other labels of the second picture, of 40 x 60 pixels; gives that picture."""
    (folder / "labels" / "street_02.txt").write_text(text)
    dataset = read_dataset_dir(folder, "all", **options)
    return next(example for example in dataset.examples if example.path.endswith("street_02.jpg"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 0.5 0.5 0.5 0.5", "line 1: class is '2', expected a number from 0 to 1"),
        ("-1 0.5 0.5 0.5 0.5", "line 1: class is '-1'"),
        ("car 0.5 0.5 0.5 0.5", "line 1: class is 'car'"),
        (
            "0 .5 .5 .5 .5\n\n1 0.5 1.2 0.5 0.5\n",
            r"line 3: y_center is 1\.2, expected a share .* from 0 to 1",
        ),
        ("0 20 30 20 30", "line 1: x_center is 20, expected a share"),
        ("0 0.5 0.5 -0.1 0.5", r"line 1: width is -0\.1"),
        ("0 0.5 0.5 0.5 nan", "line 1: height is 'nan', expected a finite number"),
        ("0 0.5 0.5 0,5 0.5", "line 1: width is '0,5'"),
        ("0 0.5 0.5 0.5", "line 1: has 4 values, expected class x_center y_center width height"),
        ("0 0.5 0.5 0.5 0.5 0.9", "line 1: has 6 values"),
        ("0 0.1 0.1 0.9 0.1 0.9 1.5", r"line 1: y3 is 1\.5"),
    ],
)
def test_what_is_broken_names_file_line_and_field(folder, text, message):
    with pytest.raises(ValueError, match=rf"labels/street_02\.txt: {message}"):
        second(folder, text)
    skipped = read_dataset_dir(folder, "all", skip_broken=True)
    assert [Path(example.path).stem for example in skipped.examples] == ["street_01", "street_03"]
    (line,) = skipped.broken
    assert line.startswith("labels/street_02.txt: line ")


def test_an_outline_is_a_mask_and_its_box(folder):
    example = second(folder, "1 0.25 0.25 0.75 0.25 0.5 0.75\n")
    np.testing.assert_allclose(example.boxes, [[10, 15, 30, 45]])
    for name in ("street_01", "street_03"):
        (folder / "labels" / f"{name}.txt").write_text("")
    (example,) = (e for e in read_dataset_dir(folder, "all", segmentations=True).examples if len(e.boxes))
    assert example.segmentations[0][0].tolist() == [10, 15, 30, 15, 20, 45]


def test_boxes_over_the_edge_are_clipped(folder):
    example = second(folder, "0 0.9 0.5 0.4 1.000001\n")
    np.testing.assert_allclose(example.boxes, [[28, 0, 40, 60]])


def test_pictures_without_a_file_have_no_objects_and_are_counted(folder):
    (folder / "labels" / "street_02.txt").unlink()
    dataset = read_dataset_dir(folder, "all")
    assert [len(example.boxes) for example in dataset.examples] == [2, 0, 0]
    assert "; 1 have no file of labels and count as pictures without objects" in dataset.notes[0]


def test_the_first_pictures_may_have_no_objects(tmp_path):
    names = [f"p{number:02d}" for number in range(12)]
    for name in names:
        write(tmp_path, {f"images/{name}.jpg": tool_samples.Picture("street_01"), f"labels/{name}.txt": ""})
    write(tmp_path, {"labels/p11.txt": tool_samples.yolo_lines("street_01"), "classes.txt": "car\nperson\n"})
    dataset = read_dataset_dir(tmp_path, "all")
    assert [len(example.boxes) for example in dataset.examples] == [0] * 11 + [2]


def test_sizes_are_not_said_to_be_missing(folder):
    notes = read_dataset_dir(folder, "all").notes
    assert notes == ("reading YOLO's labels of 3 pictures, classes of classes.txt",)


def test_key_points_are_passed_over(folder):
    (folder / "pose.yaml").write_text("train: images\nval: images\nkpt_shape: [3, 2]\nnames: [car, person]\n")
    example = second(folder, "1 0.5 0.5 0.5 0.5 0.1 0.1 0.2 0.2 0.3 0.3\n")
    np.testing.assert_allclose(example.boxes, [[10, 15, 30, 45]])


def test_shares_are_of_the_upright_picture(folder):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (60, 40)).save(folder / "images" / "street_02.jpg", exif=exif)
    example = second(folder, tool_samples.yolo_lines("street_02"))
    assert (example.width, example.height) == (40, 60)
    np.testing.assert_allclose(example.boxes, [[10, 15, 30, 45]], atol=1e-4)


def test_classes_that_no_file_names(folder):
    (folder / "classes.txt").unlink()
    with pytest.raises(ValueError, match=r"no file names the classes; expected one classes\.txt"):
        read_dataset_dir(folder, "all")
    write(folder, {"labels/classes.txt": "car\nperson\n", "obj.names": "person\ncar\n"})
    with pytest.raises(ValueError, match=r"found obj\.names, labels/classes\.txt, which differ"):
        read_dataset_dir(folder, "all")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: images\nnames: [car, person]\nnc: 3\n", "nc is '3', but names has 2 classes"),
        ("train: images\nnames: [car, car]\n", "names has 'car' twice"),
        ("train: images\nnames:\n  0: car\n  2: person\n", "names has the keys 0, 2, expected 0, 1, 2"),
        ("train: images\nnames:\n", "names is None"),
        ("train: images\nnames: [car, [person]]\n", "line 2: names: expected texts between commas"),
        ("train: images\nnames: {0: car\n", "line 2: names: expected '}' at the end"),
        (
            "train: other/place\nnames: [car, person]\n",
            "train is 'other/place', which is no folder and no list",
        ),
    ],
)
def test_broken_descriptions(folder, text, message):
    (folder / "data.yaml").write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=f"data.yaml: .*{message}"):
        read_dataset_dir(folder, "train")


def test_where_paths_of_a_description_lead(folder):
    """A path may begin on another machine; a folder that is not there is not replaced by another."""
    for path, train in (
        ("/content/set", "images"),
        ("../datasets/set", "images"),
        (".", "/home/x/set/images"),
    ):
        (folder / "data.yaml").write_text(
            f"path: {path}\ntrain: {train}\ntest: ../test/images\nnames: [a, b]\n"
        )
        assert len(read_dataset_dir(folder, "train").examples) == 3
        with pytest.raises(FileNotFoundError, match=r"test is '\.\./test/images', which is no folder"):
            read_dataset_dir(folder, "test")


def test_a_description_may_be_given_itself(folder):
    for name, order in (("a.yaml", "[car, person]"), ("b.yaml", "[person, car]")):
        (folder / name).write_text(f"train: images\nval: images\nnames: {order}\n")
    with pytest.raises(ValueError, match=r"found 2 descriptions: a\.yaml, b\.yaml; expected one"):
        read_dataset_dir(folder, "train")
    assert read_dataset_dir(folder / "b.yaml", "train").class_names == ("person", "car")


def test_nothing_outside_of_the_folder_is_read(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    write(outside, tool_samples.pictures("pictures"))
    (folder / "data.yaml").write_text(f"train: {outside}/pictures\nnames: [car, person]\n")
    with pytest.raises(FileNotFoundError, match="which is no folder and no list"):
        read_dataset_dir(folder, "train")


def test_a_split_without_labels(tmp_path):
    write(tmp_path, {**SPLIT["YOLO of Roboflow"][1](), **tool_samples.pictures("test/images")})
    test = read_dataset_dir(tmp_path, "test")
    assert not test.labelled
    assert len(test.examples) == 3


def test_lists_with_pictures_that_are_not_there(tmp_path):
    write(tmp_path, SPLIT["Ultralytics of CVAT"][1]())
    (tmp_path / "images" / "train" / "street_03.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"street_03\.jpg.*no such image file"):
        read_dataset_dir(tmp_path, "train")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: ['it''s', \"b \\\"c\\\"\", d e]  # all", ["it's", 'b "c"', "d e"]),
        ("names: [a,\n  'b, c',\n]\nnc: 2", ["a", "b, c"]),
        ("names:\n- a\n- 'b # c'\n- d # e", ["a", "b # c", "d"]),
        ("names:\n  # of all\n  0: a:b\n  1: 'c: d'\n\n  2: \"e\"", {"0": "a:b", "1": "c: d", "2": "e"}),
        ("\ufeffnames: {0: a, '1': b}", {"0": "a", "1": "b"}),
        ("x: |\n  names: [no]\n  y: &a *b\nnames: a\r\n", "a"),
    ],
)
def test_plain_yaml(text, names):
    assert read_fields(text, ("names",)) == {"names": names}


@pytest.mark.parametrize(
    "text", ["names: a\nnames: b", "names: &x [a]", "names:\n  - a\n    b", "names:\n  a\n  b: c"]
)
def test_what_is_no_plain_yaml_is_refused(text):
    with pytest.raises(ValueError, match=r"^line [12]: names"):
        read_fields(text, ("names",))
