"""WIDER FACE's protocol: weights are judged by AP on the hard faces, which are all that count.

Which faces are easy, medium and hard no annotation says, but the four .mat files of the benchmark's own
evaluation, for its validation images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.sources.widerface import FACE, WiderFaceSplit
from cascade_tf.formats.widerface import HARD_FACES, SETTINGS, Faces, find_ground_truth, read_ground_truth
from cascade_tf.metrics import BenchmarkResult, evaluate_widerface
from cascade_tf.metrics.measurement import Grid
from cascade_tf.protocols.detections import by_image
from cascade_tf.protocols.protocol import Protocol, at_iou


class WiderFaceProtocol(Protocol):
    """AP on easy, medium and hard faces at IoU 0.5 and 0.75.

    Args:
        dataset: see `Protocol`.
        ious: see `Protocol`.
        ground_truth: folder of the .mat files; None: they are looked for in the data set's.

    Raises:
        FileNotFoundError: one of the files is missing there.
        RuntimeError: SciPy, which reads them, is not installed.
        ValueError: see `Protocol`, or a file is broken.
    """

    name = "widerface"
    own_ious = (0.5, 0.75)

    def __init__(
        self, dataset: CocoDataset, ious: Sequence[float] = (), *, ground_truth: str | None = None
    ) -> None:
        self._ground_truth = ground_truth
        self._truth: dict[int, Faces] = {}
        super().__init__(dataset, ious)

    @property
    def judge(self) -> str:
        """See `Protocol.judge`: that of the first overlap."""
        return f"{self.name}/{at_iou('AP/hard', self.ious[0])}"

    def check(self) -> None:
        """See `Protocol.check`. Reads the faces of the settings."""
        source = self.dataset.source
        if not isinstance(source, WiderFaceSplit):
            raise self.missing("is not laid out as WIDER FACE, whose images belong to events")
        self.need_classes((FACE,))
        faces = read_ground_truth(self._folder(source.root))
        wanted = {example.image_id for example in self.dataset.examples}
        for image_id, image in source.annotated():
            if image_id not in wanted:
                continue
            if (image.event, image.name) not in faces:
                raise self.missing(
                    f"has {image.event}/{image.name}, which is no image of the validation set with easy, "
                    "medium and hard faces"
                )
            self._truth[image_id] = faces[image.event, image.name]

    def benchmark(self, detections: Sequence[Mapping[str, Any]], image_ids: Sequence[int]) -> BenchmarkResult:
        """See `Protocol.benchmark`."""
        found = by_image(detections, image_ids, self.dataset.categories)
        boxes = [(one.of(FACE).corners(), one.of(FACE).scores) for one in found.values()]
        truth = [self._truth[image_id] for image_id in found]
        numbers: dict[str, float] = {}
        for iou in self.ious:
            measured = evaluate_widerface(truth, boxes, iou=iou)
            numbers |= {at_iou(name, iou): value for name, value in measured.items()}
        rows = [(f"IoU >= {iou:g}", tuple(at_iou(f"AP/{s}", iou) for s in SETTINGS)) for iou in self.ious]
        judge = at_iou("AP/hard", self.ious[0])
        title = "WIDER FACE: average precision"
        return BenchmarkResult(
            self.name, title, numbers, judge, False, tuple(numbers), Grid(SETTINGS, tuple(rows))
        )

    def _folder(self, root: Path) -> Path:
        if self._ground_truth is not None:
            return Path(self._ground_truth)
        found = find_ground_truth(root)
        if found is None:
            raise self.missing(
                f"has no {HARD_FACES} and others beside it in {root / 'ground_truth'} "
                "(evaluation.ground_truth names another folder)"
            )
        return found
