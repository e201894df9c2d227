"""Another process of the run is gone, as TensorFlow tells it: in the next operation of all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from cascade_tf.training.watchdog import STALLED

# Sums and broadcasts over the processes have it in their names, which the error has in its text.
_COLLECTIVE = "Collective"
_OF_CONNECTIONS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


class WorkerLostError(RuntimeError):
    """Another process of the run has died; this one cannot go on without it.

    Attributes:
        exit_status: of a program that ends with it, that of one whom the watchdog ends.
    """

    exit_status = STALLED


def tells_of_lost_worker(error: Exception) -> bool:
    """Whether an error of TensorFlow says that another process does not answer."""
    if isinstance(error, WorkerLostError):
        return True
    return isinstance(error, _OF_CONNECTIONS) and _COLLECTIVE in str(error)


@contextlib.contextmanager
def lost_workers_named() -> Iterator[None]:
    """Turns such an error of TensorFlow, which is a page of its inside, into one line.

    Raises:
        WorkerLostError: another process has died.
    """
    try:
        yield
    except Exception as error:
        if not tells_of_lost_worker(error):
            raise
        raise WorkerLostError(
            "another process of the run has died or cannot be reached; the same command on all hosts goes on "
            "from the last checkpoint"
        ) from error
