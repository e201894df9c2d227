"""Recognises annotations of other tools by their keys, to say whose they are and how they are read.

Some are read as they are, see `cascade_tf.data.sources.tools`; here a COCO file was expected in their place.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

_VIA = "a VIA file, which is read as data.layout=via"
_LABEL_STUDIO = "Label Studio's own JSON; in Label Studio choose Export, COCO"
_LABELME = "labelme's file of one picture; its folder is read as data.layout=labelme"
_SUPERVISELY = "a Supervisely file; in Supervisely run the app Export to COCO"
_LABELBOX = "a Labelbox export; convert it to COCO"
_YOLO = "YOLO's labels, one text file per picture, which are read as data.layout=yolo"
_XML = "Pascal VOC's XML files, which are read as data.layout=xml"

CREATE_ML_IMAGE = ("image", "imagefilename")
CREATE_ML_ANNOTATIONS = ("annotations", "annotation")
"""Names of CreateML's fields, of its newer and its older files."""


def foreign_json(content: Any) -> str | None:
    """Says whose file parsed JSON is and what to do; None: nobody's that is known, or COCO's.

    Args:
        content: a whole JSON document.
    """
    if isinstance(content, list):
        first = next((record for record in content if isinstance(record, dict)), None)
        return _first_match(_LISTS, first) if first is not None else None
    if not isinstance(content, dict):
        return None
    if all(isinstance(content.get(key), list) for key in ("images", "annotations", "categories")):
        return _of_coco(content)
    return _first_match(_OBJECTS, content)


def foreign_text(text: str) -> str | None:
    """Says whose file a text is that is no JSON document, and what to do; None: nobody's that is known."""
    start = text[:4096].lstrip("\ufeff \t\r\n")
    if start.startswith("<"):
        return "a CVAT XML file; in CVAT choose COCO 1.0" if "<annotations" in start else f"XML, as in {_XML}"
    try:
        first = json.loads(start.split("\n", 1)[0] if len(text) > 4096 else text.split("\n", 1)[0])
    except ValueError:
        first = None
        if start.startswith('{"data_row"'):
            return _LABELBOX
    if isinstance(first, dict) and "data_row" in first:
        return _LABELBOX
    if isinstance(first, dict) and "source-ref" in first:
        return "a manifest of SageMaker Ground Truth; convert it to COCO"
    if start.startswith(("train:", "path:", "names:", "nc:")):
        return f"a YAML file, as beside {_YOLO}"
    return None


def foreign_folder(folder: Path) -> str | None:
    """Says whose data set a folder without COCO's files is and what to do; None: nobody's that is known."""
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    names = {path.name for place in places for path in place.iterdir()}
    inner = [path for place in places[1:] for path in sorted(place.iterdir()) if path.is_dir()]
    names |= {entry.name for path in inner for entry in path.iterdir()}
    suffixes = {Path(name).suffix.lower() for name in names}
    if "annotations.xml" in names:
        return "a CVAT XML file; in CVAT choose COCO 1.0"
    for suffix, what in (
        (".ndjson", _LABELBOX),
        (".csv", "CSV annotations; export COCO instead, or convert them"),
        (".tfrecord", "TFRecords; export COCO instead"),
        (".zip", "an archive; unpack it first"),
    ):
        if suffix in suffixes:
            return what
    return None


def _first_match(table: dict[str, Callable[[dict], bool]], record: dict) -> str | None:
    return next((what for what, matches in table.items() if matches(record)), None)


def _has(*keys: str) -> Callable[[dict], bool]:
    return lambda record: all(key in record for key in keys)


def is_via(content: Any) -> bool:
    """Whether parsed JSON is a project or the regions of VIA 1 or 2."""
    if not isinstance(content, dict):
        return False
    if "_via_img_metadata" in content or "_via_settings" in content:
        return True
    first = next(iter(content.values()), None)
    return isinstance(first, dict) and "regions" in first and "filename" in first


def is_create_ml(content: Any) -> bool:
    """Whether parsed JSON is CreateML's list of pictures."""
    records = content if isinstance(content, list) else []
    first = next((record for record in records if isinstance(record, dict)), None)
    return first is not None and _is_create_ml(first)


def is_labelme(content: Any) -> bool:
    """Whether parsed JSON is labelme's file of a picture."""
    return isinstance(content, dict) and _has("shapes", "imagePath")(content)


def is_datumaro(content: Any) -> bool:
    """Whether parsed JSON is Datumaro's."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("items"), list)
        and isinstance(content.get("categories"), dict)
    )


def _inside(list_key: str, *keys: str) -> Callable[[dict], bool]:
    """Whether a list of records has one with these keys first."""

    def matches(record: dict) -> bool:
        inner = record.get(list_key)
        first = inner[0] if isinstance(inner, list) and inner else None
        return isinstance(first, dict) and all(key in first for key in keys)

    return matches


def _is_create_ml(record: dict) -> bool:
    named = any(isinstance(record.get(key), str) for key in CREATE_ML_IMAGE)
    return named and any(isinstance(record.get(key), list) for key in CREATE_ML_ANNOTATIONS)


def _is_label_studio(record: dict) -> bool:
    task = isinstance(record.get("data"), dict) and any(
        key in record for key in ("annotations", "completions", "predictions")
    )
    minimal = any(key in record for key in ("annotator", "annotation_id")) and "image" in record
    return task or minimal


_LISTS: dict[str, Callable[[dict], bool]] = {
    "CreateML's JSON, which is read as data.layout=createml": _is_create_ml,
    _LABEL_STUDIO: _is_label_studio,
    "a list of detections in COCO's result format, not of annotations; expected the file that they are "
    "measured on": _has("image_id", "category_id", "score"),
    "COCO's list of annotations alone; put it into an object beside 'images' and 'categories'": _has(
        "image_id", "category_id", "bbox"
    ),
    _LABELBOX: lambda record: "data_row" in record or "Labeled Data" in record or "DataRow ID" in record,
    "a BDD100K or Scalabel file; convert it to COCO": _has("name", "labels"),
    "a LabelU file; in LabelU export COCO": _has("fileName", "result"),
}
_OBJECTS: dict[str, Callable[[dict], bool]] = {
    _VIA: is_via,
    "a VIA 3 project; export COCO from it": _has("metadata", "view", "attribute"),
    _LABELME: is_labelme,
    "Datumaro's JSON, which is read as data.layout=datumaro": is_datumaro,
    _SUPERVISELY: lambda record: (
        {"objects", "size"} <= record.keys() or _inside("classes", "title", "shape")(record)
    ),
    "COCO's captions, which have no boxes; take the instances_ file": _inside("annotations", "caption"),
    "COCO's image information without annotations; take an instances_ file": lambda record: (
        {"images", "categories"} <= record.keys() and "annotations" not in record
    ),
    "a V7 Darwin file; in V7 export COCO": _has("item", "annotations"),
    "FiftyOne's own labels; export with fiftyone.types.COCODetectionDataset": lambda record: (
        ("classes" in record and isinstance(record.get("labels"), dict))
        or _inside("samples", "filepath")(record)
    ),
    "a Cityscapes file of one picture; convert it to COCO": _has("imgHeight", "imgWidth", "objects"),
    _LABEL_STUDIO: _is_label_studio,
    _LABELBOX: _has("data_row"),
    "a GeoJSON file; convert it to COCO": lambda record: record.get("type") == "FeatureCollection",
}


def _of_coco(content: dict) -> str | None:
    """COCO's own files that hold no boxes."""
    first = next((record for record in content["annotations"] if isinstance(record, dict)), {})
    if "bbox" in first:
        return None
    if "segments_info" in first:
        return "COCO's panoptic annotations; take the instances_ file"
    if "caption" in first:
        return "COCO's captions, which have no boxes; take the instances_ file"
    if "keypoints" in first:
        return "COCO's keypoints without boxes; take the instances_ file, or export boxes too"
    return None
