r"""Converts a checkpoint of another framework to one Keras weights file that describes its detector.

The architecture is read off the checkpoint's tensors, the conventions are those of its framework, and what
became of the tensors is printed. The result needs no configuration: give it to --weights of evaluate.py,
predict.py, export.py and train.py, or to cascade_tf.load.

    python scripts/convert_weights.py --source detectron2 --checkpoint model_final_480dd8.pkl \\
        --output cascade_r50.weights.h5
    python scripts/convert_weights.py --checkpoint cascade_rcnn_r50_fpn_1x_coco_20200316-3dc56deb.pth \\
        --output mm.weights.h5 --set model.score_threshold=0.2
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import program

from cascade_tf.files import write_atomically

SOURCES = ("auto", "detectron2", "mmdetection", "detectron", "tensorpack")
OPTIONS = program.Flags(of_runs=False)
OPTIONS.choice("source", "auto", SOURCES, "The checkpoint's framework; auto goes by the tensors' names.")
OPTIONS.string("checkpoint", None, "The checkpoint: a file, or a name of the catalogue.", "FILE")
OPTIONS.string("output", None, "The file to write; its name ends in .weights.h5.", "FILE.weights.h5")
OPTIONS.string("class_names", None, "Names of other classes, with commas, for fine-tuning.", "NAME,NAME")
OPTIONS.boolean("allow_partial", False, "Loads what fits where checkpoint and detector differ.")
OPTIONS.string("report", None, "A file for the account of every tensor, besides the summary.", "FILE")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(convert, OPTIONS, __doc__, argv)


def convert(arguments: Sequence[str]) -> None:
    """Converts ``--checkpoint`` to ``--output``."""
    from cascade_tf.weights_file import SUFFIX

    checkpoint, output = OPTIONS.need("checkpoint"), Path(OPTIONS.need("output"))
    if not output.name.endswith(SUFFIX):
        raise ValueError(f"--output: got {str(output)!r}, expected a name that ends in {SUFFIX}")
    program.writable_folder(output.parent, "output folder")
    from cascade_tf.weights.importing import import_checkpoint
    from cascade_tf.weights_file import write_weights_file
    from cascade_tf.weights_source import experiment_of, find_weights

    found = find_weights(checkpoint)
    changes, _ = program.model_changes(OPTIONS)
    names = OPTIONS.values.class_names
    imported = import_checkpoint(
        found.path,
        OPTIONS.values.source,
        class_names=[name.strip() for name in names.split(",")] if names else None,
        allow_partial=OPTIONS.values.allow_partial,
        **{**found.settings, **changes},
    )
    write_weights_file(output, imported.detector, experiment_of(found, imported))
    print(imported.report.to_text())
    if OPTIONS.values.report:
        write_atomically(OPTIONS.values.report, imported.report.to_lines())
    print(f"The detector lies in {output}.")


if __name__ == "__main__":
    sys.exit(main())
