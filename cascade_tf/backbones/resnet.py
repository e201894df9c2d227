"""ResNet and ResNeXt as detectors use them: bottleneck blocks, features C2 to C5, frozen first stages."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras

from cascade_tf.layers.base import arguments_of_keras, require, require_channels_last
from cascade_tf.layers.configured import Configured
from cascade_tf.layers.deformable_convolution import DeformableConv2D
from cascade_tf.layers.dilated_convolution import DilatedConv2D
from cascade_tf.layers.folding import FoldedNormalization
from cascade_tf.layers.grouped_convolution import GroupedConv2D
from cascade_tf.layers.named_layer import NamedLayer
from cascade_tf.layers.normalization import normalization
from cascade_tf.layers.recomputation import recomputed
from cascade_tf.structures import Tensor

# Bottleneck blocks per stage. 14 and 26 are small members of the same family, for tests and small data sets.
BLOCKS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
STRIDES = {"C2": 4, "C3": 8, "C4": 16, "C5": 32}
"""Pixels per cell of the map of each stage; C5's are 16 where its stage is dilated."""
STEM_POOLS = ("symmetric", "caffe")
# On fewer channels the gradient of a strided 1x1 convolution writes beyond its memory (oneDNN's issue 6035).
_ONEDNN_BLOCK = 16


@keras.saving.register_keras_serializable(package="cascade_tf")
class ResNet(Configured, keras.Model):
    """Residual network with four stages of bottleneck blocks at strides 4, 8, 16 and 32.

    ResNet (He et al., 2015) is ``cardinality=1, width_per_group=64``; ResNeXt (Xie et al., 2017) "32x8d" is
    ``cardinality=32, width_per_group=8`` with the stride in the 3x3 convolution.

    All padding is symmetric, as in Caffe and PyTorch: Keras's ``"same"`` pads strided convolutions of even
    maps at the right only, which shifts the features of imported weights.

    Call it on normalised images [B, H, W, 3]; it returns ``{"C2": ..., "C3": ..., "C4": ..., "C5": ...}``, or
    those of them that ``levels`` names.

    Args:
        depth: 50, 101 or 152 (also 14 and 26: one or two blocks per stage).
        norm: ``"frozen"``, ``"sync"`` or ``"group"``; see ``layers.normalization``.
        stride_in_1x1: whether a stage's stride sits in the first 1x1 convolution (the original, MSRA and
            Caffe weights) or in the 3x3 one (torchvision, ResNeXt).
        width: factor of every stage's channel count.
        stem_channels: output channels of the first convolution; None is ``64 * width``.
        inner_channels: of the 3x3 convolutions of each of the four stages; None: what ``cardinality``,
            ``width_per_group`` and ``width`` give.
        outer_channels: of the maps of the four stages; None: 256, 512, 1024 and 2048 times ``width``.
        freeze_at: number of frozen parts: 0 none, 1 the stem, 2 the stem and C2's stage (the paper's
            setting), ...
        norm_groups: groups of ``"group"`` normalisation; lowered to the channel count where a layer has
            fewer.
        cardinality: groups of the 3x3 convolutions.
        width_per_group: channels of each of these groups in C2's stage, doubled from stage to stage.
        deformable_stages: numbers among 2..5 of the stages whose 3x3 convolutions are deformable (Dai et
            al., 2017); the public X-152 has them in stages 3, 4 and 5.
        dilate_res5: keeps C5 at stride 16, with a dilation of 2 in the 3x3 convolutions of its stage (R-FCN).
        stem_pool: ``"symmetric"`` pads the maximum pooling of the stem on all sides; ``"caffe"`` pads nothing
            before the first row and column, as the networks were first published (He et al., 2015).
        levels: maps to return, some of C2 to C5; stages behind the last of them are left out.
        recompute: in training keeps only what goes from block to block and computes the rest again for the
            gradient: less memory for more time.

    Raises:
        ValueError: unknown depth, norm, level or kind of pooling, ``freeze_at`` outside 0..5, a width or
            cardinality that is not positive, other than four counts of channels, a stage that does not exist,
            or ``recompute`` with ``"sync"``, whose statistics would move twice.
        TypeError: an unknown argument.
    """

    kind = "backbone"

    def __init__(
        self,
        depth: int = 50,
        norm: str = "frozen",
        stride_in_1x1: bool = True,
        width: float = 1.0,
        stem_channels: int | None = None,
        inner_channels: Sequence[int] | None = None,
        outer_channels: Sequence[int] | None = None,
        freeze_at: int = 2,
        norm_groups: int = 32,
        cardinality: int = 1,
        width_per_group: int = 64,
        deformable_stages: Sequence[int] = (),
        dilate_res5: bool = False,
        stem_pool: str = "symmetric",
        levels: Sequence[str] = ("C2", "C3", "C4", "C5"),
        recompute: bool = False,
        **kwargs: Any,
    ):
        require_channels_last()
        if depth not in BLOCKS:
            raise ValueError(f"depth must be one of {', '.join(map(str, BLOCKS))}, got {depth!r}")
        if not 0 <= freeze_at <= 5:
            raise ValueError(f"freeze_at must be in 0..5, got {freeze_at!r}")
        if width <= 0:
            raise ValueError(f"width must be positive, got {width!r}")
        require(cardinality >= 1, "cardinality", cardinality, "1 or more")
        require(width_per_group >= 1, "width_per_group", width_per_group, "1 or more")
        require(
            set(deformable_stages) <= {2, 3, 4, 5}, "deformable_stages", deformable_stages, "some of 2..5"
        )
        require(
            not (dilate_res5 and 5 in deformable_stages),
            "dilate_res5",
            dilate_res5,
            "False with a deformable C5",
        )
        require(not (recompute and norm == "sync"), "recompute", recompute, "False with norm='sync'")
        require(stem_pool in STEM_POOLS, "stem_pool", stem_pool, f"one of {', '.join(STEM_POOLS)}")
        require(
            bool(levels) and set(levels) <= set(STRIDES), "levels", tuple(levels), f"some of {list(STRIDES)}"
        )
        inner = inner_channels or [cardinality * _scaled(width_per_group, width) * 2**i for i in range(4)]
        outer = outer_channels or [_scaled(256 * 2**i, width) for i in range(4)]
        _check_channels("inner_channels", inner, cardinality)
        _check_channels("outer_channels", outer)
        build = _Builder(norm, norm_groups, kwargs.get("dtype"))
        images = keras.Input((None, None, 3), name="images")
        outputs = {}
        x = build.stem(images, stem_channels or _scaled(64, width), stem_pool, frozen=freeze_at >= 1)
        borders = [images, x]
        for stage, blocks in enumerate(BLOCKS[depth], start=2):
            if f"C{stage}" > max(levels):
                break
            dilated = dilate_res5 and stage == 5
            shape = _Bottleneck(
                inner=inner[stage - 2],
                outer=outer[stage - 2],
                groups=cardinality,
                deformable=stage in deformable_stages,
                dilation=2 if dilated else 1,
                stride_in_1x1=stride_in_1x1,
                frozen=freeze_at >= stage,
            )
            for block in range(blocks):
                stride = 2 if stage > 2 and block == 0 and not dilated else 1
                x = build.bottleneck(x, f"res{stage}_{block}", shape, stride, project=block == 0)
                borders.append(x)
            if f"C{stage}" in levels:
                outputs[f"C{stage}"] = x
        super().__init__(inputs=images, outputs=outputs, **arguments_of_keras("ResNet", kwargs))
        self.depth = depth
        self.norm = norm
        self.stride_in_1x1 = stride_in_1x1
        self.width = width
        self.stem_channels = stem_channels
        self.inner_channels = inner_channels
        self.outer_channels = outer_channels
        self.freeze_at = freeze_at
        self.norm_groups = norm_groups
        self.cardinality = cardinality
        self.width_per_group = width_per_group
        self.deformable_stages = tuple(deformable_stages)
        self.dilate_res5 = dilate_res5
        self.stem_pool = stem_pool
        self.levels = tuple(sorted(levels))
        self.recompute = recompute
        self._blocks = _Blocks(borders, outputs) if recompute else None
        strides = {**STRIDES, "C5": 16} if dilate_res5 else STRIDES
        self.strides = {name: strides[name] for name in self.levels}

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> dict[str, Tensor]:
        """Features of normalised images [B, H, W, 3]."""
        if self._blocks is None or not training:
            return super().call(inputs, training=training, mask=mask)
        return self._blocks(inputs, training)

    def named_layers(self) -> Iterator[NamedLayer]:
        """The convolutions with their normalisations, such as ``stem.conv1`` and ``res3.0.conv2``."""
        layers = {layer.name: layer for layer in self.layers}
        for name, layer in layers.items():
            norm = layers.get(f"{name}_norm")
            if norm is not None:
                yield NamedLayer(name.replace("_", "."), layer, norm)


class _Blocks:
    """The network in pieces, from each border to the next; they share the layers of the whole.

    No Keras object, so that no file of weights sees the layers a second time.

    Args:
        borders: symbolic tensors: the images, the stem's output and each block's.
        outputs: those of them that are features, by name.
    """

    def __init__(self, borders: list[Any], outputs: dict[str, Any]):
        names = {id(tensor): name for name, tensor in outputs.items()}
        self._pieces = [
            (keras.Model(start, end, name=f"piece{number}"), names.get(id(end)))
            for number, (start, end) in enumerate(itertools.pairwise(borders))
        ]

    def __call__(self, x: Tensor, training: bool) -> dict[str, Tensor]:
        features, trains = {}, False
        for piece, name in self._pieces:
            # Nothing is kept for the pieces before the first that trains.
            trains = trains or bool(piece.trainable_variables)
            x = recomputed(functools.partial(piece, training=training), trains)(x)
            if name is not None:
                features[name] = x
        return features


class _Bottleneck(NamedTuple):
    """The form of a stage's blocks: 1x1 to ``inner`` channels, 3x3 in ``groups``, 1x1 to ``outer``.

    ``dilation`` is that of the 3x3 convolution.
    """

    inner: int
    outer: int
    groups: int
    deformable: bool
    dilation: int
    stride_in_1x1: bool
    frozen: bool


class _Builder:
    """Adds convolution, normalisation and activation to a functional graph."""

    def __init__(self, norm: str, norm_groups: int, dtype: Any):
        self.norm = norm
        self.norm_groups = norm_groups
        self.policy = keras.dtype_policies.get(dtype)

    def convolution(
        self, x: Tensor, name: str, channels: int, kernel: int, stride: int, frozen: bool, relu: bool = True
    ) -> Tensor:
        if kernel > 1:
            x = self._padded(x, kernel // 2, f"{name}_pad")
        if kernel == 1 and stride > 1 and x.shape[-1] < _ONEDNN_BLOCK:
            x = keras.layers.MaxPooling2D(1, strides=stride, name=f"{name}_subsampled", dtype=self.policy)(x)
            stride = 1
        conv = keras.layers.Conv2D(channels, kernel, strides=stride, name=name, **self._settings())
        return self._normalize(conv, x, frozen, relu)

    def grouped(self, x: Tensor, name: str, shape: _Bottleneck, stride: int) -> Tensor:
        """The 3x3 convolution of a block."""
        if shape == shape._replace(deformable=False, dilation=1, groups=1):
            return self.convolution(x, name, shape.inner, 3, stride, shape.frozen)
        settings: dict[str, Any] = {"strides": stride, "groups": shape.groups, "name": name}
        if shape.deformable:
            # It pads by itself: its samples may lie anywhere.
            conv = DeformableConv2D(shape.inner, 3, **settings, **self._settings(folds=False))
            return self._normalize(conv, x, shape.frozen, relu=True)
        x = self._padded(x, shape.dilation, f"{name}_pad")
        if shape.dilation > 1:
            conv = DilatedConv2D(shape.inner, 3, dilation_rate=shape.dilation, **settings, **self._settings())
        else:
            conv = GroupedConv2D(shape.inner, 3, **settings, **self._settings())
        return self._normalize(conv, x, shape.frozen, relu=True)

    def _settings(self, folds: bool = True) -> dict[str, Any]:
        initializer = keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")
        autocast = {"autocast": False} if folds and self.norm == "frozen" else {}
        return {
            "use_bias": self.norm == "none",
            "kernel_initializer": initializer,
            "dtype": self.policy,
            **autocast,
        }

    def _normalize(self, conv: keras.layers.Layer, x: Tensor, frozen: bool, relu: bool) -> Tensor:
        groups = min(self.norm_groups, conv.filters)
        norm = normalization(self.norm, f"{conv.name}_norm", groups, self.policy)
        # `_settings` turns the casts off where the normalisation is to be folded.
        if self.norm == "frozen" and not conv.autocast:
            norm.build((None, None, None, conv.filters))
            FoldedNormalization(conv, norm)
        if frozen:
            conv.trainable = norm.trainable = False
        x = norm(conv(x))
        return self._relu(x, f"{conv.name}_relu") if relu else x

    def _padded(self, x: Tensor, padding: Any, name: str) -> Tensor:
        return keras.layers.ZeroPadding2D(padding, name=name, dtype=self.policy)(x)

    def _relu(self, x: Tensor, name: str) -> Tensor:
        return keras.layers.ReLU(name=name, dtype=self.policy)(x)

    def stem(self, x: Tensor, channels: int, pool: str, frozen: bool) -> Tensor:
        x = self.convolution(x, "stem_conv1", channels, kernel=7, stride=2, frozen=frozen)
        # Activations are not negative here: padding with zeros is padding with nothing. Caffe's last window
        # may stick out.
        padding = 1 if pool == "symmetric" else ((0, 1), (0, 1))
        x = self._padded(x, padding, "stem_pool_pad")
        return keras.layers.MaxPooling2D(3, strides=2, name="stem_pool", dtype=self.policy)(x)

    def bottleneck(self, x: Tensor, name: str, shape: _Bottleneck, stride: int, project: bool) -> Tensor:
        shortcut = x
        if project:
            shortcut = self.convolution(
                x, f"{name}_shortcut", shape.outer, 1, stride, shape.frozen, relu=False
            )
        first, second = (stride, 1) if shape.stride_in_1x1 else (1, stride)
        y = self.convolution(x, f"{name}_conv1", shape.inner, 1, first, shape.frozen)
        y = self.grouped(y, f"{name}_conv2", shape, second)
        y = self.convolution(y, f"{name}_conv3", shape.outer, 1, 1, shape.frozen, relu=False)
        total = keras.layers.Add(name=f"{name}_add", dtype=self.policy)([y, shortcut])
        return self._relu(total, f"{name}_relu")


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


def _check_channels(name: str, channels: Sequence[int], divisor: int = 1) -> None:
    fits = len(channels) == 4 and all(count >= 1 and count % divisor == 0 for count in channels)
    expected = "four numbers, 1 or more" if divisor == 1 else f"four multiples of the cardinality {divisor}"
    require(fits, name, tuple(channels), expected)
