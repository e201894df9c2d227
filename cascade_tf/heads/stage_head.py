"""What a stage asks of its head, whatever it reads: pooled features or maps of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cascade_tf.layers.base import Layer
from cascade_tf.layers.map_order import as_maps
from cascade_tf.layers.map_strides import MapStrides
from cascade_tf.layers.named_layer import NamedLayer
from cascade_tf.structures import Tensor


class StageHead(Layer):
    """Boxes to class logits and offsets, in three steps: ``prepare``, ``pool`` and the call.

    ``prepare`` turns the shared features into the maps that boxes are pooled from, once per image; ``pool``
    reads any boxes from them, as often as wanted; the call looks at what was pooled. A head on pooled
    features defines the last alone: its maps are the shared features, and what one such head pooled all the
    others can read. A head that makes maps of its own says so and overrides the first two.

    Attributes:
        num_classes: K, without the background.
        makes_maps: whether ``prepare`` computes something, so that the head's boxes have to be pooled for it.
        takes_seed: whether the call takes ``seed``, [B, 2] int32, for what it draws at random in training.
        num_classifiers: classifiers beside each other on the same hidden layers; their logits follow one
            another.
        regresses: whether there are offsets; those of a head without are [B, S, 0].
    """

    makes_maps = False
    takes_seed = False
    num_classifiers = 1
    regresses = True
    num_classes: int

    def build_on(self, shapes: Mapping[str, tuple[int | None, ...]], pooling: Any) -> None:
        """Creates the variables.

        Args:
            shapes: of the shared features, ``{"P2": (B, h, w, C), ...}``.
            pooling: that ``pool`` will get.
        """
        self.build(pooling.pooled_shape(shapes))

    def map_strides(self, names: Sequence[str], pooling: Any) -> Iterator[MapStrides]:
        """The strides that ``pooling`` takes the shared features of these names to have."""
        return pooling.map_strides(names)

    def named_layers(self) -> Iterator[NamedLayer]:
        """The layers with weights, for checkpoints."""
        raise NotImplementedError(f"{type(self).__name__} does not name its weights")

    def prepare(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The maps that boxes are pooled from.

        Args:
            features: ``{"P2": [B, h, w, C], ...}``, shared by all stages.
        """
        return dict(as_maps(features))

    def pool(self, pooling: Any, maps: Mapping[str, Tensor], boxes: Tensor) -> Any:
        """What the call takes for these boxes.

        Args:
            pooling: a part of the kind "pooling".
            maps: of ``prepare``.
            boxes: [B, S, 4] float32.
        """
        return pooling(maps, boxes)

    def judge(self, pooled: Any, training: bool = False, seed: Tensor | None = None) -> Any:
        """The call, with a seed where it takes one.

        Args:
            pooled: of ``pool``.
            training: whether the head learns.
            seed: [B, 2] int32 of the examples.

        Returns:
            Class logits and offsets.
        """
        if self.takes_seed:
            return self(pooled, training=training, seed=seed)
        return self(pooled, training=training)
