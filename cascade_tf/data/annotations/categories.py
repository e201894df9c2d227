"""The categories of an annotation file, which become the classes."""

from __future__ import annotations

from cascade_tf.data.annotations.values import is_integer, record_name
from cascade_tf.data.examples import Category


def read_categories(records: list, annotation_file: str) -> tuple[Category, ...]:
    """Gives the categories by ascending id.

    Raises:
        ValueError: one is broken, two have the same id or name, or there are none.
    """
    names: dict[int, str] = {}
    for index, record in enumerate(records):
        where = f"{annotation_file}: {record_name('categories', index, record)}"
        if not isinstance(record, dict) or not is_integer(record.get("id")):
            raise ValueError(f"{where}: is {record!r}, expected an object with an integer 'id' and a 'name'")
        if not isinstance(record.get("name"), str) or not record["name"]:
            raise ValueError(f"{where}: name is {record.get('name')!r}, expected a non-empty string")
        if record["id"] in names:
            raise ValueError(f"{where}: a category before it has the same id, expected distinct ids")
        if record["name"] in names.values():
            raise ValueError(
                f"{where}: a category before it is also named {record['name']!r}, expected distinct names"
            )
        names[record["id"]] = record["name"]
    if not names:
        raise ValueError(f"{annotation_file}: 'categories' is empty, expected at least one category")
    return tuple(Category(category_id, names[category_id]) for category_id in sorted(names))
