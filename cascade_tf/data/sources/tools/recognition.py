"""Recognises which tool has written what lies in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cascade_tf.data.sources.source import Source
from cascade_tf.data.sources.tools.create_ml import find_create_ml
from cascade_tf.data.sources.tools.datumaro import find_datumaro
from cascade_tf.data.sources.tools.folders import below, list_tree
from cascade_tf.data.sources.tools.json_kind import kind_of_json, kinds_in
from cascade_tf.data.sources.tools.labelme import find_labelme
from cascade_tf.data.sources.tools.pascal_xml import find_xml, xml_files
from cascade_tf.data.sources.tools.via import find_via
from cascade_tf.data.sources.tools.yolo import find_yolo
from cascade_tf.data.sources.tools.yolo_folder import yolo_files


class Tool(NamedTuple):
    """A layout of labelling tools.

    Attributes:
        title: what messages call it.
        find: gives a split of such a folder, or of such a file: (path, split, splitting=...).
    """

    title: str
    find: Callable[..., Source]


TOOLS = {
    "yolo": Tool("YOLO's labels", find_yolo),
    "xml": Tool("XML files of labelImg, CVAT or Roboflow", find_xml),
    "via": Tool("VIA's JSON", find_via),
    "createml": Tool("CreateML's JSON", find_create_ml),
    "labelme": Tool("labelme's files", find_labelme),
    "datumaro": Tool("Datumaro's JSON", find_datumaro),
}
"""By the names of their layouts."""

_FILES_OF_YOLO = (".yaml", ".yml", ".data")


def tools_in(path: Path, most: int | None = None) -> dict[str, list[Path]]:
    """The tools that have written what lies in a folder, "coco" among them, with files that say so.

    A bounded look: the names of all files, and the content of a few.

    Args:
        path: a folder, or one file.
        most: so many names are enough; None: all are looked at.
    """
    if path.is_file():
        kind = "yolo" if path.suffix.lower() in _FILES_OF_YOLO else kind_of_json(path)
        return {kind: [path]} if kind else {}
    tree = list_tree(path, most)
    found = kinds_in(tree)
    for layout, files in (("xml", xml_files(tree)), ("yolo", yolo_files(tree, path))):
        if files:
            found[layout] = files
    return found


def recognise_tool(path: Path) -> str | None:
    """The only tool that has written what lies in a folder; None: there is none.

    Raises:
        ValueError: there are several.
    """
    found = tools_in(path)
    if len(found) > 1:
        titles = [
            f"{TOOLS[layout].title if layout in TOOLS else 'a COCO file'} ({below(files[0], path)})"
            for layout, files in found.items()
        ]
        raise ValueError(
            f"{path}: holds {' and '.join(titles)}; expected one of them, or to know which: layout says it "
            f"(in programs --set data.layout={next(iter(found))})"
        )
    return next(iter(found), None)
