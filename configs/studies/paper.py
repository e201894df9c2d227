r"""The paper's comparisons in the small: single detectors, its two baselines, the cascade and its ablations.

All rows are the small detector of the demonstration on feature pyramids, so that two cores can train them, on
pictures of crowds: many, small and much hidden objects, whose boxes a single detector finds at IoU 0.9 as
rarely as on COCO. The figures beside ours are the paper's, of FPN+ with ResNet-50 on COCO, and of Mask R-CNN
where there are masks: what can be compared is which way a difference goes.

    python scripts/make_demo_dataset.py --kind crowd --output CROWD --num_val 150 --height 144 --width 192
    python scripts/study.py --study paper --dataset_dir CROWD --workdir studies/paper --jobs 2
"""

from typing import Any

from cascade_tf.study import Again, Claim, Row, Study, more_than
from cascade_tf.study.plan import Sum

COLUMNS = ("AP", "AP50", "AP60", "AP70", "AP80", "AP90")
MASKS = tuple(f"mask_{column}" for column in COLUMNS)
# Pictures as they are drawn, and anchors for what is in them.
CROWDS = (
    "data.short_sides=144",
    "data.max_side=192",
    "model.short_side=144",
    "model.max_side=192",
    "model.proposals.anchor_sizes=12,24,48,96,192",
)
BOXES = "model.heads.masks=none"
CASCADE = ("demo/cascade", (BOXES,))
SINGLE = "demo/faster"
INTEGRAL = (
    "model.heads=integral",
    "model.heads.head.units=256",
    "model.heads.num_samples=64",
    "model.heads.pooling.canonical_size=112",
)
FOUR = "model.heads.ious=0.5,0.6,0.7,0.75"
SHARES = tuple(f"samples_{stage}/0.{u}" for stage in (1, 2, 3) for u in (5, 6, 7))
# IoU after one regression and after three, of proposals with IoU from 0.9 to 0.925 and on to 0.95.
ITERATED = tuple(f"localization_along/after {n}/{middle}" for n in (1, 3) for middle in ("0.9125", "0.9375"))
OBJECTS = "truth/proposals and objects"
# What measure_deltas.py says of a cascade that was trained on these pictures with seed 1, without outliers.
MEASURED = tuple(
    f"model.heads.{name}=" + ",".join(f"[{stage}]" for stage in stages)
    for name, stages in {
        "means": (
            "-0.0060,0.0014,0.0625,0.0613",
            "-0.0020,0.0005,0.0329,0.0317",
            "-0.0002,0.0009,0.0087,0.0085",
        ),
        "stds": (
            "0.1294,0.1271,0.1960,0.1875",
            "0.0722,0.0679,0.1468,0.1422",
            "0.0402,0.0385,0.0959,0.0900",
        ),
    }.items()
)
# Half and twice the deviations of Eq. 5, stage by stage.
DEVIATIONS = tuple(
    ",".join(
        "[" + ",".join(f"{factor * deviation / (stage + 1):.4f}" for deviation in (0.1, 0.1, 0.2, 0.2)) + "]"
        for stage in range(3)
    )
    for factor in (0.5, 2.0)
)


def paper(*values: float, columns: tuple[str, ...] = COLUMNS) -> dict[str, float]:
    """Figures of the paper by their columns."""
    return dict(zip(columns, values, strict=True))


def cascade(
    name: str,
    *changes: str,
    source: str,
    stage: int | None = None,
    figures: tuple = (),
    versus: str = "",
) -> Row:
    """The cascade with changes."""
    config, own = CASCADE
    numbers = paper(*figures) if figures else {}
    return Row(name, config, (*own, *changes), stage, numbers, source, versus=versus)


def ablation(name: str, *changes: str, **settings: Any) -> Row:
    """The cascade with changes, beside the cascade without."""
    return cascade(name, *changes, versus="cascade", **settings)


def masks(name: str, *changes: str, figures: tuple) -> Row:
    """A detector with masks; the paper's figures are those of the masks."""
    other = "masks_baseline" if name != "masks_baseline" else ""
    numbers = paper(*figures, columns=MASKS)
    return Row(name, "demo/cascade", changes, paper=numbers, source="Table 9", versus=other)


def again(
    name: str,
    row: str,
    program: str,
    *flags: str,
    source: str,
    line: str = "",
    figures: tuple = (),
    **more: Any,
) -> Row:
    """A row that is measured on the runs of another one."""
    measured = Again(row, program, flags, line)
    return Row(
        name, **{"paper": paper(*figures) if figures else {}, "again": measured, "source": source, **more}
    )


def recall(name: str, row: str, stage: int, *figures: float) -> Row:
    """Recall of 100 and of 1000 proposals after a stage's predecessors."""
    numbers = ("AR100", "AR1000")
    known = dict(zip(numbers, figures, strict=True))
    return again(
        name, row, "propose", f"--stage={stage}", source="Table 8", numbers=numbers, paper=known, versus=""
    )


def gain_grows(low: str, high: str) -> Sum:
    """That the cascade's gain over the baseline is larger in one number than in another."""
    return (*more_than("cascade", "baseline", high), *more_than("baseline", "cascade", low))


def at_least(share: str, factor: float, other: str) -> Sum:
    """That a share of the cascade's samples is at least a multiple of another one."""
    return ((1.0, "samples", share), (-factor, "samples", other))


ROWS = (
    Row("baseline", SINGLE, paper=paper(34.9, 57.0, 51.9, 43.6, 29.7, 7.1), source="Table 1"),
    Row("u60", SINGLE, ("model.heads.ious=0.6",), source="Fig. 7"),
    Row("u70", SINGLE, ("model.heads.ious=0.7",), source="Fig. 7"),
    again(
        "iterative",
        "baseline",
        "evaluate",
        "--set=model.heads.iterations=3",
        "--noerrors",
        source="Table 1",
        figures=(35.4, 57.2, 52.1, 44.2, 30.4, 8.1),
    ),
    Row("integral", SINGLE, INTEGRAL, paper=paper(35.4, 57.3, 52.5, 44.4, 29.9, 6.9), source="Table 1"),
    Row("integral_own", SINGLE, (*INTEGRAL, "model.heads.hidden_layers=own"), source="Table 1"),
    *(Row(f"integral_u{u}", SINGLE, INTEGRAL, n, source="Fig. 9 (b)") for n, u in enumerate((50, 60, 70), 1)),
    cascade("cascade", source="Table 1", figures=(38.9, 57.8, 53.4, 46.9, 35.8, 15.8)),
    cascade("stage1", stage=1, source="Table 2", figures=(35.5, 57.2, 52.4, 44.1, 30.5, 8.1)),
    cascade("stages12", stage=2, source="Table 2", figures=(38.5, 58.2, 53.8, 46.7, 35.0, 14.0)),
    again(
        "stage2",
        "cascade",
        "evaluate",
        "--set=model.heads.ensemble=last_stage",
        "--noerrors",
        source="Table 2",
        versus="cascade",
        stage=2,
        figures=(38.3, 57.9, 53.4, 46.4, 35.2, 14.2),
    ),
    again(
        "stage3",
        "cascade",
        "evaluate",
        "--set=model.heads.ensemble=last_stage",
        "--noerrors",
        source="Table 2",
        versus="cascade",
        figures=(38.3, 56.6, 52.2, 46.3, 35.7, 15.9),
    ),
    ablation(
        "same_iou_same_statistics",
        "model.heads.ious=0.5,0.5,0.5",
        "model.heads.update_statistics=false",
        source="Table 3",
        figures=(36.8, 57.8, 52.9, 45.4, 32.0, 10.7),
    ),
    ablation(
        "same_statistics",
        "model.heads.update_statistics=false",
        source="Table 3",
        figures=(38.5, 58.4, 54.1, 47.1, 35.0, 13.1),
    ),
    ablation(
        "same_iou",
        "model.heads.ious=0.5,0.5,0.5",
        source="Table 3",
        figures=(37.5, 57.8, 53.1, 45.5, 33.3, 13.1),
    ),
    ablation(
        "average",
        "model.heads.weighting=avg",
        source="Table 3",
        figures=(38.9, 57.5, 53.4, 46.9, 35.8, 16.2),
    ),
    ablation(
        "two_stages",
        "model.heads.ious=0.5,0.6",
        source="Table 4",
        figures=(38.2, 58.0, 53.6, 46.7, 34.6, 13.6),
    ),
    ablation("four_stages", FOUR, source="Table 4", figures=(38.6, 57.2, 52.8, 46.2, 35.5, 16.3)),
    ablation(
        "first_three_of_four", FOUR, stage=3, source="Table 4", figures=(38.9, 57.4, 53.2, 46.8, 36.0, 16.0)
    ),
    ablation("class_aware", "model.heads.head.class_agnostic=false", source="6.1.2"),
    ablation("half_deviations", f"model.heads.stds={DEVIATIONS[0]}", source="6.4"),
    ablation("double_deviations", f"model.heads.stds={DEVIATIONS[1]}", source="6.4"),
    ablation("measured_statistics", *MEASURED, source="6.4"),
    ablation("half_the_units", "model.heads.head.units=128", source="6.1.3"),
    masks("masks_baseline", "model.heads.ious=0.5", figures=(33.9, 55.5, 49.8, 41.4, 28.6, 8.3)),
    masks("masks_first_stage", "model.heads.masks.stages=1", figures=(35.0, 56.3, 50.8, 43.0, 30.0, 9.3)),
    masks("masks_last_stage", figures=(35.4, 56.4, 50.9, 43.2, 31.0, 10.1)),
    masks("masks_all_stages", "model.heads.masks.stages=1,2,3", figures=(35.5, 56.5, 51.2, 43.4, 30.8, 10.0)),
    *(
        again(
            f"{row}_with_objects",
            row,
            "analyze",
            "--figures=truth",
            source="Fig. 7 (b)",
            line=OBJECTS,
            versus="baseline_with_objects" if row != "baseline" else "",
        )
        for row in ("baseline", "u60", "u70")
    ),
    *(
        again(
            f"{row}_on_stage{stage}",
            row,
            "analyze",
            "--figures=others",
            "--boxes_of={run:cascade}",
            source="Fig. 7 (a)",
            line=f"others/boxes of stage {stage}",
            versus=row,
        )
        for row, stage in (("u60", 2), ("u70", 3))
    ),
    *(
        again(
            f"head{n}_on_stage{n}",
            "cascade",
            "analyze",
            "--figures=stages",
            source="Fig. 8",
            line=f"stages_{n}/head {n}",
            versus=f"u{n + 4}0_on_stage{n}",
        )
        for n in (2, 3)
    ),
    again(
        "samples",
        "cascade",
        "analyze",
        "--figures=samples",
        source="Fig. 4",
        numbers=SHARES,
        paper={"samples_1/0.7": 2.9},
    ),
    again(
        "iterations",
        "baseline",
        "analyze",
        "--figures=localization",
        "--set=model.heads.iterations=3",
        source="Fig. 9 (a)",
        numbers=ITERATED,
    ),
    recall("proposals_of_baseline", "baseline", 1, 47.8, 59.1),
    *(
        recall(f"proposals{stage}", "cascade", stage, *figures)
        for stage, figures in ((1, (46.8, 58.7)), (2, (55.3, 70.7)), (3, (56.5, 71.4)))
    ),
)

CLAIMS = (
    Claim(
        "high_u",
        "A single detector of u = 0.7 has less AP than one of 0.5",
        "6.2",
        (more_than("baseline", "u70", "AP"),),
    ),
    Claim(
        "matched",
        "With the objects among the proposals u = 0.7 has more AP90 than 0.5 and 0.6",
        "6.2, Fig. 7 (b)",
        tuple(more_than("u70_with_objects", f"{row}_with_objects", "AP90") for row in ("baseline", "u60")),
    ),
    Claim(
        "iterating",
        "Applied twice more, the same regressor makes boxes of proposals with IoU from 0.9 to 0.95 worse",
        "6.3, Fig. 9 (a)",
        (tuple(zip((0.5, 0.5, -0.5, -0.5), ("iterations",) * 4, ITERATED, strict=True)),),
    ),
    Claim(
        "integral",
        "Of the integral loss's classifiers that of u = 0.7 has the least AP",
        "6.3, Fig. 9 (b)",
        tuple(more_than(f"integral_u{u}", "integral_u70", "AP") for u in (50, 60)),
    ),
    Claim(
        "resampling",
        "The share of positives of stages 2 and 3 is at least that of stage 1 over 1.5 and at most 1.5 times "
        "it, where of stage 1's own boxes u = 0.7 leaves less than that",
        "4.3, Fig. 4",
        (
            at_least("samples_2/0.6", 1 / 1.5, "samples_1/0.5"),
            at_least("samples_3/0.7", 1 / 1.5, "samples_1/0.5"),
            at_least("samples_1/0.5", 1 / 1.5, "samples_2/0.6"),
            at_least("samples_1/0.5", 1 / 1.5, "samples_3/0.7"),
            at_least("samples_1/0.5", 1.5, "samples_1/0.7"),
        ),
    ),
    Claim(
        "first_stage",
        "The cascade's first stage has more AP than the baseline",
        "6.4",
        (more_than("stage1", "baseline", "AP"),),
    ),
    Claim(
        "jointly",
        "The second and the third head have more AP than detectors of their u on the same boxes",
        "6.2, Fig. 7 (a), 8",
        tuple(more_than(f"head{n}_on_stage{n}", f"u{n + 4}0_on_stage{n}", "AP") for n in (2, 3)),
    ),
    Claim(
        "recall",
        "The recall of 100 proposals grows with the first regression, and more than with the second",
        "6.7, Table 8",
        (
            more_than("proposals2", "proposals1", "AR100"),
            ((2.0, "proposals2", "AR100"), (-1.0, "proposals1", "AR100"), (-1.0, "proposals3", "AR100")),
        ),
    ),
    Claim(
        "strict",
        "The gain over the baseline grows with the IoU threshold, from each to the next",
        "6.3, Table 1",
        tuple(gain_grows(f"AP{low}", f"AP{low + 10}") for low in (50, 60, 70, 80)),
    ),
    Claim(
        "masks",
        "Masks gain less than boxes",
        "6.8, Table 9",
        (
            (
                *more_than("masks_last_stage", "masks_baseline", "AP"),
                *more_than("masks_baseline", "masks_last_stage", "mask_AP"),
            ),
        ),
    ),
)


def study() -> Study:
    """Five seeds of each row, and ten claims of the paper."""
    return Study(
        name="the paper in the small",
        rows=ROWS,
        numbers=(*COLUMNS, *MASKS),
        changes=("evaluation.per_stage=true", *CROWDS),
        claims=CLAIMS,
    )
