"""The paper's rows and settings as the project has them, and what configurations make of them."""

from __future__ import annotations

import ast
import functools
import json
import os
from pathlib import Path

from cascade_tf.experiment.config import load_config, settings
from cascade_tf.heads.cascade import stage_statistics, stage_weights

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FOLDERS = ("ablations", "citypersons", "coco", "kitti", "proposals", "voc", "widerface")
NAMES = sorted(
    str(file.relative_to(CONFIGS).with_suffix(""))
    for folder in FOLDERS
    for file in (CONFIGS / folder).glob("*.py")
)
ROWS = json.loads((CONFIGS / "paper" / "rows.json").read_text())
SETTINGS = json.loads((CONFIGS / "paper" / "settings.json").read_text())

ORACLES = Path(os.environ.get("CASCADE_TF_ORACLES", CONFIGS.parents[1] / "shared" / "oracles")) / "paper"


def rows_of(name):
    """(table, row) of all rows that a configuration trains."""
    return [(t, row) for t in ROWS["tables"] for row in t["rows"] if row.get("configuration") == name]


def entries(name):
    """The settings of a configuration that the data file has, by their names."""
    families = (family for family in SETTINGS["families"] if name in family["configurations"])
    return {entry["setting"]: entry for family in families for entry in family["settings"]}


def text_of(name):
    """What a configuration says of itself."""
    return ast.get_docstring(ast.parse((CONFIGS / f"{name}.py").read_text()))


@functools.cache
def resolved(name):
    """All settings of a configuration by their names, parts by their constructors', and what they give."""
    return resolve(load_config(name))


def resolve(experiment):
    """The same of an experiment."""
    values = {key: _plain(value) for key, value in settings(experiment).items()}
    heads = experiment.model.value("heads")
    if heads.constructor.__name__ == "cascade":
        count = len(heads.value("ious"))
        values["stages.weights"] = stage_weights(count, heads.value("weighting"))
        statistics = (heads.value(key) for key in ("update_statistics", "round_statistics"))
        values["stages.stds"] = _plain(heads.value("stds") or stage_statistics(count, *statistics))
    values["train.scaled_learning_rate"] = experiment.train.scaled_learning_rate
    return values


def is_cascade(name):
    values = resolved(name)
    return values["model.heads"] == "cascade" and len(values["model.heads.ious"]) > 1


def _plain(value):
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, str) and value.startswith("cascade_tf."):
        return value.rpartition(":")[2]
    return value
