"""What a cascade costs in each family: tables and sizes by hand, and that all benchmarks take any family."""

from __future__ import annotations

import json

import pytest


def test_every_row_of_the_paper_s_table_has_a_family(benchmark):
    rows = {family.row for family in benchmark("workload").FAMILIES.values() if family.row}
    assert benchmark("benchmarks.families").paper_costs().keys() == {
        name for row in rows for name in (row, f"{row}, cascade")
    }


def test_images_have_the_sizes_of_the_recipes(benchmark):
    workload = benchmark("workload")
    sizes = {name: family.image_size for name, family in workload.FAMILIES.items()}
    assert (sizes["fpn"], sizes["fpn_plus"], sizes["rfcn_r101"]) == ((800, 1333), (800, 1312), (600, 1000))
    batch = workload.make_batch(1, *sizes["rfcn"])
    assert batch.images.shape == (1, 608, 1024, 3)
    assert batch.image_size.numpy().tolist() == [[600, 1000]]
    pixels = batch.images.numpy()[0]
    assert min(pixels[599].max(), pixels[:, 999].max()) > 0
    assert max(pixels[600:].max(), pixels[:, 1000:].max()) == 0


def test_a_table_by_hand(benchmark):
    program, measuring = benchmark("benchmarks.families"), benchmark("measuring")

    def measured(train, test, size):
        cases = (measuring.Case("", lambda: None, seconds=seconds) for seconds in (train, test))
        return program.Measured(*cases, size)

    baseline = measured([1.0, 2.0, 4.0], [0.5, 0.5, 0.25], 100.4)
    cascade = measured([1.5, 3.5, 8.0], [0.6, 0.75, 0.5], 250.6)
    paper = {
        "Faster R-CNN, VGG": program.Costs(0.1, 0.2, 278),
        "Faster R-CNN, VGG, cascade": program.Costs(0.15, 0.25, 704),
    }
    # The ratios of the rounds are 1.5, 1.75, 2 and 1.2, 1.5, 2.
    assert program.table_rows("vgg16", baseline, cascade, paper) == [
        ("vgg16, baseline", "2", "", "", "0.5", "", "", "100", "278"),
        ("vgg16, cascade", "3.5", "1.75", "1.50", "0.6", "1.50", "1.25", "251", "704"),
    ]
    unknown = program.table_rows("alexnet", baseline, cascade, paper)
    assert [(line[3], line[6], line[8]) for line in unknown] == [("", "", "")] * 2


def test_sizes_leave_out_the_statistics_of_normalisations(benchmark):
    workload, program = benchmark("workload"), benchmark("benchmarks.families")
    recipe = workload.FAMILIES["rfcn"].recipe("baseline").replace({"backbone.depth": 14})
    detector = recipe(["thing"])
    norms = [layer for layer in detector.backbone.layers if "norm" in layer.name]
    constants = [v for layer in norms for v in (layer.moving_mean, layer.moving_variance)]
    counted = sum(v.numpy().size for v in detector.variables) - sum(v.numpy().size for v in constants)
    assert len(constants) == 2 * 17
    assert program.size_of(detector) == pytest.approx(4 * counted / 2**20)


@pytest.mark.parametrize("family", ["alexnet", "rfcn", "fpn_plus"])
def test_values_of_the_untrained_network_are_in_range(benchmark, shrink, family):
    shrink(family)
    workload = benchmark("workload")
    detector, batch = workload.make_detector(family=family), workload.make_batch(1, 256, 320)
    features, output, proposals = detector.propose(batch)
    assert output.deltas.numpy().std() == pytest.approx(0.1, rel=0.05)
    assert proposals.valid.numpy().all()
    for stage in detector.heads(features, proposals, batch.image_size):
        assert stage.logits.numpy().std() == pytest.approx(1.0, rel=0.05)
    if family == "fpn_plus":
        assert [x.numpy().std() for x in features.values()] == pytest.approx([1.0] * 4, rel=0.05)


def test_objects_are_of_the_classes_of_the_family(benchmark, shrink):
    shrink("mscnn_kitti")
    workload = benchmark("workload")
    _, targets = workload.make_data(320, 640, "mscnn_kitti")
    assert set(targets.classes.numpy().ravel()) <= {1, 2, 3, 4}
    assert len(workload.make_detector("baseline", family="mscnn_kitti").class_names) == 4
    assert not any(name.startswith("mscnn") for name in benchmark("benchmarks.families").OF_COCO)


def test_runs(benchmark, shrink, at_once, tmp_path, capfd):
    shrink("rfcn")
    file = tmp_path / "figures.json"
    flags = ["--family=rfcn", "--height=64", "--width=96", "--rounds=1", f"--json={file}"]
    status = benchmark("benchmarks.families").main(["families.py", *flags])
    said = capfd.readouterr()
    assert status == 0, said.err
    rows = {line["name"]: line["value"] for line in json.loads(file.read_text())["rows"]}
    for what in ("training step", "detection"):
        times = [rows[f"rfcn, {kind}, {what}"] for kind in ("baseline", "cascade")]
        assert rows[f"rfcn, {what}, cascade over baseline"] == pytest.approx(times[1] / times[0])
    assert 0 < rows["rfcn, baseline, parameters"] < rows["rfcn, cascade, parameters"]
    (line,) = (line for line in said.out.splitlines() if line.startswith("| rfcn, cascade  "))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    # The paper's: 0.24 / 0.19, 0.075 / 0.07, and 184 MiB.
    assert (cells[3], cells[6], cells[8]) == ("1.26", "1.07", "184")


def test_a_family_that_does_not_exist(benchmark, capfd):
    assert benchmark("benchmarks.families").main(["families.py", "--family=rfcn,resnet"]) == 1
    assert "got 'resnet', expected some of fpn, " in capfd.readouterr().err


def test_parts_of_a_head_that_makes_maps(benchmark, shrink, at_once, tmp_path, capfd):
    shrink("rfcn")
    file = tmp_path / "figures.json"
    flags = ["--family=rfcn", "--height=64", "--width=96", "--rounds=1", f"--json={file}"]
    status = benchmark("benchmarks.inference").main(["inference.py", *flags])
    assert status == 0, capfd.readouterr().err
    rows = {line["name"]: line for line in json.loads(file.read_text())["rows"]}
    assert rows["maps of one head"]["floor"] > 0
    assert rows["pooling for one head, 20 RoIs"]["floor"] is None
    assert not any(line["goal"] for line in rows.values())


@pytest.mark.parametrize(
    ("family", "measured"),
    [
        ("fpn", ["training", "recomputing", "group", "group recomputing"]),
        ("vgg16", ["training", "recomputing"]),
    ],
)
def test_memory_is_measured_where_a_family_has_the_settings(benchmark, family, measured):
    memory = benchmark("benchmarks.memory")
    known = benchmark("workload").FAMILIES[family].recipe("cascade").names()
    assert [name for name, given in memory.SETTINGS.items() if memory.has_settings(known, given)] == measured
