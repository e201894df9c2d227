"""One small data set as each labelling tool writes it: three pictures, one without objects, two classes.

Every sample has the fields and the order of fields that the tool's files have, also those that are not read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

SIZES = {"street_01": (64, 48), "street_02": (40, 60), "street_03": (80, 40)}
"""Width and height of the pictures."""

OBJECTS = {
    "street_01": [("car", (4, 8, 36, 40)), ("person", (40, 10, 50, 34))],
    "street_02": [("person", (10, 15, 30, 45))],
    "street_03": [],
}
"""Classes and edges of the objects."""

CLASSES = ("car", "person")

Tree = Mapping[str, Any]
"""Files by their paths: texts, bytes, what JSON is made of, or a picture's name."""


class Picture(str):
    """The picture of a name."""


def write(folder: Path, tree: Tree) -> Path:
    """Writes files into a folder."""
    for path, content in tree.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Picture):
            Image.new("RGB", SIZES[content]).save(file)
        elif isinstance(content, str):
            file.write_text(content)
        elif isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(json.dumps(content))
    return folder


def pictures(folder: str, *names: str) -> Tree:
    """The pictures in a folder; all of them where none is named."""
    return {f"{folder}/{name}.jpg": Picture(name) for name in names or SIZES}


def yolo_lines(name: str) -> str:
    """The labels of a picture, with the six digits that tools write."""
    width, height = SIZES[name]
    return "".join(
        f"{CLASSES.index(kind)} {(x1 + x2) / 2 / width:.6f} {(y1 + y2) / 2 / height:.6f} "
        f"{(x2 - x1) / width:.6f} {(y2 - y1) / height:.6f}\n"
        for kind, (x1, y1, x2, y2) in OBJECTS[name]
    )


def yolo_labels(folder: str, *names: str) -> Tree:
    """The labels of some pictures, or of all."""
    return {f"{folder}/{name}.txt": yolo_lines(name) for name in names or SIZES}


def label_img_xml(name: str) -> str:
    """labelImg's file of a picture."""
    width, height = SIZES[name]
    objects = "".join(
        f"\t<object>\n\t\t<name>{kind}</name>\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n"
        f"\t\t<difficult>0</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>{x1}</xmin>\n\t\t\t<ymin>{y1}</ymin>\n"
        f"\t\t\t<xmax>{x2}</xmax>\n\t\t\t<ymax>{y2}</ymax>\n\t\t</bndbox>\n\t</object>\n"
        for kind, (x1, y1, x2, y2) in OBJECTS[name]
    )
    return (
        f'<annotation verified="yes">\n\t<folder>images</folder>\n\t<filename>{name}.jpg</filename>\n'
        f"\t<path>/home/anna/images/{name}.jpg</path>\n\t<source>\n\t\t<database>Unknown</database>\n"
        f"\t</source>\n\t<size>\n\t\t<width>{width}</width>\n\t\t<height>{height}</height>\n"
        f"\t\t<depth>3</depth>\n\t</size>\n\t<segmented>0</segmented>\n{objects}</annotation>\n"
    )


def cvat_xml(name: str) -> str:
    """The file of a picture in CVAT's export Pascal VOC 1.1."""
    width, height = SIZES[name]
    objects = "".join(
        f"<object><name>{kind}</name><truncated>0</truncated><occluded>0</occluded><difficult>0</difficult>"
        f"<bndbox><xmin>{float(x1)}</xmin><ymin>{float(y1)}</ymin><xmax>{float(x2)}</xmax>"
        f"<ymax>{float(y2)}</ymax></bndbox><attributes><attribute><name>rotation</name><value>0.0</value>"
        "</attribute></attributes></object>"
        for kind, (x1, y1, x2, y2) in OBJECTS[name]
    )
    return (
        f"<annotation><folder></folder><filename>{name}.jpg</filename><source><database>Unknown</database>"
        "<annotation>Unknown</annotation><image>Unknown</image></source>"
        f"<size><width>{width}</width><height>{height}</height><depth></depth></size>"
        f"<segmented>0</segmented>{objects}</annotation>"
    )


def via_regions(version: int) -> dict:
    """The regions that VIA exports: numbered in version 1, a list in version 2."""
    content = {}
    for name, objects in OBJECTS.items():
        regions: Any = [
            {
                "shape_attributes": {"name": "rect", "x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1},
                "region_attributes": {"class": kind},
            }
            for kind, (x1, y1, x2, y2) in objects
        ]
        record = {"filename": f"{name}.jpg", "size": 1204, "regions": regions, "file_attributes": {}}
        if version == 1:
            numbered = {str(number): region for number, region in enumerate(regions)}
            record = {"fileref": "", "base64_img_data": "", **record, "regions": numbered}
        content[f"{name}.jpg1204"] = record
    return content


def via_project() -> dict:
    """A project of VIA 2."""
    regions = via_regions(2)
    return {
        "_via_settings": {"ui": {}, "core": {"default_filepath": ""}, "project": {"name": "streets"}},
        "_via_img_metadata": regions,
        "_via_attributes": {"region": {"class": {"type": "dropdown"}}, "file": {}},
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": list(regions),
    }


def create_ml(*names: str) -> list:
    """CreateML's list of some pictures, or of all."""
    return [
        {
            "image": f"{name}.jpg",
            "annotations": [
                {
                    "label": kind,
                    "coordinates": {
                        "x": (x1 + x2) / 2,
                        "y": (y1 + y2) / 2,
                        "width": x2 - x1,
                        "height": y2 - y1,
                    },
                }
                for kind, (x1, y1, x2, y2) in OBJECTS[name]
            ],
        }
        for name in names or SIZES
    ]


def labelme(name: str, image_path: str = "") -> dict:
    """labelme's file of a picture."""
    width, height = SIZES[name]
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": [
            {
                "label": kind,
                "points": [[float(x2), float(y1)], [float(x1), float(y2)]],
                "group_id": None,
                "description": "",
                "shape_type": "rectangle",
                "flags": {},
                "mask": None,
            }
            for kind, (x1, y1, x2, y2) in OBJECTS[name]
        ],
        "imagePath": image_path or f"{name}.jpg",
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def datumaro(*names: str) -> dict:
    """Datumaro's file of some pictures, or of all."""
    return {
        "dm_format_version": "1.0",
        "media_type": 2,
        "infos": {},
        "categories": {
            "label": {
                "labels": [{"name": name, "parent": "", "attributes": []} for name in CLASSES],
                "attributes": ["occluded"],
            }
        },
        "items": [
            {
                "id": name,
                "annotations": [
                    {
                        "id": number,
                        "type": "bbox",
                        "attributes": {
                            "occluded": False,
                            "rotation": 0.0,
                            "track_id": number,
                            "keyframe": True,
                        },
                        "group": 0,
                        "label_id": CLASSES.index(kind),
                        "z_order": 0,
                        "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
                    }
                    for number, (kind, (x1, y1, x2, y2)) in enumerate(OBJECTS[name])
                ],
                "attr": {"frame": 0},
                "image": {"path": f"{name}.jpg", "size": [SIZES[name][1], SIZES[name][0]]},
            }
            for name in names or SIZES
        ],
    }


_LISTS = {"ImageSets/Main/default.txt": "".join(f"{name}\n" for name in SIZES)}
_LABEL_MAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:36,179,83::\nperson:250,50,83::\n"

WHOLE: dict[str, tuple[str, Callable[[], Tree]]] = {
    "YOLO of labelImg, beside the pictures": (
        "yolo",
        lambda: {**pictures("."), **yolo_labels("."), "classes.txt": "car\nperson\n"},
    ),
    "YOLO of Label Studio": (
        "yolo",
        lambda: {
            **pictures("images"),
            **yolo_labels("labels"),
            "classes.txt": "car\nperson\n",
            "notes.json": {
                "categories": [{"id": 0, "name": "car"}, {"id": 1, "name": "person"}],
                "info": {"year": 2026, "version": "1.0", "contributor": "Label Studio"},
            },
        },
    ),
    "YOLO 1.1 of CVAT": (
        "yolo",
        lambda: {
            "obj.data": "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
            "obj.names": "car\nperson\n",
            "train.txt": "".join(f"data/obj_train_data/{name}.jpg\n" for name in SIZES),
            **pictures("obj_train_data"),
            **yolo_labels("obj_train_data"),
        },
    ),
    "labelImg": (
        "xml",
        lambda: {**pictures("images"), **{f"Annotations/{name}.xml": label_img_xml(name) for name in SIZES}},
    ),
    "labelImg, beside the pictures": (
        "xml",
        lambda: {**pictures("."), **{f"{name}.xml": label_img_xml(name) for name in SIZES}},
    ),
    "Pascal VOC 1.1 of CVAT": (
        "xml",
        lambda: {
            "labelmap.txt": _LABEL_MAP,
            **_LISTS,
            **{f"ImageSets/Main/{kind}_default.txt": "street_01 1\n" for kind in CLASSES},
            **{f"Annotations/{name}.xml": cvat_xml(name) for name in SIZES},
            **pictures("JPEGImages"),
        },
    ),
    "VIA 1": ("via", lambda: {**pictures("."), "via_region_data.json": via_regions(1)}),
    "VIA 2": ("via", lambda: {**pictures("images"), "via_export_json.json": via_regions(2)}),
    "VIA 2, the project": (
        "via",
        lambda: {**pictures("."), "via_project_27Nov2026_10h20m.json": via_project()},
    ),
    "CreateML": ("createml", lambda: {**pictures("."), "annotations.json": create_ml()}),
    "labelme": (
        "labelme",
        lambda: {**pictures("."), **{f"{name}.json": labelme(name) for name in SIZES}},
    ),
    "labelme on Windows, in a folder of its own": (
        "labelme",
        lambda: {
            **pictures("img"),
            **{f"ann/{name}.json": labelme(name, f"..\\img\\{name}.jpg") for name in SIZES},
        },
    ),
    "Datumaro of CVAT": (
        "datumaro",
        lambda: {**pictures("images/default"), "annotations/default.json": datumaro()},
    ),
}
"""Exports without splits: the layout, and their files."""

_TRAIN, _VAL = ("street_01", "street_03"), ("street_02",)


def _in_splits(pictures_in: str, labels_in: str, labels: Callable[..., Tree]) -> dict[str, Any]:
    """Files of the splits train and valid; the two texts name folders with {} for the split."""
    return {
        **pictures(pictures_in.format("train"), *_TRAIN),
        **pictures(pictures_in.format("valid"), *_VAL),
        **labels(labels_in.format("train"), *_TRAIN),
        **labels(labels_in.format("valid"), *_VAL),
    }


SPLIT: dict[str, tuple[str, Callable[[], Tree]]] = {
    "YOLO of Roboflow": (
        "yolo",
        lambda: {
            "data.yaml": (
                "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\n"
                "names: ['car', 'person']\n\nroboflow:\n  workspace: streets\n  version: 3\n"
            ),
            "README.dataset.txt": "# streets > 3\n",
            **_in_splits("{}/images", "{}/labels", yolo_labels),
        },
    ),
    "YOLO of Ultralytics": (
        "yolo",
        lambda: {
            "streets.yaml": (
                "# Streets\npath: ../datasets/streets # dataset root dir\ntrain: images/train # 2 images\n"
                "val: images/valid\ntest: # optional\n\n# Classes\nnames:\n  0: car\n  1: person\n"
                "\ndownload: |\n  from pathlib import Path\n  names: [x]\n"
            ),
            **_in_splits("images/{}", "labels/{}", yolo_labels),
        },
    ),
    "Ultralytics of CVAT": (
        "yolo",
        lambda: {
            "data.yaml": "names:\n  0: car\n  1: person\npath: .\ntrain: train.txt\nval:\n- Validation.txt\n",
            "train.txt": "data/images/train/street_01.jpg\ndata/images/train/street_03.jpg\n",
            "Validation.txt": "data/images/valid/street_02.jpg\n",
            **_in_splits("images/{}", "labels/{}", yolo_labels),
        },
    ),
    "YOLO Darknet of Roboflow": (
        "yolo",
        lambda: {
            "train/_darknet.labels": "car\nperson\n",
            "valid/_darknet.labels": "car\nperson",
            **_in_splits("{}", "{}", yolo_labels),
        },
    ),
    "Pascal VOC of Roboflow": (
        "xml",
        lambda: _in_splits(
            "{}", "{}", lambda folder, *names: {f"{folder}/{name}.xml": label_img_xml(name) for name in names}
        ),
    ),
    "Pascal VOC 1.1 of CVAT with subsets": (
        "xml",
        lambda: {
            "labelmap.txt": _LABEL_MAP,
            "ImageSets/Main/Train.txt": "street_01\nstreet_03\n",
            "ImageSets/Main/Validation.txt": "street_02\n",
            **{f"Annotations/{name}.xml": cvat_xml(name) for name in SIZES},
            **pictures("JPEGImages"),
        },
    ),
    "CreateML of Roboflow": (
        "createml",
        lambda: _in_splits(
            "{}", "{}", lambda folder, *names: {f"{folder}/_annotations.createml.json": create_ml(*names)}
        ),
    ),
    "labelme in folders of splits": (
        "labelme",
        lambda: _in_splits(
            "{}", "{}", lambda folder, *names: {f"{folder}/{name}.json": labelme(name) for name in names}
        ),
    ),
    "Datumaro": (
        "datumaro",
        lambda: _in_splits(
            "images/{}",
            "annotations/{}.json",
            lambda file, *names: {file: datumaro(*names)},
        ),
    ),
}
"""Exports with the splits train, of the first and the third picture, and val, of the second."""
