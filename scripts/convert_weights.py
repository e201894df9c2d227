r"""Converts a checkpoint of another framework to one Keras weights file that describes its detector.

The architecture is read off the checkpoint's tensors, the conventions are those of its framework, and what
became of the tensors is printed. The result needs no configuration: give it to --weights of evaluate.py,
predict.py, export.py and train.py, or to cascade_tf.load.

    python scripts/convert_weights.py --source detectron2 --checkpoint model_final_480dd8.pkl \\
        --output cascade_r50.weights.h5
    python scripts/convert_weights.py --checkpoint cascade_rcnn_r50_fpn_1x_coco_20200316-3dc56deb.pth \\
        --output mm.weights.h5 --set model.output.score_threshold=0.2
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import program

from cascade_tf.files import write_atomically

# The families of detectors; their own list would bring TensorFlow, and --help would take seconds.
SOURCES = ("auto", "detectron2", "mmdetection", "detectron", "tensorpack", "caffe", "mscnn")
OPTIONS = program.Flags(of_runs=False)
OPTIONS.choice("source", "auto", SOURCES, "The checkpoint's framework; auto goes by the tensors' names.")
OPTIONS.string("checkpoint", None, "The checkpoint: a file, or a name of the catalogue.", "FILE")
OPTIONS.string("output", None, "The file to write; its name ends in .weights.h5.", "FILE.weights.h5")
OPTIONS.string(
    "class_names",
    None,
    "Names of the classes, with commas, where the checkpoint does not tell them; another number of them is "
    "for fine-tuning.",
    "NAME,NAME",
)
OPTIONS.string(
    "category_ids", None, "The data set's ids of the classes, with commas. Default: 1, 2, ...", "ID,ID"
)
OPTIONS.string(
    "annotations",
    None,
    "An annotation file in COCO layout that has the names and ids of the classes.",
    "FILE",
)
OPTIONS.boolean("allow_partial", False, "Loads what fits where checkpoint and detector differ.")
OPTIONS.string("report", None, "A file for the account of every tensor, besides the summary.", "FILE")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(convert, OPTIONS, __doc__, argv)


def convert(arguments: Sequence[str]) -> None:
    """Converts ``--checkpoint`` to ``--output``."""
    from cascade_tf.experiment.weights_file import SUFFIX

    checkpoint, output = OPTIONS.need("checkpoint"), Path(OPTIONS.need("output"))
    if not output.name.endswith(SUFFIX):
        raise ValueError(f"--output: got {str(output)!r}, expected a name that ends in {SUFFIX}")
    program.writable_folder(output.parent, "output folder")
    from cascade_tf.experiment.weights_file import write_weights_file
    from cascade_tf.experiment.weights_source import adjustable_model, experiment_of, find_weights
    from cascade_tf.weights.importing import import_checkpoint

    names, ids = _classes()
    changes = program.model_changes(OPTIONS, lambda: adjustable_model(checkpoint, OPTIONS.values.source))
    found = find_weights(checkpoint)
    imported = import_checkpoint(
        found.path,
        OPTIONS.values.source,
        class_names=names,
        category_ids=ids,
        allow_partial=OPTIONS.values.allow_partial,
        **{**found.settings, **changes},
    )
    write_weights_file(output, imported.detector, experiment_of(found, imported))
    print(imported.report.to_text())
    if OPTIONS.values.report:
        write_atomically(OPTIONS.values.report, imported.report.to_lines())
    print(f"The detector lies in {output}.")


def _classes() -> tuple[list[str] | None, list[int] | None]:
    """Names and ids of the classes as the flags give them; None leaves them to the checkpoint."""
    values = OPTIONS.values
    if values.annotations:
        if values.class_names or values.category_ids:
            raise ValueError("got --annotations with --class_names or --category_ids, expected one of them")
        categories = read_categories(Path(values.annotations))
        return [name for _, name in categories], [number for number, _ in categories]
    names = [name.strip() for name in values.class_names.split(",")] if values.class_names else None
    if not values.category_ids:
        return names, None
    try:
        return names, [int(part) for part in values.category_ids.split(",")]
    except ValueError:
        raise ValueError(f"--category_ids: got {values.category_ids!r}, expected whole numbers") from None


def read_categories(path: Path) -> list[tuple[int, str]]:
    """Returns ids and names of the classes of an annotation file, by ascending id as data sets are read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has no lists of images, annotations and categories, or a category is broken.
    """
    from cascade_tf.data.coco import read_classes

    return [(category.id, category.name) for category in read_classes(path)]


if __name__ == "__main__":
    sys.exit(main())
