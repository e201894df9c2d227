"""measure_deltas.py prints the statistics of a run's stages and the settings that use them."""

from __future__ import annotations

import re

from cascade_tf.experiment import config
from cascade_tf.experiment.overrides import apply_overrides


def test_measured_deltas_are_settings(call, workdir):
    # Untrained stages get boxes that hardly overlap the objects.
    said = call(
        "measure_deltas", f"--workdir={workdir}", "--set=model.heads.ious=0.02,0.03,0.04", "--images=3"
    )
    assert said.status == 0, said.err
    table, _, settings = said.out.partition("\n\n")
    rows = [line.split() for line in table.splitlines()]
    assert [row[:3] for row in rows[1::2]] == [
        ["1", "0.02", "with"],
        ["2", "0.03", "with"],
        ["3", "0.04", "with"],
    ]
    texts = re.findall(r"--set '(.*)'", settings)
    assert len(texts) == 2
    experiment = apply_overrides(config.read_experiment(workdir), texts)
    stds = experiment.model.value("heads.stds")
    assert [f"{value:.4f}" for value in stds[0]] == rows[2][5::2]
    assert config.build_detector(experiment).heads.stages[0].coder.std == stds[0]
