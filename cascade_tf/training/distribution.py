"""Which devices train, and which images of the global batch each of them gets."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf

from cascade_tf.structures import Tensor
from cascade_tf.training.cluster import Workers


@functools.cache
def default_strategy() -> tf.distribute.Strategy:
    """Returns a strategy over every GPU of this machine; one device needs none and gets the default one.

    It is the same object in every call: two MirroredStrategies of one process number their collective
    operations alike, and the second one fails with a shape mismatch.
    """
    gpus = tf.config.list_logical_devices("GPU")
    return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()


def check_divisible(batch_size: int, strategy: tf.distribute.Strategy) -> None:
    """Raises ValueError unless every replica gets the same number of images."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(
            f"train.batch_size: got {batch_size} images for {replicas} devices, expected a multiple of "
            f"{replicas} (the batch size counts the images of all devices together)"
        )


def local_share(batch: Any) -> Any:
    """Returns this replica's consecutive part of every tensor of its host's part of the global batch.

    That reaches every replica of the host in host memory, and only the part is copied to the device. Which
    image goes where therefore depends on nothing but its place in the batch, under every strategy.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync // Workers(tf.distribute.get_strategy()).count
    if replicas == 1:
        return batch

    def part(value: Tensor) -> Tensor:
        size = value.shape[0] // replicas
        start = context.replica_id_in_sync_group % replicas * size
        result = value[start : start + size]
        result.set_shape([size, *value.shape[1:]])
        return result

    with tf.device("/cpu:0"):
        return tf.nest.map_structure(part, batch)


def batch_signature(element_spec: Any, batch_size: int) -> Any:
    """Returns the signature under which one trace serves every batch: sizes of images and objects stay open.

    Args:
        element_spec: the data set's, (ImageBatch, Targets) of tensor specs.
        batch_size: images of the global batch, or of this host's part of it.

    Raises:
        ValueError: the data set has batches of another size.
    """
    size = element_spec[0].images.shape[0]
    if size not in (None, batch_size):
        raise ValueError(f"data set: got batches of {size} images, expected train.batch_size = {batch_size}")
    open_spec = tf.nest.map_structure(lambda spec: _with_batch(spec, batch_size), element_spec)
    images, targets = open_spec
    picture = tf.TensorSpec([batch_size, None, None, images.images.shape[-1]], images.images.dtype)
    return images._replace(images=picture), targets


def _with_batch(spec: tf.TensorSpec, batch_size: int) -> tf.TensorSpec:
    return tf.TensorSpec([batch_size, *spec.shape[1:]], spec.dtype)
