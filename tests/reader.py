"""A reader of the documentation, who has a folder with what the examples expect and runs their Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cascade_tf.data.synthetic import draw_dataset
from cascade_tf.experiment.config import Experiment, build_detector, with_classes, write_experiment
from cascade_tf.models import cascade_rcnn_fpn
from tests.tiny_detector import SETTINGS

ROOT = Path(__file__).resolve().parents[1]


def blocks(page: Path, language: str) -> list[str]:
    """The examples of a page in a language; those marked otherwise (`python no-run`) are not."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def run(code: str, name: str, replaced: Mapping[str, str]) -> dict[str, Any]:
    """Runs an example and returns its names.

    Args:
        code: its Python.
        name: of the example, for tracebacks.
        replaced: texts in it, and what stands for them so that it takes seconds.
    """
    for text, other in replaced.items():
        code = code.replace(text, other)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, name, "exec"), names)
    return names


def write_folder(folder: Path) -> None:
    """Writes a run of a tiny detector, two images and a data set."""
    workdir = folder / "runs" / "demo"
    workdir.mkdir(parents=True)
    experiment = Experiment(name="tiny", model=cascade_rcnn_fpn.replace(SETTINGS))
    experiment = with_classes(experiment, ("disc", "square"), (1, 2))
    write_experiment(experiment, workdir)
    build_detector(experiment).save_weights(workdir / "last.weights.h5")
    for name in ("photo.jpg", "other.png"):
        Image.fromarray(np.full((60, 80, 3), 90, np.uint8)).save(folder / name)
    draw_dataset(folder / "MY_DATA", num_train=2, num_val=1, image_size=(64, 96), seed=1)
