"""What a model server takes: a detector in, a SavedModel and the files beside its graph out."""

from cascade_tf.serving import export

__all__ = ["export"]
