"""What the families of detectors written in PyTorch have in common."""

from __future__ import annotations

import abc
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

import keras
import numpy as np

from cascade_tf.weights.families.architecture import ShapeOf
from cascade_tf.weights.families.family import Family, Source
from cascade_tf.weights.families.layouts import background_first, channels_first, shape_from_channels_first
from cascade_tf.weights.places import Place

if TYPE_CHECKING:
    from cascade_tf.weights.files.checkpoint_file import CheckpointFile

PARAMETERS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
"""PyTorch's names of a layer's variables, by the last part of a canonical name."""


class TorchFamily(Family):
    """A family with PyTorch's layouts, one tensor for each variable, and the background as the last class.

    Attributes:
        ignored_names: patterns of whole names of tensors that are rightly not loaded, each with the reason.
    """

    ignored_names: ClassVar[Sequence[tuple[str, str]]] = (
        (r".*\.num_batches_tracked", "counts training steps"),
    )

    @abc.abstractmethod
    def tensor_name(self, name: str, checkpoint: CheckpointFile) -> str:
        """The family's name of a place, by its canonical name."""

    def shapes(self, checkpoint: CheckpointFile) -> ShapeOf:
        """The shapes of a checkpoint's values in Keras's layout, by canonical name."""

        def shape_of(name: str) -> tuple[int, ...] | None:
            array = checkpoint.arrays.get(self.tensor_name(name, checkpoint))
            return None if array is None else shape_from_channels_first(array.shape)

        return shape_of

    def source(self, place: Place, model: keras.Model, checkpoint: CheckpointFile) -> Source:
        """See ``Family.source``."""
        convert = channels_first(place)
        if ".classifier." in place.name:
            convert = _with_background_first(convert)
        return Source((self.tensor_name(place.name, checkpoint),), convert)

    def ignored(self, name: str) -> str | None:
        """See ``Family.ignored``."""
        return next((reason for names, reason in self.ignored_names if re.fullmatch(names, name)), None)


def batch_norm_kind(kind: str, fpn_norm: str) -> str:
    """The recipe's ``norm`` for what follows the backbone's convolutions.

    Frozen and synchronised statistics have the same tensors. Networks that train with the latter have them
    in the pyramid as well.

    Args:
        kind: ``"batch"``, ``"group"`` or ``"none"``.
        fpn_norm: the recipe's, of the same checkpoint.
    """
    if kind != "batch":
        return kind
    return "sync" if fpn_norm == "sync" else "frozen"


def _with_background_first(convert: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    return lambda values: background_first(convert(values))
