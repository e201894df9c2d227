"""Writes the tables of docs/paper.md, the paper's rows and claims, from configs/paper and the configurations.

python scripts/document_paper.py
python scripts/document_paper.py --check    # exit status 1 where the page is not up to date
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import program

PAGE = program.ROOT / "docs" / "paper.md"
DATA = program.ROOT / "configs" / "paper"
BEGIN, END = "<!-- {name}: written by scripts/document_paper.py -->", "<!-- end of {name} -->"

OPTIONS = program.Flags(of_runs=False, settings=False)
OPTIONS.boolean("check", False, "Writes nothing and says whether the page is up to date.")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(document, OPTIONS, __doc__, argv)


def document(arguments: Sequence[str]) -> int:
    """Writes the page, or with ``--check`` compares it."""
    old = PAGE.read_text(encoding="utf-8")
    new = old
    for name, lines in (("rows", rows()), ("claims", claims()), ("unnumbered", unnumbered())):
        new = with_text(new, name, "\n".join(lines))
    if OPTIONS.values.check:
        print(f"The page is {'up to date' if old == new else 'stale: run this program without --check'}.")
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


def with_text(page: str, name: str, text: str) -> str:
    """Returns the page with a text between its two marks.

    Raises:
        ValueError: a mark is missing.
    """
    first, last = BEGIN.format(name=name), END.format(name=name)
    before, begin, rest = page.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"{PAGE}: got no marks, expected {first!r} and {last!r}")
    return f"{before}{first}\n\n{text}\n\n{last}{after}"


def rows() -> Iterator[str]:
    """A heading and a table for each table of the paper, a line for each of its rows."""
    content = _read("rows.json")
    for number, table in enumerate(content["tables"], start=1):
        yield from ([""] if number > 1 else [])
        yield f"### Table {table['table']}: {table['title']}"
        yield f"\n{table['data']}, {table['metric']}.\n"
        columns = [column.replace("_", " ") for column in table["columns"]]
        yield _line(["row", "", *columns, "configuration"])
        yield _line(["---"] * (len(columns) + 3))
        for row in table["rows"]:
            values = ["–" if value is None else str(value) for value in row["values"]]
            yield _line([f"`{row['id']}`", row["row"], *values, _how(row)])
        yield f"\nOurs: {_ours(table)}."
    cited = content["cited"]
    yield f"\nNot ours to train, {cited['why']}: {', '.join(f'`{one}`' for one in cited['ids'])}."


def claims() -> Iterator[str]:
    """A table of all claims."""
    yield _line(["claim", "section", "what the paper says", "by", "answered by", "ours"])
    yield _line(["---"] * 6)
    for claim in _read("claims.json")["claims"]:
        cells = (claim["place"], claim["claim"], claim["by"], claim["answer"], _ours(claim))
        yield _line([f"`{claim['id']}`", *cells])


def unnumbered() -> Iterator[str]:
    """A table of what the paper says without a number."""
    yield _line(["section", "what the paper says", "the other way", "configurations", "rows of the study"])
    yield _line(["---"] * 5)
    for said in _read("claims.json")["unnumbered"]:
        flags = ", ".join(f"`--set {flag}`" for flag in said["flags"])
        files = ", ".join(_link(name) for name in said["configurations"])
        yield _line([said["place"], said["claim"], flags, files, ", ".join(said["rows"])])


def _how(row: Mapping[str, Any]) -> str:
    if "missing" in row:
        return f"none: {row['missing']}"
    name = row["configuration"]
    said = [_link(name), *([row["measured"]] if "measured" in row else []), *_as_the_text(name)]
    return "; ".join(said)


def _as_the_text(name: str) -> Iterator[str]:
    """The flags that follow the paper's text where a configuration follows the authors' networks."""
    path = program.ROOT / "configs" / f"{name}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    for flags in re.findall(r"^The paper's text: ((?:.+\n)+)", text, re.MULTILINE):
        yield f"the paper's text: `{' '.join(flags.split())}`"


def _ours(item: Mapping[str, Any]) -> str:
    """What was measured with this code for a table or a claim, each with the section that has it."""
    places = _read("rows.json")["measured_in"]
    links = [(f"[{one['of']}]({places[one['of']]})", one.get("says")) for one in item.get("ours", ())]
    return "; ".join(f"{link}: {says}" if says else link for link, says in links)


def _link(name: str) -> str:
    return f"[`{name}`](../configs/{name}.py)"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _read(name: str) -> dict[str, Any]:
    return json.loads((DATA / name).read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
