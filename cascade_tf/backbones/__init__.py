"""Backbones: images in, a dict of feature maps out (``{"C2": [B, H/4, W/4, C], ...}``)."""

from cascade_tf.backbones.alexnet import AlexNet
from cascade_tf.backbones.resnet import ResNet
from cascade_tf.backbones.vgg import VGG16

__all__ = ["VGG16", "AlexNet", "ResNet"]
