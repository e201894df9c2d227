"""PASCAL VOC's files: read, written, and refused with the place that is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.formats.voc import (
    CLASSES,
    VocDetections,
    read_measured,
    read_objects,
    read_results,
    write_results,
)

ANNOTATION = """\
<annotation>
  <filename>000001.jpg</filename>
  <size><width>353</width><height>500</height><depth>3</depth></size>
  <object>
    <name>dog</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult>
    <bndbox><xmin>48</xmin><ymin>240</ymin><xmax>195</xmax><ymax>371</ymax></bndbox>
  </object>
  <object>
    <name>person</name><difficult>1</difficult>
    <bndbox><xmax>352</xmax><xmin>8.5</xmin><ymax>498</ymax><ymin>12</ymin></bndbox>
    <part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>
  </object>
  <object>
    <name>car</name>
    <bndbox><xmin>1</xmin><ymin>1</ymin><xmax>1</xmax><ymax>1</ymax></bndbox>
  </object>
</annotation>
"""


def devkit(folder, years=("VOC2007",), split="test", listed="000001\n000002\n", annotation=ANNOTATION):
    for year in years:
        for name in ("ImageSets/Main", "Annotations"):
            (folder / year / name).mkdir(parents=True)
        (folder / year / "ImageSets" / "Main" / f"{split}.txt").write_text(listed)
        (folder / year / "Annotations" / "000001.xml").write_text(annotation)
        (folder / year / "Annotations" / "000002.xml").write_text("<annotation></annotation>")
    return folder


def test_objects(tmp_path):
    images, objects = read_objects(devkit(tmp_path), "test")
    assert images == ("000001", "000002")
    assert objects.images.tolist() == ["000001"] * 3
    assert objects.classes.tolist() == ["dog", "person", "car"]
    # The first pixel is 1, the last is part of the box: one pixel is one wide.
    assert objects.boxes.tolist() == [[47, 239, 195, 371], [7.5, 11, 352, 498], [0, 0, 1, 1]]
    assert objects.difficult.tolist() == [False, True, False]


@pytest.mark.parametrize("place", ["", "VOC2007", "VOCdevkit"])
def test_where_the_devkit_may_be(tmp_path, place):
    devkit(tmp_path / "VOCdevkit" if place == "VOCdevkit" else tmp_path)
    given = tmp_path / place if place == "VOC2007" else tmp_path
    assert len(read_objects(given, "test")[1].boxes) == 3


def test_a_split_of_several_years_is_refused(tmp_path):
    devkit(tmp_path, ("VOC2007", "VOC2012"), "val")
    with pytest.raises(ValueError, match=r"split 'val' is in .*VOC2007, .*VOC2012; name one"):
        read_objects(tmp_path, "val")
    with pytest.raises(FileNotFoundError, match=r"no ImageSets/Main/test\.txt in"):
        read_objects(tmp_path, "test")
    assert len(read_objects(tmp_path / "VOC2012", "val")[0]) == 2


def test_a_split_without_objects(tmp_path):
    images, objects = read_objects(devkit(tmp_path, listed="\n000002 \n000002\n"), "test")
    assert images == ("000002",)
    assert objects.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("</annotation>", "", r"000001\.xml: not XML: "),
        ("<name>dog</name>", "", r"000001\.xml, object 0: name is missing"),
        ("<xmin>8.5</xmin>", "", r"000001\.xml, object 1: bndbox/xmin is missing"),
        ("<ymax>371</ymax>", "<ymax>low</ymax>", r"object 0: bndbox/ymax is 'low', expected a finite number"),
        ("<ymax>371</ymax>", "<ymax>inf</ymax>", r"object 0: bndbox/ymax is 'inf', expected a finite number"),
    ],
)
def test_broken_annotations(tmp_path, before, after, message):
    with pytest.raises(ValueError, match=message):
        read_objects(devkit(tmp_path, annotation=ANNOTATION.replace(before, after)), "test")


def test_an_image_without_annotation(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"000003\.xml: no such file, but the image is in the split"):
        read_objects(devkit(tmp_path, listed="000003\n"), "test")


def test_results_written_and_read(tmp_path):
    generator = np.random.default_rng(4)
    found = VocDetections(
        np.array(["000001", "2008_000002", "000001"]),
        np.array(["cat", "dog", "cat"]),
        generator.uniform(0, 300, (3, 4)).astype(np.float32),
        generator.uniform(size=3).astype(np.float32),
    )
    paths = write_results(tmp_path / "Main", "test", found)
    assert [path.name for path in paths] == [f"comp4_det_test_{name}.txt" for name in CLASSES]
    assert paths[0].read_bytes() == b""
    split, read = read_results(tmp_path)
    assert split == "test"
    order = [0, 2, 1]  # by class
    assert read.images.tolist() == found.images[order].tolist()
    assert read.classes.tolist() == ["cat", "cat", "dog"]
    np.testing.assert_array_equal(read.boxes, found.boxes[order])
    np.testing.assert_array_equal(read.scores, found.scores[order])


def test_a_box_of_one_pixel_is_written_as_its_number(tmp_path):
    found = VocDetections(np.array(["a"]), np.array(["cat"]), np.float32([[0, 4, 1, 5]]), np.ones(1))
    (path,) = write_results(tmp_path, "val", found, classes=("cat",))
    assert path.read_text() == "a 1.0 1.0 5.0 1.0 5.0\n"


def test_names_of_result_files(tmp_path):
    (tmp_path / "comp4_5f1c-9_det_val_2007_dog.txt").write_text("a 0.5 1 2 3 4\n")
    (tmp_path / "notes.txt").write_text("nothing")
    split, read = read_results(tmp_path)
    assert (split, read.classes.tolist()) == ("val_2007", ["dog"])
    (tmp_path / "comp4_det_test_dog.txt").write_text("")
    with pytest.raises(ValueError, match="expected the results of one split, got test, val_2007"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a 0.5 1 2 3 4\na 0.5 1 2 3\n",
            r"dog\.txt, line 2: expected 6 columns, got 5; they are image, score, xmin",
        ),
        ("a high 1 2 3 4\n", r"dog\.txt, line 1: score is 'high', expected a finite number"),
        ("a \xff 1 2 3 4\n", r"dog\.txt, line 1: score is '.*', expected a finite number"),
        ("a nan 1 2 3 4\n", r"dog\.txt, line 1: score is 'nan', expected a finite number"),
    ],
)
def test_broken_results(tmp_path, text, message):
    (tmp_path / "comp4_det_test_dog.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        read_results(tmp_path)


def test_results_and_their_ground_truth(tmp_path):
    devkit(tmp_path / "kit")
    (tmp_path / "comp4_det_test_dog.txt").write_text("000002 0.5 1 1 2 2\n")
    images, objects, detections = read_measured(tmp_path / "kit", tmp_path)
    assert (images, len(objects.boxes), len(detections.boxes)) == (("000001", "000002"), 3, 1)
    (tmp_path / "comp4_det_test_cat.txt").write_text("000007 0.5 1 1 2 2\n")
    with pytest.raises(
        ValueError, match=r"comp4_det_test_cat\.txt, line 1: image is '000007', expected one of the split"
    ):
        read_measured(tmp_path / "kit", tmp_path)


def test_no_results(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no comp4_det_<split>_<class>\.txt in"):
        read_results(tmp_path)
