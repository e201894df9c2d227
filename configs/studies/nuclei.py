r"""The main rows of the paper's study on microscopy: nuclei of cells, and the demonstration's detector.

python scripts/study.py --study nuclei --dataset_dir NUCLEI --workdir studies/nuclei --jobs 2
"""

import dataclasses
from pathlib import Path

from cascade_tf.study import Study, load_study

ROWS = (
    "baseline",
    "u60",
    "u70",
    "iterative",
    "integral",
    *(f"integral_u{u}" for u in (50, 60, 70)),
    "cascade",
    "stage1",
    "stages12",
    "stage2",
    "stage3",
    "samples",
    "iterations",
    "proposals_of_baseline",
    "proposals1",
    "proposals2",
    "proposals3",
)
# Nuclei are small: pictures are enlarged to the size, and the smallest anchors are for eight pixels.
CHANGES = (
    "evaluation.per_stage=true",
    "data.short_sides=192",
    "model.proposals.anchor_sizes=8,16,32,64,128",
)


def study() -> Study:
    """Those rows, and the claims that they decide."""
    whole = load_study(Path(__file__).with_name("paper.py"))
    claims = tuple(claim for claim in whole.claims if set(claim.rows) <= set(ROWS))
    return dataclasses.replace(
        whole,
        name="the paper on nuclei",
        rows=tuple(whole.row(name) for name in ROWS),
        numbers=tuple(name for name in whole.numbers if not name.startswith("mask_")),
        changes=CHANGES,
        claims=claims,
    )
