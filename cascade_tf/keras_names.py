"""Keras knows the package's classes by their names, though none is imported: `import cascade_tf` is enough.

A class is registered where it is defined, which needs Keras and TensorFlow. Until then something stands in
Keras's registry that imports it when a file names it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

CLASSES = {
    "cascade_tf.backbones": ("AlexNet", "ResNet", "VGG16"),
    "cascade_tf.heads": (
        *("BoxHead", "CascadeHeads", "ConvFCHead", "IntegralHeads", "MaskBranch", "MaskHead"),
        *("PositionSensitiveHead", "ProposalsOnly", "Stage"),
    ),
    "cascade_tf.layers": (
        *("DeformableConv2D", "DetectionOutput", "DilatedConv2D", "FrozenBatchNormalization"),
        *("GroupNormalization", "GroupedConv2D", "LocalResponseNormalization", "PixelNormalization"),
    ),
    "cascade_tf.models": ("TwoStageDetector",),
    "cascade_tf.necks": ("FPN", "FPNPlus", "ScaleMaps"),
    "cascade_tf.pooling": ("DetectionFeatures", "GridROIAlign", "PSROIPool", "ROIAlign", "ROIPool"),
    "cascade_tf.proposals": ("BranchProposals", "GivenProposals", "LevelProposals", "RegionProposal"),
    "cascade_tf.training.optimizer": ("MomentumSGD",),
    "cascade_tf.training.schedule": ("WarmupSteps",),
}
"""The classes that files of Keras's may name, by the module that has them."""
_REGISTRY = "keras.saving"


def announce() -> None:
    """Enters the names into Keras's registry, or if Keras is not imported yet as soon as it is."""
    if _REGISTRY in sys.modules:
        _enter(sys.modules[_REGISTRY])
    else:
        sys.meta_path.insert(0, _AfterKeras())


class _ToBeImported:
    """Stands for a class: Keras asks it for an object of a configuration."""

    def __init__(self, module: str, name: str):
        self.module = module
        self.name = name

    def from_config(self, config: dict[str, Any]) -> Any:
        return getattr(importlib.import_module(self.module), self.name).from_config(config)


class _AfterKeras(MetaPathFinder):
    """Finds Keras's registry as all others do, and enters the names when it has been imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _REGISTRY:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_enter(module: ModuleType) -> None:
                execute(module)
                _enter(module)

            spec.loader.exec_module = execute_and_enter  # type: ignore[method-assign]
        return spec


def _enter(registry: ModuleType) -> None:
    known = registry.get_custom_objects()
    for module, names in CLASSES.items():
        for name in names:
            known.setdefault(f"cascade_tf>{name}", _ToBeImported(module, name))
