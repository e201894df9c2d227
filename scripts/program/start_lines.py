"""Copies its input to its output without what TensorFlow says when it starts; errors stay."""

from __future__ import annotations

import re
import sys

# I and W are for information and warnings, at the start of a line or behind a date.
_NOISE = re.compile(
    rb"[IW]\d{4} \d\d:\d\d:\d"
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] "
    rb"|WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR"
    rb"|To enable the following instructions: "
)
# Told as errors in builds for GPUs, where two parts bring the same plug-in: nothing is wrong.
_HARMLESS = re.compile(rb"Unable to register cu(DNN|FFT|BLAS) factory|computation placer already registered")


def is_noise(line: bytes) -> bool:
    """Whether a line says nothing that a user could act on."""
    return bool(_NOISE.match(line) or _HARMLESS.search(line))


def main() -> None:
    """Copies line by line, each as soon as it is there."""
    for line in iter(sys.stdin.buffer.readline, b""):
        if not is_noise(line):
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
