"""Compiles the C++ ops into a static library, to be linked into a model server of one's own.

docs/serving.md says what to do with it. The server must be of the TensorFlow version that is installed here.

    python scripts/build_static_ops.py --output build
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import program

OPTIONS = program.Flags(of_runs=False, settings=False)
OPTIONS.string("output", None, "Folder for libcascade_tf_ops.a.", "DIR")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(build_static_ops, OPTIONS, __doc__, argv)


def build_static_ops(arguments: Sequence[str]) -> None:
    """Writes the library to ``--output``."""
    from cascade_tf.ops import build
    from cascade_tf.ops.build_static import compile_static_library

    folder = program.writable_folder(OPTIONS.need("output"), "output folder")
    tensorflow = build.probe_tensorflow()
    if tensorflow is None:
        raise ValueError("there is no TensorFlow in this environment, expected one of the server's version")
    with program.waiting("compiling"):
        try:
            library = compile_static_library(build.source_folder(), folder, tensorflow)
        except build.BuildError as error:
            raise ValueError(str(error)) from None
    print(f"The ops for TensorFlow {tensorflow.version} lie in {library}.")


if __name__ == "__main__":
    sys.exit(main())
