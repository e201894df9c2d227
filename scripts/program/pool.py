"""Commands that run at the same time, some of them waiting for their turn."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

# Numbers of threads that NumPy and TensorFlow take from the environment.
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


class Command(NamedTuple):
    """A command and where its output goes.

    Attributes:
        words: of the command line.
        log: file that its output is added to.
    """

    words: tuple[str, ...]
    log: Path

    def reason(self, status: int) -> str:
        """Why it failed, from the last lines of its output."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.is_file() else ""
        lines = text.strip().splitlines()
        errors = [line for line in lines if "error: " in line] or lines
        return errors[-1] if errors else f"ended with status {status}"


def run_commands(
    commands: Sequence[Command],
    *,
    jobs: int,
    on_end: Callable[[Command, int], object],
    every: float,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Runs commands, each in a process of its own; where several run, they share the processor's cores.

    An interruption is handed on as SIGTERM to those that are running, and waits until they have ended.

    Args:
        commands: in this order.
        jobs: how many run at the same time.
        on_end: called with each command that has ended and its exit status.
        every: seconds between two looks.
        meanwhile: called at each look.
    """
    waiting, working = list(commands), dict[subprocess.Popen, Command]()
    try:
        while waiting or working:
            while waiting and len(working) < jobs:
                command = waiting.pop(0)
                working[_start(command, jobs)] = command
            time.sleep(every)
            for process in [process for process in working if process.poll() is not None]:
                on_end(working.pop(process), process.returncode)
            meanwhile()
    except KeyboardInterrupt:
        for process in working:
            process.send_signal(signal.SIGTERM)
        for process in working:
            process.wait()
        raise


def _start(command: Command, jobs: int) -> subprocess.Popen:
    command.log.parent.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    with command.log.open("ab") as log:
        return subprocess.Popen(
            command.words,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(dict.fromkeys(_THREADS, threads) if jobs > 1 else {})},
            start_new_session=True,
        )
