"""Files that name the package's classes load with nothing but `import cascade_tf`."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import cascade_tf
from cascade_tf.keras_names import CLASSES
from cascade_tf.necks import FPN


def _is_registered(node):
    return isinstance(node, ast.ClassDef) and any(
        "register_keras_serializable(package='cascade_tf')" in ast.unparse(one) for one in node.decorator_list
    )


def test_all_registered_classes_are_announced():
    sources = Path(cascade_tf.__file__).parent.rglob("*.py")
    registered = {
        node.name
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if _is_registered(node)
    }
    announced = [(module, name) for module, names in CLASSES.items() for name in names]
    assert sorted(name for _, name in announced) == sorted(registered)
    for module, name in announced:
        kind = getattr(importlib.import_module(module), name)
        assert keras.saving.get_registered_name(kind) == f"cascade_tf>{name}"


@pytest.mark.parametrize("imports", ["cascade_tf, keras", "keras, cascade_tf"])
def test_a_model_loads_in_a_new_process(imports, tmp_path):
    maps = {"C2": keras.Input((8, 8, 4)), "C3": keras.Input((4, 4, 4))}
    model = keras.Model(list(maps.values()), FPN(6, num_extra_levels=0)(maps))
    model.save(tmp_path / "model.keras")
    values = [np.ones((1, 8, 8, 4), np.float32), np.ones((1, 4, 4, 4), np.float32)]
    np.savez(tmp_path / "values.npz", *values, expected=model(values)["P2"])
    code = f"""
import {imports}
import numpy
stored = numpy.load({str(tmp_path / "values.npz")!r})
model = keras.saving.load_model({str(tmp_path / "model.keras")!r})
print(abs(model([stored["arr_0"], stored["arr_1"]])["P2"] - stored["expected"]).numpy().max())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == 0.0
