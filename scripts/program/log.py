"""Lines about what goes on: the log, and warnings beside a progress bar."""

from __future__ import annotations

import io
import sys
from logging import INFO, Formatter, LogRecord

from absl import flags, logging
from tqdm import tqdm


class _AboveBars(io.TextIOBase):
    """The standard error of the moment; lines go above the progress bars."""

    def write(self, text: str) -> int:
        tqdm.write(text, file=sys.stderr, end="")
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()


def start_log() -> None:
    """Lets the log write lines with the time on the standard error, of TensorFlow's only warnings."""
    # The flags live apart from absl's own, which logging would otherwise wait for.
    flags.FLAGS.mark_as_parsed()
    logging.use_absl_handler()
    handler = logging.get_absl_handler()
    handler.python_handler.setStream(_AboveBars())
    handler.setFormatter(Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    # A program may be called more than once in a process.
    handler.removeFilter(_is_for_users)
    handler.addFilter(_is_for_users)
    logging.set_verbosity(logging.INFO)


def _is_for_users(record: LogRecord) -> bool:
    """TensorFlow says how long it took to arrange each checkpoint."""
    return record.levelno > INFO or "/tensorflow/" not in record.pathname


def warn(line: str) -> None:
    """Writes a line on the standard error, above a progress bar if there is one."""
    tqdm.write(line, file=sys.stderr)
