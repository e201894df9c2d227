"""The masks of an annotation file's objects."""

from __future__ import annotations

from typing import Any

from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.annotations.values import is_ignored, record_name
from cascade_tf.data.segmentation import compact_segmentation
from cascade_tf.wording import count_of


class Masks:
    """Checks the masks of annotations; those that are missing are told together at the end."""

    def __init__(self, report: BrokenRecords):
        self.ignored: list[int] = []
        self._report = report
        self._missing: list[str] = []
        self._objects = self._found = 0

    def read(self, position: int, record: dict, height: int, width: int) -> Any:
        """Gives an object's mask in compact form; None for a crowd, and for an object that becomes one."""
        where, crowd = record_name("annotations", position, record), bool(record.get("iscrowd", 0))
        needless = crowd or is_ignored(record)
        segmentation, mask = record.get("segmentation"), None
        # Tools that draw boxes alone write nothing, null or an empty list.
        if segmentation not in (None, []):
            mask = self._check(where, segmentation, height, width)
        elif not needless:
            self._missing.append(where)
        if mask is None:
            self.ignored.append(position)
        if crowd:
            return None
        self._objects += not needless
        self._found += mask is not None and not needless
        return mask

    def _check(self, where: str, segmentation: Any, height: int, width: int) -> Any:
        try:
            return compact_segmentation(segmentation, (height, width))
        except ValueError as error:
            ending = "; its object is ignored" if self._report.skip_broken else ""
            self._report.broken(f"{where}: segmentation: {error}{ending}")
            return None

    def finish(self) -> None:
        """Complains about the objects without a mask; where none has one, whatever may be skipped."""
        count = f"{len(self._missing)} of {self._objects} objects have no segmentation"
        if self._missing and not (self._report.skip_broken and self._found):
            raise ValueError(
                f"{self._report.annotation_file}: {count}, the first is {self._missing[0]}; expected one for "
                "each object, since masks are to be learnt"
            )
        if self._objects and not self._found:
            dropped = self._report.dropped
            records = count_of(len(dropped), "record was", "records were")
            raise ValueError(
                f"{self._report.annotation_file}: no object has a usable segmentation, expected masks to "
                f"learn; {records} dropped, the first: {dropped[0]}"
            )
        for where in self._missing:
            self._report.drop(f"{where}: has no segmentation; its object is ignored")
