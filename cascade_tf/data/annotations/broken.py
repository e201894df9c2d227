"""Records that cannot be used: collected while a file is read, and told together."""

from __future__ import annotations

import os

SHOWN_RECORDS = 20
"""So many broken records are listed, enough to see a pattern; the others are counted."""

REMEDY = "skip_broken leaves them out (in programs --set data.skip_broken=true)"
"""What messages say about broken records that stop the reading."""


class BrokenRecords:
    """What is wrong with an annotation file's records.

    Args:
        annotation_file: what messages begin with.
        skip_broken: broken records are left out and listed in ``dropped``, instead of stopping at the end.

    Attributes:
        dropped: a line for each record that is left out.
        left_out: those of them that would have stopped the reading otherwise.
    """

    def __init__(self, annotation_file: str | os.PathLike[str], skip_broken: bool) -> None:
        self.annotation_file = str(annotation_file)
        self.skip_broken = skip_broken
        self.dropped: list[str] = []
        self.left_out: list[str] = []
        self._broken: list[str] = []
        self._files_alone = True

    def broken(self, message: str, *, missing_file: bool = False) -> None:
        """Notes a record that is broken.

        Args:
            message: names the record and the field, what came and what was expected.
            missing_file: the record is right but the file that it names does not exist.
        """
        if self.skip_broken:
            self.drop(message)
            self.left_out.append(message)
        else:
            self._broken.append(message)
            self._files_alone &= missing_file

    def drop(self, message: str) -> None:
        """Notes a record that is left out, whatever ``skip_broken`` says."""
        self.dropped.append(message)

    def finish(self) -> None:
        """Stops if records are broken and are not to be left out.

        Raises:
            FileNotFoundError: all that is wrong is that files do not exist.
            ValueError: a record is broken. The message lists up to ``SHOWN_RECORDS``, each on a line of its
                own if there are more than one.
        """
        count = len(self._broken)
        if not count:
            return
        lines = self._broken[:SHOWN_RECORDS]
        if count > SHOWN_RECORDS:
            lines.append(f"... and {count - SHOWN_RECORDS} more")
        if count == 1:
            message = f"{self.annotation_file}: {lines[0]}; {REMEDY}"
        else:
            message = "\n  ".join([f"{self.annotation_file}: {count} records are broken; {REMEDY}:", *lines])
        raise (FileNotFoundError if self._files_alone else ValueError)(message)
