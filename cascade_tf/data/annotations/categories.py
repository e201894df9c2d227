"""The categories of an annotation file, which become the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cascade_tf.coco_format import records
from cascade_tf.coco_format.numbers import as_integer
from cascade_tf.data.annotations.values import is_integer, is_text, record_name
from cascade_tf.data.examples import Category


class Categories(NamedTuple):
    """The categories of a file.

    Attributes:
        classes: those that objects may have, by ascending id.
        placeholders: those that only name a group of others: they are no classes.
    """

    classes: tuple[Category, ...]
    placeholders: tuple[Category, ...]

    def remark(self) -> str | None:
        """A line about the placeholders; None where there are none."""
        if not self.placeholders:
            return None
        names = ", ".join(f"{category.name!r} (id {category.id})" for category in self.placeholders)
        return f"no class is made of {names}: the supercategory of others, without annotations of its own"


def read_categories(
    entries: Sequence[Any], annotations: Sequence[Any], annotation_file: str, noted: records.Noted
) -> Categories:
    """Reads the categories.

    A category that another one names as its ``supercategory``, and that no annotation has, is no class: tools
    such as Roboflow write the name of the project so, which may be that of a class too.

    Args:
        entries: the file's list of categories.
        annotations: the file's list of annotations.
        annotation_file: what messages begin with.
        noted: counts what has another form than COCO's.

    Raises:
        ValueError: a category is broken, two have the same id or name, or there are none.
    """
    found: dict[int, dict] = {}
    for index, entry in enumerate(entries):
        where = f"{annotation_file}: {record_name('categories', index, entry)}"
        record = records.read_category(entry, noted) if isinstance(entry, dict) else entry
        if not isinstance(record, dict) or not is_integer(record.get("id")):
            raise ValueError(
                f"{where}: is {record!r}, expected an object with an integer 'id' of 64 bits and a 'name'"
            )
        if not is_text(record.get("name")):
            raise ValueError(f"{where}: name is {record.get('name')!r}, expected a non-empty string")
        if record["id"] in found:
            raise ValueError(f"{where}: a category before it has the same id, expected distinct ids")
        found[record["id"]] = record
    if not found:
        raise ValueError(f"{annotation_file}: 'categories' is empty, expected at least one category")
    idle = _placeholders(list(found.values()), annotations)
    _refuse_equal_names([found[i] for i in found if i not in idle], annotation_file)
    categories = {i: Category(i, found[i]["name"]) for i in sorted(found)}
    return Categories(
        tuple(category for i, category in categories.items() if i not in idle),
        tuple(category for i, category in categories.items() if i in idle),
    )


def _placeholders(categories: Sequence[dict], annotations: Sequence[Any]) -> set[int]:
    groups: dict[Any, set[int]] = {}
    for category in categories:
        if isinstance(category.get("supercategory"), str):
            groups.setdefault(category["supercategory"], set()).add(category["id"])
    above = {c["id"] for c in categories if groups.get(c["name"], set()) - {c["id"]}}
    if not above:
        return set()
    used = {as_integer(record.get("category_id")) for record in annotations if isinstance(record, dict)}
    idle = above - used
    # Of categories that name each other some are classes; nobody can say which.
    return idle if len(idle) < len(categories) else set()


def _refuse_equal_names(categories: Sequence[dict], annotation_file: str) -> None:
    ids: dict[str, int] = {}
    for category in categories:
        name, number = category["name"], category["id"]
        if name in ids:
            raise ValueError(
                f"{annotation_file}: categories: ids {ids[name]} and {number} are both named {name!r}, "
                "expected distinct names"
            )
        ids[name] = number
