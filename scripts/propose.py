r"""Writes the proposals of a detector for the images of a data set into a file, and measures their recall.

Any detector that makes proposals will do, and its classes need not be those of the data set. With --stage
the boxes are those that a later stage of a cascade sees (Table 8). The file is a NumPy archive,
docs/proposals.md describes it; a model whose part `proposals` takes them from a file reads it
(--set data.proposals=FILE). Average recall at 100, 300 and 1000 proposals goes to the standard output and,
with all numbers, to a .json file of the same name.

    python scripts/propose.py --workdir runs/rpn --dataset_dir COCO --split val --output proposals/val.npz
    python scripts/propose.py --workdir runs/cascade --stage 3 --output recall/stage3.npz
    python scripts/propose.py --weights detectron2/cascade_mask_rcnn_R_50_FPN_3x --dataset_dir COCO \
        --split train --output proposals/train.npz --nomeasure --set model.proposals.post_nms_test=2000
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import program

if TYPE_CHECKING:
    from cascade_tf.data.dataset import CocoDataset
    from cascade_tf.data.proposal_set import ProposalSet
    from cascade_tf.metrics import RecallResult

OPTIONS = program.Flags(weights=True)
OPTIONS.string("split", "val", "Which split: val, train, test, all, or any other that the data set has.")
OPTIONS.string("output", None, "The file, with the suffix .npz.", "FILE")
OPTIONS.integer("stage", 1, "Of which stage of the cascade: the boxes that it sees.", lower=1)
OPTIONS.boolean("measure", True, "Measures the average recall, which takes objects in the data set.")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(propose, OPTIONS, __doc__, argv)


def propose(arguments: Sequence[str]) -> None:
    """Writes the proposals of the detector of ``--workdir`` or ``--weights``."""
    path = Path(OPTIONS.need("output"))
    if path.suffix != ".npz":
        raise ValueError(f"output {path}: got the suffix {path.suffix!r}, expected .npz")
    detector, experiment = program.open_detector(OPTIONS, needs_heads=False)
    if detector.takes_proposals:
        raise ValueError("the detector takes its proposals from a file, expected one that makes them")
    from cascade_tf.proposal_files import write_proposals
    from cascade_tf.proposal_files.collecting import check_stage

    check_stage(detector, OPTIONS.values.stage)
    # What is proposed has no class, so that those of the data set may be any.
    data = dataclasses.replace(experiment.data, one_class=True)
    experiment = dataclasses.replace(experiment, data=data, class_names=(), category_ids=())
    dataset = program.read_split(experiment, OPTIONS.values.split)
    program.writable_folder(path.parent, "folder of --output")
    proposals = collect(
        detector,
        dataset,
        stage=OPTIONS.values.stage,
        batch_size=experiment.evaluation.batch_size,
        skip_broken=data.skip_broken,
        upright=data.upright,
    )
    write_proposals(path, proposals)
    if OPTIONS.values.measure and not dataset.labelled:
        program.warn(f"{dataset.annotation_file}: has no labels, the recall cannot be measured")
    elif OPTIONS.values.measure:
        result = measure(dataset, proposals)
        result.to_json(path.with_suffix(".json"))
        print(result.to_table())
    print(f"\n{len(proposals.boxes)} proposals for {len(proposals.image_ids)} images lie in {path}.")


def collect(detector: Any, dataset: CocoDataset, **how: Any) -> ProposalSet:
    """Proposes boxes in each image of a data set with a progress bar, see ``collect_proposals``."""
    from cascade_tf.proposal_files.collecting import collect_proposals

    images = len(dataset.examples)
    with program.progress_bar(images, "proposing", "image", first="tracing the network") as bar:
        return collect_proposals(detector, dataset, progress=bar.update, **how)


def measure(dataset: CocoDataset, proposals: ProposalSet) -> RecallResult:
    """Returns the average recall of proposals for the images of a data set."""
    from cascade_tf.metrics import evaluate_proposals

    with program.waiting("measuring"):
        records = enumerate(proposals.image_ids.tolist())
        given = ((image_id, *proposals.of_record(record)) for record, image_id in records)
        return evaluate_proposals(dataset.ground_truth(), given)


if __name__ == "__main__":
    sys.exit(main())
