"""Backbones: images in, a dict of feature maps out (``{"C2": [B, H/4, W/4, C], ...}``)."""

from cascade_tf.backbones.resnet import ResNet

__all__ = ["ResNet"]
