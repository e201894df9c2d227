"""Import of checkpoints: whole detectors of other frameworks, and backbones trained on ImageNet."""

from cascade_tf.weights.importing import (
    Description,
    Imported,
    describe_checkpoint,
    import_checkpoint,
    import_weights,
    load_backbone,
)
from cascade_tf.weights.zoo.pretrained import checkpoint_path, list_pretrained, load_pretrained

__all__ = [
    "Description",
    "Imported",
    "checkpoint_path",
    "describe_checkpoint",
    "import_checkpoint",
    "import_weights",
    "list_pretrained",
    "load_backbone",
    "load_pretrained",
]
