"""COCO's protocol alone, which every data set can be measured by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cascade_tf.protocols.protocol import Protocol


class CocoProtocol(Protocol):
    """COCO's numbers; weights are judged by AP."""

    name = "coco"

    @property
    def judge(self) -> str:
        """See `Protocol.judge`."""
        return "AP"

    def check(self) -> None:
        """See `Protocol.check`: nothing is needed."""

    def benchmark(self, detections: Sequence[Mapping[str, Any]], image_ids: Sequence[int]) -> None:
        """See `Protocol.benchmark`: there are no others."""
