"""The weights of a checkpoint apart from what else it holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from cascade_tf.weights.files.pickle_values import Placeholder
from cascade_tf.weights.files.raw_arrays import CopyBudget, shown

_WRAPPERS = ("state_dict", "model", "model_state_dict", "blobs")
_MAX_NAME = 1000
_MAX_VALUES = 300_000
_NUMBERS = "biufc"
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_DROPPED = object()


def split_contents(value: Any, file_size: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Splits what a file holds into weights and metadata.

    Args:
        value: as the reader of a format returned it.
        file_size: bounds the copies that conversions may take.

    Returns:
        Arrays by name, and plain values. Arrays outside of the weights (an optimizer's) are left out, as are
        objects of which only the class is known.

    Raises:
        ValueError: there are no weights, two of one name, or something among them that is neither array nor
            plain.
    """
    if not isinstance(value, dict):
        kind = value.described() if isinstance(value, Placeholder) else f"a {type(value).__name__}"
        raise ValueError(f"holds {kind}, expected a mapping of names to arrays")
    wrapper = next((name for name in _WRAPPERS if isinstance(value.get(name), dict)), None)
    weights = value if wrapper is None else value[wrapper]
    split = _Split(file_size)
    metadata = split.add(weights, "")
    if not split.arrays:
        raise ValueError("holds no arrays" + (f" under {wrapper!r}" if wrapper else ""))
    rest = {key: item for key, item in value.items() if key != wrapper} if wrapper else {}
    return split.arrays, {**metadata, **split.plain(rest)}


class _Split:
    """Arrays and metadata of one file; counts what it makes, for one small file can nest billions."""

    def __init__(self, file_size: int):
        self.budget = CopyBudget(file_size)
        self.arrays: dict[str, np.ndarray] = {}
        self.num_values = 0

    def add(self, weights: dict, prefix: str) -> dict:
        """Takes the arrays of a mapping, and returns its plain values."""
        metadata = {}
        for key, item in weights.items():
            self._count()
            name = f"{prefix}{key}"
            if not isinstance(key, (str, int)) or len(name) > _MAX_NAME:
                raise ValueError(f"the weights have the name {shown(name)}, expected a short text")
            if isinstance(item, dict):
                plain: Any = self.add(item, f"{name}.") or _DROPPED
            elif isinstance(item, (np.ndarray, np.generic)) and item.dtype.kind in _NUMBERS:
                plain = self._add_array(name, np.asarray(item))
            elif isinstance(item, Placeholder):
                raise ValueError(
                    f"the weights hold {shown(name)}, which is {item.described()}, expected an array"
                )
            else:
                plain = self.plain(item)
            if plain is not _DROPPED:
                metadata[key] = plain
        return metadata

    def plain(self, value: Any) -> Any:
        """Returns a copy without arrays and objects."""
        self._count()
        # Some of NumPy's scalars are Python's, too.
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, dict):
            items = ((key, self.plain(item)) for key, item in value.items())
            return {key: item for key, item in items if item is not _DROPPED}
        if isinstance(value, (list, tuple, set, frozenset)):
            return type(value)(item for item in map(self.plain, value) if item is not _DROPPED)
        return _DROPPED

    def _add_array(self, name: str, array: np.ndarray) -> object:
        if name in self.arrays:
            raise ValueError(f"the weights have two arrays of the name {shown(name)}")
        half = array.dtype.kind == "f" and array.dtype.itemsize == 2
        dtype = np.dtype(np.float32) if half else array.dtype.newbyteorder("=")
        if array.dtype != dtype:
            self.budget.spend(array.size * dtype.itemsize)
            array = array.astype(dtype)
        array.flags.writeable = False
        self.arrays[name] = array
        return _DROPPED

    def _count(self) -> None:
        self.num_values += 1
        if self.num_values > _MAX_VALUES:
            raise ValueError(f"holds more than {_MAX_VALUES} values, which no checkpoint needs")
