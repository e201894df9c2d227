"""Writes the tables of all settings in docs/configuration.md from the docstrings of what they set.

python scripts/document_settings.py
python scripts/document_settings.py --check    # exit status 1 where the page is not up to date
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import program

PAGE = program.ROOT / "docs" / "configuration.md"
BEGIN, END = "<!-- settings: written by scripts/document_settings.py -->", "<!-- end of settings -->"
# A line of a docstring's section: the name at four spaces more than the section, the text, and what goes on.
_ENTRY = re.compile(r"^    (\w+): (.*)$")

OPTIONS = program.Flags(of_runs=False, settings=False)
OPTIONS.boolean("check", False, "Writes nothing and says whether the page is up to date.")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(document, OPTIONS, __doc__, argv)


def document(arguments: Sequence[str]) -> int:
    """Writes the page, or with ``--check`` compares it."""
    old = PAGE.read_text(encoding="utf-8")
    new = with_tables(old)
    if OPTIONS.values.check:
        print(f"The page is {'up to date' if old == new else 'stale: run this program without --check'}.")
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


def with_tables(page: str) -> str:
    """Returns the page with fresh tables between its two marks.

    Raises:
        ValueError: a mark is missing.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE}: got no marks, expected {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def tables() -> str:
    """Returns the list of all parts, their tables, then those of the groups of an experiment."""
    from cascade_tf.experiment.config import DataConfig, EvaluationConfig
    from cascade_tf.models import two_stage
    from cascade_tf.parts import Part
    from cascade_tf.training.settings import TrainConfig

    blocks = ["### The parts", "", *_overview(), "", "### model", "", *_part_table(Part(two_stage), "model")]
    for path, constructors in _parts():
        for constructor in constructors:
            blocks += ["", f"### {_title(path, constructor)}", "", _first_sentence(constructor)]
            if Part(constructor).settings:
                blocks += ["", *_part_table(Part(constructor), path)]
    for name, config in (("data", DataConfig), ("train", TrainConfig), ("evaluation", EvaluationConfig)):
        fields = {key: field.default for key, field in config.__dataclass_fields__.items()}
        blocks += ["", f"### {name}", "", *_table(name, fields, descriptions(config, "Attributes"))]
    return "\n".join(blocks) + "\n"


def _overview() -> list[str]:
    """What there is of each kind, where it goes in a detector, and links to the tables."""
    rows = ["| kind | setting | parts of that kind |", "|---|---|---|"]
    for path, constructors in _parts():
        links = [f"[{c.__name__}](#{anchor(_title(path, c))})" for c in constructors]
        rows.append(f"| {constructors[0].kind} | {path} | {', '.join(links)} |")  # type: ignore[attr-defined]
    groups = [f"[{name}](#{name})" for name in ("model", "data", "train", "evaluation")]
    return [*rows, "", f"The first of each kind is that of the default. All groups: {', '.join(groups)}."]


def _title(path: str, constructor: Callable) -> str:
    return f"{path}: {constructor.__name__}"


def anchor(title: str) -> str:
    """What GitHub makes of a title for links to it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _parts() -> Iterator[tuple[str, list[Callable]]]:
    """Where the parts of each kind stand in the tree, and the constructors of the kind."""
    from cascade_tf.models import cascade_mask_rcnn_fpn
    from cascade_tf.parts import Part, constructors

    places: dict[str, list[str]] = {}
    present = {}
    for name, value in cascade_mask_rcnn_fpn.walk("model."):
        if isinstance(value, Part):
            kind = value.constructor.kind  # type: ignore[attr-defined]
            places.setdefault(kind, []).append(name)
            present[kind] = value.constructor
    for kind, names in places.items():
        others = [c for c in constructors(kind).values() if c is not present[kind]]
        yield " and ".join(f"`{name}`" for name in names), [present[kind], *others]


def _part_table(part: Any, path: str) -> list[str]:
    return _table(path.partition(" ")[0].strip("`"), part.settings, descriptions(part.constructor, "Args"))


def _table(path: str, defaults: dict[str, Any], texts: dict[str, str]) -> list[str]:
    rows = [f"| `{path}.{name}` | {default_text(of)} | {texts[name]} |" for name, of in defaults.items()]
    return ["| setting | default | |", "|---|---|---|", *rows]


def default_text(value: Any) -> str:
    """Returns a setting's value as the page shows it and ``--set`` takes it."""
    from cascade_tf.parts import Part

    if isinstance(value, Part):
        return value.name
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (tuple, list)):
        # A list of lists needs brackets of its own: one that holds a single list would be taken for that.
        items = [f"[{default_text(item)}]" if _is_flat(item) else default_text(item) for item in value]
        return ", ".join(items) if _is_flat(value) else f"[{', '.join(items)}]"
    return str(value)


def _is_flat(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and not any(isinstance(item, (tuple, list)) for item in value)


def _first_sentence(constructor: Callable) -> str:
    text = inspect.getdoc(constructor) or ""
    return " ".join(text.split("\n\n")[0].split())


def descriptions(documented: Any, section: str) -> dict[str, str]:
    """The texts of a docstring's section by name, each in one line.

    Args:
        documented: a class or a function.
        section: ``"Args"`` or ``"Attributes"``.
    """
    _, _, rest = (inspect.getdoc(documented) or "").partition(f"\n{section}:\n")
    found: dict[str, str] = {}
    name = ""
    for line in rest.split("\n"):
        if line and not line.startswith(" "):
            break
        entry = _ENTRY.match(line)
        if entry:
            name, found[entry[1]] = entry[1], entry[2].strip()
        elif line.strip():
            found[name] += f" {line.strip()}"
    return {name: text.replace("``", "`").replace("|", "\\|") for name, text in found.items()}


if __name__ == "__main__":
    sys.exit(main())
