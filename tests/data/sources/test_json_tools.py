"""VIA, CreateML, labelme, Datumaro and Pascal XML: their shapes, what names a class, and what is broken."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from cascade_tf.data.coco import read_coco, read_dataset_dir
from tests.data.sources import tool_samples
from tests.data.sources.tool_samples import WHOLE, write


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path, tool_samples.pictures("."))


def first_of(folder: Path, content: Any, name: str = "labels.json", **options):
    """Reads a file and gives the first picture."""
    (folder / name).write_text(json.dumps(content))
    return read_dataset_dir(folder, "all", **options).examples[0]


def refusal(folder: Path, content: Any, name: str = "labels.json") -> str:
    with pytest.raises(ValueError, match=r"labels|street_01") as error:
        first_of(folder, content, name)
    skipped = read_dataset_dir(folder, "all", skip_broken=True)
    assert not any(example.path.endswith("street_01.jpg") for example in skipped.examples)
    assert len(skipped.broken) == 1
    return str(error.value)


class TestVia:
    def content(self, **shape) -> dict:
        content = tool_samples.via_regions(2)
        content["street_01.jpg1204"]["regions"][0]["shape_attributes"] = shape
        return content

    def test_shapes(self, folder):
        circle = self.content(name="circle", cx=20, cy=20, r=8)
        np.testing.assert_allclose(first_of(folder, circle).boxes[0], [12, 12, 28, 28])
        ellipse = self.content(name="ellipse", cx=30, cy=24, rx=16, ry=4, theta=np.pi / 2)
        example = first_of(folder, ellipse, segmentations=False)
        np.testing.assert_allclose(example.boxes[0], [26, 8, 34, 40], atol=1e-4)
        polygon = self.content(name="polygon", all_points_x=[4, 30, 9], all_points_y=[8, 9, 40])
        np.testing.assert_allclose(first_of(folder, polygon).boxes[0], [4, 8, 30, 40])

    def test_a_circle_is_a_mask(self, folder):
        content = self.content(name="circle", cx=20, cy=20, r=8)
        del content["street_01.jpg1204"]["regions"][1], content["street_02.jpg1204"]
        (outline,) = first_of(folder, content, segmentations=True).segmentations[0]
        drawn = coco_mask.area(coco_mask.frPyObjects([outline.tolist()], 48, 64))[0]
        assert drawn == pytest.approx(np.pi * 64, rel=0.05)

    @pytest.mark.parametrize("shape", [{"name": "point", "cx": 1, "cy": 2}, {"name": "polyline"}, {}])
    def test_what_has_no_box_is_refused(self, folder, shape):
        message = refusal(folder, self.content(**shape))
        assert "labels.json['street_01.jpg1204']: regions[0]: shape_attributes.name is" in message
        assert "expected rect, circle, ellipse or polygon" in message

    def test_the_attribute_that_names_the_class(self, folder):
        content = tool_samples.via_regions(1)
        for record in content.values():
            for region in record["regions"].values():
                region["region_attributes"]["occluded"] = {"no": True, "yes": False}
        with pytest.raises(
            ValueError, match=r"attributes 'class', 'occluded', .*--set data\.class_attribute"
        ):
            first_of(folder, content)
        (folder / "labels.json").write_text(json.dumps(content))
        assert read_dataset_dir(folder, "all", class_attribute="class").class_names == ("car", "person")
        assert read_dataset_dir(folder, "all", class_attribute="occluded").class_names == ("no",)
        with pytest.raises(
            ValueError, match=r"region_attributes\.kind is None, expected the name of a class"
        ):
            read_dataset_dir(folder, "all", class_attribute="kind")

    def test_other_layouts_have_no_attributes(self, folder):
        (folder / "labels.json").write_text(json.dumps(tool_samples.create_ml()))
        with pytest.raises(ValueError, match="class_attribute is 'kind', but objects have one name alone"):
            read_dataset_dir(folder, "all", class_attribute="kind")


class TestCreateMl:
    def test_older_names_of_fields(self, folder):
        content = [
            {"imagefilename": record["image"], "annotation": record["annotations"]}
            for record in tool_samples.create_ml()
        ]
        np.testing.assert_allclose(first_of(folder, content).boxes, [[4, 8, 36, 40], [40, 10, 50, 34]])

    def test_what_is_broken(self, folder):
        content = tool_samples.create_ml()
        content[0]["annotations"][1]["coordinates"]["width"] = "wide"
        expected = "labels.json[0]: annotations[1]: coordinates.width is 'wide', expected a finite number"
        assert expected in refusal(folder, content)


class TestLabelme:
    def content(self, *shapes: dict) -> dict:
        content = tool_samples.labelme("street_01")
        content["shapes"] = [{**content["shapes"][0], **shape} for shape in shapes]
        return content

    def read(self, folder, *shapes, **options):
        (folder / "street_02.json").write_text(json.dumps(tool_samples.labelme("street_03", "street_02.jpg")))
        return first_of(folder, self.content(*shapes), "street_01.json", **options)

    def test_circle(self, folder):
        example = self.read(folder, {"shape_type": "circle", "points": [[20, 20], [26, 28]]})
        np.testing.assert_allclose(example.boxes, [[10, 10, 30, 30]])

    def test_mask(self, folder):
        bitmap = np.zeros((6, 9), bool)
        bitmap[1:5, 2:9] = True
        buffer = io.BytesIO()
        Image.fromarray(bitmap).save(buffer, "PNG")
        shape = {
            "shape_type": "mask",
            "points": [[10.0, 20.0], [18.0, 25.0]],
            "mask": base64.b64encode(buffer.getvalue()).decode(),
        }
        example = self.read(folder, shape, segmentations=True)
        np.testing.assert_allclose(example.boxes, [[12, 21, 19, 25]])
        pixels = np.zeros((48, 64), bool)
        pixels[20:26, 10:19] = bitmap
        run_lengths = read_dataset_dir(folder, "all").ground_truth()["annotations"][0]["segmentation"]
        np.testing.assert_array_equal(coco_mask.decode(run_lengths), pixels)

    def test_parts_of_one_group_are_one_object(self, folder):
        left = {"shape_type": "polygon", "points": [[1, 1], [9, 1], [9, 9]], "group_id": 1}
        right = {"shape_type": "polygon", "points": [[21, 1], [29, 1], [29, 9]], "group_id": 1}
        other = {**left, "label": "person"}
        example = self.read(folder, left, right, other, segmentations=True)
        np.testing.assert_allclose(example.boxes, [[1, 1, 29, 9], [1, 1, 9, 9]])
        assert [len(outline) for outline in example.segmentations] == [2, 1]

    @pytest.mark.parametrize("kind", ["line", "linestrip", "point", "points"])
    def test_what_has_no_box_is_refused(self, folder, kind):
        (folder / "street_02.json").write_text(json.dumps(tool_samples.labelme("street_02")))
        message = refusal(folder, self.content({"shape_type": kind}), "street_01.json")
        assert f"street_01.json: shapes[0]: shape_type is '{kind}', which has no box" in message

    @pytest.mark.parametrize("mask", [None, "x", "aGVsbG8="])
    def test_broken_masks_are_refused(self, folder, mask):
        (folder / "street_02.json").write_text(json.dumps(tool_samples.labelme("street_02")))
        message = refusal(folder, self.content({"shape_type": "mask", "mask": mask}), "street_01.json")
        assert f"shapes[0]: mask is {mask!r}, expected a bitmap in base64" in message

    @pytest.mark.parametrize(
        ("image_path", "place"),
        [
            ("gone.jpg", "ann/gone.jpg"),
            ("..\\img\\gone.jpg", "img/gone.jpg"),
            ("C:\\set\\gone.jpg", "C:\\set\\gone.jpg"),
        ],
    )
    def test_a_missing_picture_is_named_where_the_file_says_it_is(self, folder, image_path, place):
        write(folder, {"ann/street_01.json": tool_samples.labelme("street_01", image_path)})
        with pytest.raises(FileNotFoundError) as error:
            read_dataset_dir(folder, "all", layout="labelme")
        assert f"ann/street_01.json: file_name: no such image file: {folder}/{place};" in str(error.value)

    def test_other_json_among_the_files_is_told(self, folder):
        write(folder, {"street_01.json": tool_samples.labelme("street_01"), "zzz.json": {"x": 1}})
        with pytest.raises(ValueError, match=r"zzz\.json: is not labelme's file of a picture"):
            read_dataset_dir(folder, "all")


class TestDatumaro:
    def content(self, *changes: dict) -> dict:
        content = tool_samples.datumaro()
        for record, change in zip(content["items"][0]["annotations"], changes, strict=False):
            record |= change
        return content

    def test_crowds(self, folder):
        example = first_of(folder, self.content({"attributes": {"is_crowd": True}}))
        assert example.crowd.tolist() == [True, False]

    def test_groups(self, folder):
        polygon = {"type": "polygon", "points": [6, 9, 30, 9, 30, 30], "label_id": 0, "group": 4}
        example = first_of(folder, self.content({"group": 4}, polygon))
        np.testing.assert_allclose(example.boxes, [[4, 8, 36, 40]])
        example = first_of(folder, self.content({"group": 4}, {"group": 4, "label_id": 0}))
        assert len(example.boxes) == 2

    def test_masks(self, folder):
        counts = coco_mask.encode(np.asfortranarray(np.eye(48, 64, dtype=np.uint8)))["counts"].decode()
        example = first_of(
            folder, self.content({"type": "mask", "rle": {"size": [48, 64], "counts": counts}})
        )
        np.testing.assert_allclose(example.boxes[0], [0, 0, 48, 48])

    def test_labels_of_pictures_say_nothing_of_places(self, folder):
        assert len(first_of(folder, self.content({"type": "label"})).boxes) == 1

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"type": "polyline"}, "annotations[0]: type is 'polyline', which has no box"),
            ({"label_id": 2}, "annotations[0]: label_id is 2, expected one of the 2 labels"),
            ({"bbox": [1, 2, 3]}, "annotations[0]: bbox is [1, 2, 3], expected [x, y, width, height]"),
            ({"type": "polygon", "points": [1, 2, 3]}, "annotations[0]: points has 3 numbers"),
        ],
    )
    def test_what_is_broken(self, folder, change, message):
        assert f"labels.json[0]: {message}" in refusal(folder, self.content(change))


class TestXml:
    def test_corners_of_cvat_are_edges_and_those_of_a_devkit_pixels(self, tmp_path):
        write(tmp_path, WHOLE["Pascal VOC 1.1 of CVAT"][1]())
        assert read_dataset_dir(tmp_path, "all").examples[1].boxes.tolist() == [[10, 15, 30, 45]]
        (tmp_path / "labelmap.txt").unlink()
        devkit = read_dataset_dir(tmp_path, "all")
        assert devkit.examples[1].boxes.tolist() == [[9, 14, 30, 45]]
        assert "PASCAL VOC's" in devkit.notes[0]

    def test_difficult_objects_are_ignored(self, folder):
        text = tool_samples.label_img_xml("street_01").replace("<difficult>0", "<difficult>1", 1)
        (folder / "street_01.xml").write_text(text)
        (example,) = read_dataset_dir(folder, "all").examples
        assert example.ignored.tolist() == [True, False]
        (example,) = read_dataset_dir(folder, "all", learn_difficult=True).examples
        assert example.ignored.tolist() == [False, False]

    def test_the_name_inside_counts_where_no_picture_has_that_of_the_file(self, folder):
        (folder / "0001.xml").write_text(tool_samples.label_img_xml("street_02"))
        (example,) = read_dataset_dir(folder, "all").examples
        assert example.path == str(folder / "street_02.jpg")

    def test_what_is_broken(self, folder):
        for name in ("street_01", "street_02"):
            text = tool_samples.label_img_xml(name)
            (folder / f"{name}.xml").write_text(text.replace("<ymax>40", "<ymax>x"))
        message = r"street_01\.xml: object 0: bndbox/ymax is 'x', expected a finite number"
        with pytest.raises(ValueError, match=message):
            read_dataset_dir(folder, "all")
        assert len(read_dataset_dir(folder, "all", skip_broken=True).examples) == 1


def test_a_file_that_is_given_as_cocos_is_refused_with_its_layout(folder):
    for content, layout in (
        (tool_samples.via_project(), "via"),
        (tool_samples.create_ml(), "createml"),
        (tool_samples.labelme("street_01"), "labelme"),
        (tool_samples.datumaro(), "datumaro"),
    ):
        (folder / "labels.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match=f"is read as data.layout={layout}"):
            read_coco(folder / "labels.json")
