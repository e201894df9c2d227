"""From the command line to an exit status."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags

from .errors import broken_image, fail, is_users, one_line
from .flags import Flags
from .log import start_log
from .memory import keep_freed_memory
from .quiet import await_tensorflow, forget_tensorflow
from .root import SCRIPTS, as_commands


def run(
    work: Callable[[list[str]], int | None], options: Flags, document: str, argv: Sequence[str] | None
) -> int:
    """Parses the command line, runs a program and returns its exit status.

    What the user can mend (a wrong flag, setting, file or data set) becomes one line on the standard error.
    An error from the inside of a library keeps its traceback, since that is a defect and not the user's.

    Args:
        work: the program; takes the arguments without a flag and returns the exit status, None for 0.
        options: its flags.
        document: what ``--help`` says first.
        argv: the command line with the program's name; None: the process's own.
    """
    argv = list(sys.argv if argv is None else argv)
    name = Path(argv[0]).name
    if any(argument in ("--help", "-h", "-help") for argument in argv[1:]):
        try:
            print(as_commands(options.help(document, _shown_path(argv[0]))), flush=True)
        except BrokenPipeError:
            return _nobody_reads()
        return 0
    for flag in options.values:
        # A program may be called more than once in a process.
        options.values[flag].unparse()
    try:
        rest = options.values(argv)[1:]
    except flags.Error as error:
        return fail(name, f"{error}; --help lists the flags")
    if rest and not options.positional:
        return fail(name, f"got the argument {rest[0]!r}, expected flags only; --help lists them")
    return _guarded(work, rest, name, debug=options.values.debug)


def _nobody_reads() -> int:
    """The exit status where whoever reads the output has seen enough; Python's own end would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _shown_path(path: str) -> str:
    """The program's path below ``scripts/``, as a command line names it."""
    program = Path(path).resolve()
    return program.relative_to(SCRIPTS).as_posix() if program.is_relative_to(SCRIPTS) else program.name


def _guarded(work: Callable[[list[str]], int | None], rest: list[str], name: str, *, debug: bool) -> int:
    start_log()
    keep_freed_memory()
    await_tensorflow()
    try:
        status = work(rest) or 0
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return fail(name, "interrupted", status=130)
    except BrokenPipeError:
        return _nobody_reads()
    except Exception as error:
        line = broken_image(error)
        if debug or not (line or is_users(error)):
            traceback.print_exception(error)
        # Some errors tell whoever starts programs what to do.
        return fail(name, line or one_line(error), getattr(error, "exit_status", 1))
    finally:
        forget_tensorflow()
