"""docs/weights.md says what the catalogue holds, and its Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image

from cascade_tf.weights.zoo.pretrained import checkpoint_path, list_pretrained

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "weights.md").read_text()


def test_the_tables_show_the_catalogue():
    assert table_of_detectors() in PAGE
    assert table_of_backbones() in PAGE


def table_of_detectors():
    lines = ["| name | box AP | mask AP | licence | tried |", "|---|---|---|---|---|"]
    for entry in list_pretrained():
        if entry.kind == "detector":
            mask_ap = "" if entry.mask_ap is None else entry.mask_ap
            lines.append(
                f"| `{entry.name}` | {entry.box_ap} | {mask_ap} | {entry.licence} | {tried(entry)} |"
            )
    return "\n".join(lines) + "\n"


def table_of_backbones():
    lines = ["| name | known digest | licence | tried |", "|---|---|---|---|"]
    for entry in list_pretrained():
        if entry.kind == "backbone":
            digest = "8 digits of the SHA-256" if entry.digest_prefix else "none"
            digest = "whole SHA-256" if entry.sha256 else digest
            lines.append(f"| `{entry.name}` | {digest} | {entry.licence} | {tried(entry)} |")
    return "\n".join(lines) + "\n"


def tried(entry):
    return "yes" if entry.verified else "no"


def test_the_python_runs(served, tmp_path, monkeypatch, capsys):
    Image.fromarray(np.full((60, 80, 3), 90, np.uint8)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(examples) == 4
    for number, code in enumerate(examples, start=1):
        exec(compile(code, f"weights.md, example {number}", "exec"), {})
    said = capsys.readouterr().out
    assert "('disc', 'square')" in said
    assert re.search(r"model\.pkl \(detectron2\): loaded \d{3} variables\n", said)
    path = checkpoint_path("detectron2/cascade_mask_rcnn_R_50_FPN_3x")
    assert f"{served.url} {path}" in said
