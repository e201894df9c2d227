"""The C++ ops as a static library, for a program that has TensorFlow inside, such as a model server."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from cascade_tf.ops import build

LIBRARY = "libcascade_tf_ops.a"


def compile_static_library(folder: Path, output_folder: Path, tensorflow: build.TensorFlowInfo) -> Path:
    """Compiles the sources into ``libcascade_tf_ops.a``; returns its path.

    The ops register themselves when the program starts, and nothing names them: the linker has to take the
    whole archive (``alwayslink``, ``--whole-archive``).

    Args:
        folder: the C++ sources.
        output_folder: where the library goes.
        tensorflow: headers and macros of the TensorFlow that the program has inside; nothing is linked.

    Raises:
        BuildError: no sources, no compiler, no ``ar``, an unwritable folder, or an error of one of them.
    """
    sources = [path for path in build.cpu_files(folder) if path.suffix == ".cc"]
    compiler, archiver = build.required_compiler(sources, folder), shutil.which("ar")
    if archiver is None:
        raise build.BuildError("no ar found: install binutils")
    library = output_folder / LIBRARY
    with tempfile.TemporaryDirectory() as scratch, build.file_to_be(library) as partial:
        compiled = Path(scratch) / "cascade_tf_ops.o"
        command = [compiler, "-c", *build.COMPILE_FLAGS, *tensorflow.compile_flags, "-x", "c++", "-"]
        build.run_compiler([*command, "-o", str(compiled)], sources)
        result = subprocess.run([archiver, "rcs", partial, compiled], capture_output=True, text=True)
        if result.returncode:
            raise build.BuildError(f"{archiver}: {result.stderr.strip()}")
    return library
