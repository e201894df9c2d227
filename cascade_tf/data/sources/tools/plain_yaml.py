"""The part of YAML that describes data sets for YOLO: names with texts, numbers, lists and tables of texts.

The package needs no YAML otherwise, and what these files hold is a few lines: a parser of the whole language
would be one more dependency for them. Other fields of such files may hold anything, they are passed over.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

Value = str | list[str] | dict[str, str] | None

_KEY = re.compile(r"([A-Za-z_][\w-]*)\s*:(?:\s+(.*))?$")
_ENTRY = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^:#]+?)\s*:\s+(.*)$""")
_PART = re.compile(r"""\s*((?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,"'])+)(?:,|$)""")


def read_fields(text: str, fields: Sequence[str]) -> dict[str, Value]:
    """Reads some fields of a document.

    Args:
        text: of the whole document.
        fields: names at the outermost level.

    Returns:
        For each field that is there its text, the texts of its list, or of its table by their keys; None
        where it is empty.

    Raises:
        ValueError: one of them holds something else; the message begins with its line.
    """
    blocks: dict[str, tuple[int, list[str]]] = {}
    block: list[str] = []
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        stripped = _without_comment(line)
        match = _KEY.match(stripped)
        if match is None:
            # Also a list's items and a bracket, which may stand at the very left.
            block.append(stripped)
            continue
        if match[1] in blocks and match[1] in fields:
            raise ValueError(f"line {number}: {match[1]} is there before, expected it once")
        block = [match[2] or ""]
        blocks[match[1]] = (number, block)
    found: dict[str, Value] = {}
    for name in fields:
        if name in blocks:
            number, lines = blocks[name]
            try:
                found[name] = _value([line for line in lines if line.strip()])
            except ValueError as error:
                raise ValueError(f"line {number}: {name}: {error}") from None
    return found


def _value(lines: Sequence[str]) -> Value:
    if not lines:
        return None
    first = lines[0].strip()
    if first.startswith(("[", "{")):
        return _flow(" ".join(line.strip() for line in lines))
    if first.startswith("-"):
        if not all(re.match(r"\s*-(\s|$)", line) for line in lines):
            raise ValueError("expected a list of texts, '- one' on each line")
        return [_text(line.strip()[1:]) for line in lines]
    entries = [_ENTRY.match(line.strip()) for line in lines]
    if all(entries):
        table = {_text(entry[1]): _text(entry[2]) for entry in entries if entry}
        if len(table) < len(lines):
            raise ValueError("a key is there twice, expected it once")
        return table
    if len(lines) == 1:
        return _text(first)
    raise ValueError("expected a text, a list or a table of texts")


def _flow(text: str) -> Value:
    closing = {"[": "]", "{": "}"}[text[0]]
    if not text.endswith(closing):
        raise ValueError(f"expected {closing!r} at the end")
    inner, parts, start = text[1:-1].strip(), [], 0
    while start < len(inner):
        match = _PART.match(inner, start)
        if match is None or set(match[1]) & set("[]{}"):
            raise ValueError("expected texts between commas")
        parts.append(match[1].strip())
        start = match.end()
    parts = [part for part in parts if part]
    if closing == "]":
        return [_text(part) for part in parts]
    entries = [_ENTRY.match(part) for part in parts]
    if not all(entries):
        raise ValueError("expected texts by their keys, 'key: text'")
    return {_text(entry[1]): _text(entry[2]) for entry in entries if entry}


def _text(text: str) -> str:
    text = text.strip()
    if text.startswith("'") and text.endswith("'") and len(text) > 1:
        return text[1:-1].replace("''", "'")
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        try:
            return str(ast.literal_eval(text))
        except (SyntaxError, ValueError):
            raise ValueError(f"{text} is no text") from None
    if text.startswith(("&", "*", "!", "|", ">", "-", "{", "[")) or text in ("~", "null"):
        raise ValueError(f"got {text!r}, expected a plain text, in quotes where it begins with a sign")
    return text


def _without_comment(line: str) -> str:
    """A line without its comment: a hash that begins a word outside of quotes."""
    quote, escaped = "", False
    for place, sign in enumerate(line):
        if escaped:
            escaped = False
        elif quote:
            escaped = quote == '"' and sign == "\\"
            quote = "" if sign == quote else quote
        elif sign in "\"'" and (place == 0 or line[place - 1] in " [{,:\t"):
            quote = sign
        elif sign == "#" and (place == 0 or line[place - 1] in " \t"):
            return line[:place].rstrip()
    return line.rstrip()
