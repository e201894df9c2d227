"""Which model a folder holds, told without loading it, wherever the folder lies."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from cascade_tf.data.shards.storage import names_in, read_file, storage_path

_GRAPH = "saved_model.pb"
_LABELS = "assets/labels.json"
# The checksums of all weights are in it.
_WEIGHTS = "variables/variables.index"


class ModelFiles(NamedTuple):
    """A version of an export.

    Attributes:
        folder: of that version, with ``saved_model.pb``.
        digest: of the graph, the classes and the weights: another one is another model.
    """

    folder: str
    digest: str


def find_model(model: str) -> ModelFiles:
    """The model in a folder, of several versions the highest.

    Args:
        model: folder of an export's version, or of all of them.

    Raises:
        ValueError: there is none, or it is no export of this package.
        OSError: it cannot be read.
    """
    folder = storage_path(model)
    if not names_in(folder, _GRAPH):
        versions = [name for name in names_in(folder, "*") if name.isdigit()]
        whole = [name for name in versions if names_in(f"{folder}/{name}", _GRAPH)]
        if not whole:
            raise _no_export(folder, _GRAPH)
        folder = f"{folder}/{max(whole, key=int)}"
    digest = hashlib.sha256()
    for name in (_GRAPH, _LABELS, _WEIGHTS):
        try:
            content = read_file(f"{folder}/{name}")
        except FileNotFoundError:
            raise ValueError(
                f"model {folder}: got no {name} in it, expected an export of export.py"
            ) from None
        digest.update(hashlib.sha256(content).digest())
    return ModelFiles(folder, digest.hexdigest())


def _no_export(folder: str, missing: str) -> ValueError:
    return ValueError(f"model {folder}: got no {missing} in it, expected an export of export.py")
