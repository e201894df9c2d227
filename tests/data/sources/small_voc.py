"""Writes PASCAL VOC's devkit in small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

SIZE = (60, 40)


class Thing(NamedTuple):
    """An object as VOC has it: pixels counted from 1, the last ones in the box; marks by their fields."""

    name: str
    box: Sequence[float]
    marks: Mapping[str, int] = {}


def write_year(
    folder: Path,
    lists: Mapping[str, Sequence[str]],
    things: Mapping[str, Sequence[Thing]],
    *,
    suffix: str = ".jpg",
    size: tuple[int, int] = SIZE,
) -> Path:
    """Writes a year: lists of names, and the objects of each name; without them it has no annotation."""
    for name in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (folder / name).mkdir(parents=True)
    for split, names in lists.items():
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            Image.new("RGB", size).save(folder / "JPEGImages" / f"{name}{suffix}")
    for name, some in things.items():
        (folder / "Annotations" / f"{name}.xml").write_text(annotation(some, size))
    return folder


def annotation(things: Sequence[Thing], size: tuple[int, int] = SIZE) -> str:
    """The text of an annotation file."""
    return (
        f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
        + "".join(map(_element, things))
        + "</annotation>"
    )


def _element(thing: Thing) -> str:
    corners = zip(("xmin", "ymin", "xmax", "ymax"), thing.box, strict=True)
    box = "".join(f"<{side}>{value}</{side}>" for side, value in corners)
    marks = "".join(f"<{field}>{value}</{field}>" for field, value in thing.marks.items())
    return f"<object><name>{thing.name}</name>{marks}<bndbox>{box}</bndbox></object>"
