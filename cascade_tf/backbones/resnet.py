"""ResNet (He et al., 2015) as detectors use it: bottleneck blocks, features C2 to C5, frozen first stages."""

from __future__ import annotations

from typing import Any

import keras

from cascade_tf.layers.base import Configured
from cascade_tf.layers.normalization import normalization
from cascade_tf.structures import Tensor

# Bottleneck blocks per stage. 14 and 26 are small members of the same family, for tests and small data sets.
BLOCKS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@keras.saving.register_keras_serializable(package="cascade_tf")
class ResNet(Configured, keras.Model):
    """Residual network with four stages of bottleneck blocks at strides 4, 8, 16 and 32.

    All padding is symmetric, as in Caffe and PyTorch: Keras's ``"same"`` pads strided convolutions of even
    maps at the right only, which shifts the features of imported weights.

    Call it on normalised images [B, H, W, 3]; it returns ``{"C2": ..., "C3": ..., "C4": ..., "C5": ...}``.

    Args:
        depth: 50, 101 or 152 (also 14 and 26: one or two blocks per stage).
        norm: ``"frozen"``, ``"sync"`` or ``"group"``; see ``layers.normalization``.
        stride_in_1x1: whether a stage's stride sits in the first 1x1 convolution (the original, MSRA and
            Caffe weights) or in the 3x3 one (torchvision, ResNeXt).
        width: factor of every stage's channel count.
        stem_channels: output channels of the first convolution; None is ``64 * width``.
        freeze_at: number of frozen parts: 0 none, 1 the stem, 2 the stem and C2's stage (the paper's
            setting), ...
        groups: groups of ``"group"`` normalisation; lowered to the channel count where a layer has fewer.

    Raises:
        ValueError: unknown depth or norm, ``freeze_at`` outside 0..5, or a width that is not positive.
    """

    def __init__(
        self,
        depth: int = 50,
        norm: str = "frozen",
        stride_in_1x1: bool = True,
        width: float = 1.0,
        stem_channels: int | None = None,
        freeze_at: int = 2,
        groups: int = 32,
        **kwargs: Any,
    ):
        if depth not in BLOCKS:
            raise ValueError(f"depth must be one of {', '.join(map(str, BLOCKS))}, got {depth!r}")
        if not 0 <= freeze_at <= 5:
            raise ValueError(f"freeze_at must be in 0..5, got {freeze_at!r}")
        if width <= 0:
            raise ValueError(f"width must be positive, got {width!r}")
        build = _Builder(norm, groups)
        images = keras.Input((None, None, 3), name="images")
        outputs = {}
        x = build.stem(images, stem_channels or _scaled(64, width), frozen=freeze_at >= 1)
        for stage, blocks in enumerate(BLOCKS[depth]):
            for block in range(blocks):
                x = build.bottleneck(
                    x,
                    name=f"res{stage + 2}_{block}",
                    channels=_scaled(64 * 2**stage, width),
                    stride=2 if stage > 0 and block == 0 else 1,
                    stride_in_1x1=stride_in_1x1,
                    project=block == 0,
                    frozen=freeze_at >= stage + 2,
                )
            outputs[f"C{stage + 2}"] = x
        kwargs.pop("dtype", None)
        super().__init__(inputs=images, outputs=outputs, **kwargs)
        self.depth = depth
        self.norm = norm
        self.stride_in_1x1 = stride_in_1x1
        self.width = width
        self.stem_channels = stem_channels
        self.freeze_at = freeze_at
        self.groups = groups
        self.strides = {"C2": 4, "C3": 8, "C4": 16, "C5": 32}


class _Builder:
    """Adds convolution, normalisation and activation to a functional graph."""

    def __init__(self, norm: str, groups: int):
        self.norm = norm
        self.groups = groups

    def convolution(
        self, x: Tensor, name: str, channels: int, kernel: int, stride: int, frozen: bool, relu: bool = True
    ) -> Tensor:
        if kernel > 1:
            x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        conv = keras.layers.Conv2D(
            channels,
            kernel,
            strides=stride,
            use_bias=self.norm == "none",
            kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal"),
            name=name,
        )
        norm = normalization(self.norm, f"{name}_norm", min(self.groups, channels))
        if frozen:
            conv.trainable = norm.trainable = False
        x = norm(conv(x))
        return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x

    def stem(self, x: Tensor, channels: int, frozen: bool) -> Tensor:
        x = self.convolution(x, "stem_conv1", channels, kernel=7, stride=2, frozen=frozen)
        # Activations are not negative here: padding with zeros is padding with nothing.
        x = keras.layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
        return keras.layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)

    def bottleneck(
        self,
        x: Tensor,
        name: str,
        channels: int,
        stride: int,
        stride_in_1x1: bool,
        project: bool,
        frozen: bool,
    ) -> Tensor:
        shortcut = x
        if project:
            shortcut = self.convolution(x, f"{name}_shortcut", 4 * channels, 1, stride, frozen, relu=False)
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        y = self.convolution(x, f"{name}_conv1", channels, 1, first, frozen)
        y = self.convolution(y, f"{name}_conv2", channels, 3, second, frozen)
        y = self.convolution(y, f"{name}_conv3", 4 * channels, 1, 1, frozen, relu=False)
        return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([y, shortcut]))


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))
