"""What the parts of each kind promise, and that those who use them know no more than that."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

from cascade_tf.heads import CascadeHeads, IntegralHeads, MaskBranch
from cascade_tf.parts import constructors

# By kind: methods and properties that a detector or another part uses.
PROMISES = {
    "backbone": ("named_layers",),
    "neck": ("call", "output_shapes", "output_strides", "named_layers"),
    "proposals": (
        "call", "of_batch", "takes_given", "compute_losses", "reported", "weighted_by", "map_strides",
    ),
    "pooling": ("call", "pool_in_turn", "pooled_shape", "cells", "map_strides"),
    "box head": ("build_on", "prepare", "pool", "call", "makes_maps", "map_strides", "named_layers"),
    "heads": (
        "call", "compute_losses", "reported", "weighted_by", "class_probabilities", "detection_boxes",
        "with_masks", "num_stages", "rows", "has_masks", "map_strides",
    ),
    "output": ("call",),
    "inputs": ("call",),
}  # fmt: skip
# What makes a detector of parts, trains it, predicts with it and exports it.
USERS = (
    "cascade_tf.models.detector",
    "cascade_tf.serving",
    "cascade_tf.prediction.inference",
    "cascade_tf.prediction.network_calls",
    "cascade_tf.prediction.test_time_augmentation",
    "cascade_tf.training",
    "cascade_tf.weights.head_start",
    "cascade_tf.weights.importing",
    "cascade_tf.weights.places",
)


def layers_of(kind):
    """The classes of a kind; functions make one of these."""
    found = [one for one in constructors(kind).values() if inspect.isclass(one)]
    return [*found, CascadeHeads, IntegralHeads] if kind == "heads" else found


@pytest.mark.parametrize("kind", PROMISES)
def test_parts_keep_their_kinds_promises(kind):
    layers = layers_of(kind)
    assert layers
    for layer in layers:
        missing = [name for name in PROMISES[kind] if not hasattr(layer, name)]
        assert not missing, layer


@pytest.mark.parametrize("kind", PROMISES)
def test_promises_are_explained(kind):
    for layer in layers_of(kind):
        for name in PROMISES[kind]:
            member = inspect.getattr_static(layer, name)
            member = member.fget if isinstance(member, property) else member
            # Flags are explained by their class.
            assert not callable(member) or len(inspect.getdoc(getattr(layer, name)) or "") > 20, (layer, name)


def test_every_kind_of_a_detectors_settings_has_a_promise():
    assert {one.kind for one in constructors().values()} - set(PROMISES) == {
        "detector",
        "masks",
        "mask head",
    }


def sources(module):
    path = Path(importlib.import_module(module).__file__)
    return sorted(path.parent.glob("*.py")) if path.name == "__init__.py" else [path]


def words(source):
    """All names, attributes, imports and strings of a module, and the modules that it imports from."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield from (node.name, node.name.rpartition(".")[2])
        elif isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


PARTS = {
    word
    for kind in (*PROMISES, "masks", "mask head")
    for one in [*constructors(kind).values(), CascadeHeads, IntegralHeads, MaskBranch]
    for word in (one.__name__, one.__module__)
}


@pytest.mark.parametrize("module", USERS)
def test_users_of_parts_name_none(module):
    for path in sources(module):
        assert not set(words(path.read_text())) & PARTS, path


@pytest.mark.parametrize(
    "source",
    [
        "isinstance(part, FPN)",
        "necks.FPN",
        "type(part).__name__ == 'FPN'",
        "from cascade_tf.necks import FPN as Neck",
        "from cascade_tf.necks.fpn import something",
        "import cascade_tf.necks.fpn",
    ],
)
def test_a_part_can_be_named_in_many_ways(source):
    assert set(words(source)) & PARTS
