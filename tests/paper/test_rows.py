"""The paper's rows: each has a configuration or a reason, and configurations document their figures."""

from __future__ import annotations

import pytest

from tests.paper.files import CONFIGS, NAMES, ROWS, entries, rows_of, text_of

# Configurations without a row: the backbone that is in the authors' list of models alone, a part alone, the
# other reading of a row, detectors of which there are curves, what the text says without a number, and those
# for numbers of one's own, where the row's are a server's.
APART = {
    "coco/faster_rcnn_x101_64x4d_fpn_1x",
    "coco/cascade_rcnn_x101_64x4d_fpn_1x",
    "proposals/rpn_r50_fpn_1x",
    "ablations/fpn_plus_integral_own_layers",
    "ablations/fpn_plus_iou_60",
    "ablations/fpn_plus_iou_70",
    "ablations/fpn_plus_class_aware",
    "ablations/fpn_plus_half_statistics",
    "ablations/fpn_plus_double_statistics",
    "ablations/faster_rcnn_vgg16_4096_units",
    "ablations/cascade_rcnn_vgg16_4096_units",
    "kitti/mscnn",
    "kitti/cascade_mscnn",
}
ALL_ROWS = [(table, row) for table in ROWS["tables"] for row in table["rows"]]


def test_all_tables_are_there():
    assert [table["table"] for table in ROWS["tables"]] == list(range(1, 15))
    assert [len(table["rows"]) for table in ROWS["tables"]] == [4, 6, 5, 5, 3, 10, 12, 4, 4, 14, 8, 2, 4, 4]


@pytest.mark.parametrize(("table", "row"), ALL_ROWS, ids=[f"{t['table']}-{r['row']}" for t, r in ALL_ROWS])
def test_a_row_has_all_columns_and_a_configuration_or_a_reason(table, row):
    assert len(row["values"]) == len(table["columns"])
    assert ("configuration" in row) != ("missing" in row)
    if "configuration" in row:
        assert (CONFIGS / f"{row['configuration']}.py").is_file()
    else:
        assert row["missing"]


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_documents_the_figures_of_its_rows(name):
    text = " ".join(text_of(name).split())
    found = rows_of(name)
    assert found or name in APART
    for table, row in found:
        pairs = zip(table["columns"], row["values"], strict=True)
        figures = ", ".join(f"{column.replace('_', ' ')} {value}" for column, value in pairs)
        measured = f" ({row['measured']})" if "measured" in row else ""
        label = f'Table {table["table"]}, "{row["row"]}"{measured}, {table["data"]}:'
        assert f"{label} {figures}." in text
    assert text.count("Table ") >= len(found)


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_documents_hardware_schedule_and_time(name):
    text = " ".join(text_of(name).split())
    if name.endswith("_tta"):
        assert f"The training is that of `{name.rpartition('/')[2].removesuffix('_tta')}.py`" in text
    else:
        devices, images, steps = (
            entries(name)[key]["value"] for key in ("devices", "images_per_device", "train.steps")
        )
        each = f"{images} image{'s' if images > 1 else ''} each"
        gpus = f"{devices} GPU{'s' if devices > 1 else ''}"
        assert f"Published settings: {gpus} with {each}, {steps:,} steps" in text
        if "first_step.train.steps" in entries(name):
            first = entries(name)["first_step.train.steps"]["value"]
            assert f"{steps:,} steps after {first:,} of the proposals alone" in text
        assert " hours" in text or "no time" in text or "by hand" in text
    assert "reproduced" in text
