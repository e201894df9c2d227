"""Readers of pre-trained weights."""

from cascade_tf.weights.resnet import load_resnet_npz

__all__ = ["load_resnet_npz"]
