"""What the page says of training."""

from __future__ import annotations

from collections.abc import Sequence

from cascade_tf.report.charts import Series, line_chart
from cascade_tf.report.history import History, smooth_lines


def training_section(log: History, benchmark: str = "") -> str:
    """Returns the charts of everything that was logged.

    Args:
        log: of the training.
        benchmark: the chart of the data set's own benchmark.
    """
    losses = {name: (x, y) for name, x, y in log.losses()}
    total = smooth_lines("total", *losses["total"], 0) if "total" in losses else []
    parts = [curve for name, curve in losses.items() if name != "total"]
    names = [name for name in losses if name != "total"]
    part_lines = [line for i, name in enumerate(names) for line in smooth_lines(name, *parts[i], (i - 1) % 6)]
    charts = [
        line_chart(
            "Total loss",
            total,
            x_label="step",
            digits=3,
            note="Faint: as logged. Strong: mean over the neighbours.",
        ),
        line_chart(
            "Loss of each part",
            part_lines,
            x_label="step",
            digits=3,
            note=f"Classification plus boxes{' plus masks' if log.has_masks else ''}.",
        ),
        benchmark,
        _precision_chart(log),
        _iou_training_chart(log),
        _stage_chart(log, "positives", "Positive samples per image and stage", digits=1),
        _plain_chart(log, ("lr", "learning_rate"), "Learning rate", digits=5),
        _plain_chart(log, ("images_per_second",), "Images per second", digits=1),
    ]
    drawn = [chart for chart in charts if chart]
    return f'<section><h2>Training</h2><div class="pair">{"".join(drawn)}</div></section>' if drawn else ""


def _precision_chart(log: History) -> str:
    lines = []
    for color, key in enumerate(("AP", "AP50", "AP75", "AP90")):
        for name, logged, dashed in ((key, key, False), (f"mask {key}", f"mask_{key}", True)):
            x, y = log.values(logged)
            values = [100 * value for value in y]
            lines.append(Series(name, x, values, color, markers=not dashed, dashed=dashed))
    drawn = [line for line in lines if line.x]
    if not drawn or len(drawn[0].x) < 2:
        return ""
    return line_chart("Precision as training went on", drawn, x_label="step", y_label="AP (%)", digits=1)


def _iou_training_chart(log: History) -> str:
    lines = []
    for color, stage in enumerate(log.stages):
        for word, dashed in (("before", True), ("after", False)):
            curve = log.values(f"stage{stage}_iou_{word}")
            lines += [
                line
                for line in smooth_lines(f"stage {stage} {word}", *curve, color, dashed=dashed)
                if line.name
            ]
    return line_chart(
        "Mean IoU of the samples, before and after regression",
        lines,
        x_label="step",
        digits=3,
        from_zero=False,
        note="Each stage takes up the boxes of the one before and moves them closer.",
    )


def _stage_chart(log: History, what: str, title: str, digits: int) -> str:
    lines = []
    for color, stage in enumerate(log.stages):
        lines += smooth_lines(f"stage {stage}", *log.values(f"stage{stage}_{what}"), color)
    return line_chart(title, lines, x_label="step", digits=digits)


def _plain_chart(log: History, keys: Sequence[str], title: str, digits: int) -> str:
    for key in keys:
        x, y = log.values(key)
        if x:
            return line_chart(title, [Series(title.lower(), x, y)], x_label="step", digits=digits)
    return ""
