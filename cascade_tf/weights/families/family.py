"""What an importer knows about one family of checkpoints."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np

from cascade_tf.models import cascade_mask_rcnn_fpn
from cascade_tf.parts import Part
from cascade_tf.weights.network_size import check_size
from cascade_tf.weights.places import Place
from cascade_tf.weights.recipe_arguments import recipe_of

if TYPE_CHECKING:
    from cascade_tf.weights.files.checkpoint_file import CheckpointFile


class Source(NamedTuple):
    """Where a place's value comes from.

    Attributes:
        names: tensors of the checkpoint; none where the family implies a constant.
        convert: from these tensors, in this order, to the value in the place's shape, or to one of more axes
            that becomes it when the leading ones are merged. It should return a view where it can, and raises
            a ValueError when the tensors' shapes make no sense.
        shared: those of the names that are meant for several places; others are a mistake there.
    """

    names: tuple[str, ...]
    convert: Callable[..., np.ndarray]
    shared: tuple[str, ...] = ()


class ClassifierLayers(NamedTuple):
    """Fully connected layers of an ImageNet classifier, all but its last, with which heads can begin.

    Attributes:
        level: the backbone's map that the first of them reads, pooled to P x P cells.
        sources: where each value comes from, by the name that a head has for the variable, in the order of
            the layers: ``"fc1.kernel"`` gives [P, P, C, units], those of later layers [in, units], and
            ``"fc1.bias"`` gives [units].
        last: a tensor of the last layer where names are mere numbers: without it one of these is the last.
    """

    level: str
    sources: dict[str, Source]
    last: str | None = None


class Family(abc.ABC):
    """A framework's names, layouts and conventions.

    A family of backbones (torchvision, Keras Applications) implements ``matches``, ``source`` and, for what
    the weights expect of their input, ``settings``; one of detectors also ``num_classes``.

    Attributes:
        name: as the argument ``source`` spells it, such as ``"detectron2"``.
    """

    name: str

    @abc.abstractmethod
    def matches(self, checkpoint: CheckpointFile) -> bool:
        """Whether the checkpoint's names are this family's; no two families may claim the same file."""

    @abc.abstractmethod
    def settings(self, checkpoint: CheckpointFile) -> dict[str, Any]:
        """Settings of ``base`` by dotted names: the architecture, and the family's conventions.

        The architecture is read off the tensors' names and shapes. A family of backbones gives those that
        concern a backbone: ``stride_in_1x1``, ``pixel_order``, ``pixel_mean``, ``pixel_std``.

        Raises:
            ValueError: the tensors describe a network that cannot be built here.
        """

    @abc.abstractmethod
    def source(self, place: Place, model: keras.Model, checkpoint: CheckpointFile) -> Source:
        """The tensors that hold a place's value; they need not exist in the checkpoint.

        Args:
            place: of ``model``.
            model: the detector, or the backbone where only that is loaded.
            checkpoint: for families with several spellings of a name.
        """

    def classifier_layers(self, checkpoint: CheckpointFile) -> ClassifierLayers | None:
        """What heads can begin with, of a family of backbones; None where a network has no such layers."""
        return None

    def base(self, checkpoint: CheckpointFile) -> Part:
        """The detector whose settings ``settings`` are, with whatever else it can have."""
        return cascade_mask_rcnn_fpn

    def recipe(self, checkpoint: CheckpointFile, settings: Mapping[str, Any]) -> Part:
        """The detector that settings describe.

        Args:
            checkpoint: as read.
            settings: of ``settings``, maybe changed.
        """
        return recipe_of(settings)

    def check_size(self, checkpoint: CheckpointFile, settings: Mapping[str, Any]) -> None:
        """Refuses a file that holds far fewer numbers than the network that its tensors describe.

        Args:
            checkpoint: as read.
            settings: of ``settings``.

        Raises:
            ValueError: it does.
        """
        check_size(checkpoint, settings, self.num_classes(checkpoint))

    def num_classes(self, checkpoint: CheckpointFile) -> int:
        """K, without the background."""
        raise NotImplementedError(f"checkpoints of the family {self.name} hold no classes")

    def told(self, checkpoint: CheckpointFile) -> frozenset[str]:
        """Those of `settings` that the checkpoint says besides what names and shapes of its tensors tell."""
        return frozenset()

    def class_names(self, checkpoint: CheckpointFile) -> tuple[str, ...] | None:
        """Names of the K classes where the checkpoint says them."""
        return None

    def ignored(self, name: str) -> str | None:
        """Why a tensor is rightly not loaded, such as an optimizer's state; None where there is no reason."""
        return None
