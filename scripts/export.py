"""Writes a trained detector as a SavedModel that TensorFlow Serving loads.

The model holds core TensorFlow ops only, takes encoded images of any sizes or a tensor, and answers with
boxes in pixels of the original images. It goes to the folder <output>/<version>/, as the model server expects
it.

    python scripts/export.py --workdir runs/mine
    python scripts/export.py --workdir runs/mine --output models/cells --version 2
    python scripts/export.py --workdir runs/mine --version 3 --export_status
    python scripts/export.py --weights detectron2/cascade_mask_rcnn_R_50_FPN_3x --output models/zoo
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import program

OPTIONS = program.Flags(weights=True)
OPTIONS.string("output", None, "Folder of the versions. Default: export/ in the run's folder.", "DIR")
OPTIONS.integer("version", 1, "Number of this version; the model server takes the highest.", lower=1)
OPTIONS.boolean(
    "export_status",
    False,
    "Answers an image that cannot be decoded with an empty result and status 1, in place of an error for the "
    "whole batch.",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(export, OPTIONS, __doc__, argv)


def export(arguments: Sequence[str]) -> None:
    """Exports the detector of ``--workdir`` or ``--weights``."""
    version, folder = OPTIONS.values.version, _folder()
    if (folder / str(version)).exists():
        raise ValueError(
            f"version {version}: {folder / str(version)} exists, expected a new --version or --output"
        )
    detector, experiment = program.open_detector(OPTIONS)
    if OPTIONS.values.dataset_dir:
        program.read_split(experiment, "val")
    program.writable_folder(folder, "output folder")
    from cascade_tf.serving.export import export_saved_model

    with program.waiting("tracing and writing the model"):
        status = OPTIONS.values.export_status
        path = export_saved_model(
            detector,
            folder,
            version=version,
            export_status=status,
            upright=experiment.data.upright,
        )
    print(f"The SavedModel lies in {path}.")


def _folder() -> Path:
    if not OPTIONS.values.weights:
        OPTIONS.need("workdir")
    return program.output_folder(OPTIONS, "export")


if __name__ == "__main__":
    sys.exit(main())
