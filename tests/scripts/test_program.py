"""What all programs share: help, flags, and errors on one line."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
PROGRAMS = ("train", "evaluate", "predict", "export", "measure_deltas", "demo")


@pytest.mark.parametrize("name", PROGRAMS)
class TestHelp:
    def test_says_what_it_does_with_a_command_to_copy(self, call, name):
        said = call(name, "--help")
        assert said.status == 0
        assert said.err == ""
        lines = said.out.splitlines()
        assert lines[0].endswith(".")
        assert len(lines[0]) > 20
        assert f"    python scripts/{name}.py" in said.out
        assert f"usage: python scripts/{name}.py [flags]" in said.out
        assert all(len(line) <= 110 for line in lines)

    def test_explains_each_flag(self, call, name):
        lines = call(name, "--help").out.splitlines()
        flags = lines[lines.index("flags:") + 1 :]
        heads = [line for line in flags if line.startswith("  --")]
        assert {"  --workdir=DIR", "  --dataset_dir=DIR", "  --set=NAME=VALUE"} <= set(heads)
        for head in heads:
            text = flags[flags.index(head) + 1].strip()
            assert text[0].isupper(), text
            assert not text.startswith("<")
        assert "repeat this option" not in "\n".join(flags)

    def test_needs_no_tensorflow(self, name):
        """In a process of its own: this one has TensorFlow loaded."""
        code = f"import sys, {name}; {name}.main(['x', '--help']); assert 'tensorflow' not in sys.modules"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


class TestFlags:
    @pytest.mark.parametrize("name", PROGRAMS)
    def test_an_unknown_flag_gets_a_proposal(self, call, name):
        complaint = call(name, "--workdirr=x").complaint
        assert complaint.startswith(
            f"{name}.py: error: Unknown command line flag 'workdirr'. Did you mean: workdir"
        )

    @pytest.mark.parametrize("name", ["train", "evaluate", "export", "demo"])
    def test_an_argument_without_flag_is_refused(self, call, name):
        assert "got the argument 'runs/mine', expected flags only" in call(name, "runs/mine").complaint

    @pytest.mark.parametrize(
        ("name", "argument", "message"),
        [
            ("predict", "--batch_size=0", "flag --batch_size=0: expected"),
            ("predict", "--batch_size=two", "flag --batch_size=two"),
            ("predict", "--score_threshold=2", "flag --score_threshold=2"),
            (
                "train",
                "--resume=perhaps",
                "flag --resume=perhaps: value should be one of <auto|always|never>",
            ),
        ],
    )
    def test_a_wrong_value_is_named(self, call, name, argument, message):
        complaint = call(name, argument).complaint
        assert message.split(":")[0] in complaint
        assert "--help lists the flags" in complaint

    @pytest.mark.parametrize(
        ("name", "flag"),
        [("train", "config"), ("evaluate", "workdir"), ("export", "workdir"), ("predict", "output")],
    )
    def test_a_missing_flag_is_named(self, call, name, flag):
        assert f"flag --{flag} is missing, expected: " in call(name).complaint

    def test_values_of_one_call_do_not_reach_the_next(self, call, tmp_path):
        call("train", "--config=demo/cascade", "--set=train.nothing=1")
        assert "flag --config is missing" in call("train").complaint


class TestErrors:
    def test_debug_shows_where(self, call):
        said = call("train", "--config=coco/nothing", "--debug")
        assert said.status == 1
        assert "Traceback" in said.err
        assert "_find_config" in said.err

    def test_a_defect_keeps_its_traceback(self, call, monkeypatch):
        import json

        from cascade_tf.experiment import config

        monkeypatch.setattr(config, "load_config", lambda path: json.loads("{"))
        said = call("train", "--config=x")
        assert said.status == 1
        assert "Traceback" in said.err
        assert "train.py: error: Expecting property name" in said.err

    def test_ctrl_c_is_no_error(self, call, monkeypatch):
        from cascade_tf.experiment import config

        def stop(path):
            raise KeyboardInterrupt

        monkeypatch.setattr(config, "load_config", stop)
        said = call("train", "--config=x")
        assert (said.status, said.err) == (130, "train.py: error: interrupted\n")

    def test_a_lost_process_has_its_own_status(self, call, monkeypatch):
        import tensorflow as tf

        from cascade_tf.experiment import config
        from cascade_tf.training.lost_workers import lost_workers_named

        def talk(path):
            with lost_workers_named():
                raise tf.errors.UnavailableError(None, None, "node CollectiveReduceV2: crashed")

        monkeypatch.setattr(config, "load_config", talk)
        said = call("train", "--config=x")
        assert said.status == 75
        assert said.err.startswith("train.py: error: another process of the run has died")
        assert said.err.count("\n") == 1

    def test_from_a_shell_in_any_folder(self, tmp_path):
        """The process as a user sees it: one line, nothing of TensorFlow's, status 1, nothing written."""
        command = [sys.executable, str(SCRIPTS / "train.py"), "--config", "coco/nothing", "--workdir", "run"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("train.py: error: configuration 'coco/nothing': got no such file")
        assert list(tmp_path.iterdir()) == []


class TestPrecision:
    @pytest.mark.parametrize(("flag", "dtype"), [("float32", "float32"), ("bfloat16", "bfloat16")])
    def test_convolutions_and_heads_compute_in_it(self, call, workdir, monkeypatch, tmp_path, flag, dtype):
        opened = []
        detectors = importlib.import_module("program.detectors")
        load_run = detectors.load_run
        monkeypatch.setattr(detectors, "load_run", lambda *a: opened.append(load_run(*a)) or opened[-1])
        output = tmp_path / "found"
        image = workdir / "image.png"
        Image.new("RGB", (96, 64)).save(image)
        said = call("predict", f"--workdir={workdir}", f"--precision={flag}", f"--output={output}", image)
        assert said.status == 0, said.err
        (detector,) = opened
        assert detector.backbone.get_layer("stem_conv1").compute_dtype == dtype
        assert detector.heads.stages[0].head.classifier.compute_dtype == dtype
        assert detector.backbone.get_layer("stem_conv1").kernel.dtype == "float32"

    @pytest.mark.parametrize("name", ["evaluate", "export"])
    def test_the_other_programs_have_it_too(self, call, workdir, drawn, monkeypatch, tmp_path, name):
        opened = []
        detectors = importlib.import_module("program.detectors")
        load_run = detectors.load_run
        monkeypatch.setattr(detectors, "load_run", lambda *a: opened.append(load_run(*a)) or opened[-1])
        flags = {
            "evaluate": [f"--dataset_dir={drawn}", f"--output={tmp_path / 'results'}"],
            "export": [f"--output={tmp_path / 'model'}"],
        }
        said = call(name, f"--workdir={workdir}", "--precision=bfloat16", *flags[name])
        assert said.status == 0, said.err
        (detector,) = opened
        assert detector.neck.outputs[0].compute_dtype == "bfloat16"

    def test_a_finished_model_keeps_its_own(self, call, tmp_path):
        said = call("predict", "--model=export/1", f"--output={tmp_path}", "--precision=bfloat16", "x.png")
        assert "--precision with --model" in said.complaint


@pytest.mark.parametrize("command", [["-m", "cascade_tf", "--help"], [str(SCRIPTS / "study.py"), "--help"]])
def test_help_that_nobody_reads_any_more_ends_quietly(command):
    with subprocess.Popen(
        [sys.executable, *command], cwd=SCRIPTS.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
