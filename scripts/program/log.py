"""Lines about what goes on: the log, and warnings beside a progress bar."""

from __future__ import annotations

import sys
from logging import INFO, Formatter

from absl import flags, logging
from tqdm import tqdm


def start_log() -> None:
    """Lets the log write lines with the time on the standard error, of TensorFlow's only warnings."""
    # The flags live apart from absl's own, which logging would otherwise wait for.
    flags.FLAGS.mark_as_parsed()
    logging.use_absl_handler()
    handler = logging.get_absl_handler()
    handler.setFormatter(Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    # TensorFlow says how long it took to arrange each checkpoint.
    handler.addFilter(lambda record: record.levelno > INFO or "/tensorflow/" not in record.pathname)
    logging.set_verbosity(logging.INFO)


def warn(line: str) -> None:
    """Writes a line on the standard error, above a progress bar if there is one."""
    tqdm.write(line, file=sys.stderr)
