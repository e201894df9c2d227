"""A server's life in the C++ loader: many requests, good and bad, one after another and at once."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.serving.export import export_saved_model
from tests.serving import request_files
from tests.serving.cpp_loader import answer_requests, compile_loader
from tests.tiny_detector import tiny_detector

# Of the largest number: the same graph, whose convolutions may be fused otherwise.
TOLERANCE = 1e-4
SETTLED = 0.25  # of the requests, after which memory has to stay as it is
GROWTH = 50_000  # kilobytes


@pytest.fixture(scope="module")
def detector():
    keras.utils.set_random_seed(7)
    # One stage and few proposals: the network is no part of what is tested.
    return tiny_detector(**{"heads.ious": (0.5,), "proposals.post_nms_test": 10})


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compile_loader(tmp_path_factory.mktemp("cpp"), "answer_requests")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of the files by name."""
    folder = tmp_path_factory.mktemp("files")
    everything = request_files.good() | request_files.bad() | request_files.damaged(40, seed=6)
    for name, content in everything.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in everything}


@pytest.fixture(scope="module")
def models(detector, tmp_path_factory):
    """The export without and with a status."""
    folder = tmp_path_factory.mktemp("models")
    return [
        export_saved_model(detector, folder / str(status), export_status=status) for status in (False, True)
    ]


@pytest.fixture(scope="module")
def in_python(models):
    """The export with a status in Python: the outputs of a request's paths."""
    loaded = tf.saved_model.load(str(models[1]))
    signature = loaded.signatures["serving_default"]

    def answer(paths):
        contents = tf.constant([path.read_bytes() for path in paths], tf.string)
        return {name: value.numpy() for name, value in signature(contents).items()}

    return answer


@pytest.fixture(scope="module")
def broken(files, in_python):
    """Names of the files that cannot be seen."""
    return {name for name, path in files.items() if in_python([path])["status"][0]}


def batches(names, number, seed):
    """Requests of one to four files, a few of none, drawn from these."""
    rng = np.random.default_rng(seed)
    sizes = rng.choice([0, 1, 1, 1, 1, 1, 2, 3, 4], number)
    return [[str(name) for name in rng.choice(names, size)] for size in sizes]


def check_answers(answers, requests, expected, broken):
    """With a status: one entry for each file, and those of bad ones are empty."""
    for answer, names, right in zip(answers, requests, expected, strict=True):
        assert answer.code == "OK", answer.message
        assert answer.outputs["status"].tolist() == [name in broken for name in names]
        assert set(answer.outputs) == set(right)
        for output, values in answer.outputs.items():
            assert values.shape == right[output].shape
            tolerance = TOLERANCE * max(1.0, np.abs(right[output]).max(initial=0.0))
            np.testing.assert_allclose(values, right[output], atol=tolerance, err_msg=output)
            assert output == "status" or not values[answer.outputs["status"] == 1].any()


def check_memory(answers):
    """The most that the process had, from a while after its start on."""
    settled = [answer.kilobytes for answer in answers[int(SETTLED * len(answers)) :]]
    assert max(settled) - settled[0] < GROWTH


def serve(program, models, files, in_python, broken, number):
    requests = batches(list(files), number, seed=8)
    paths = [[files[name] for name in request] for request in requests]
    alone = answer_requests(program, models[1], paths, threads=1)
    check_answers(alone, requests, map(in_python, paths), broken)
    check_memory(alone)
    together = answer_requests(program, models[1], paths, threads=8)
    for one, other in zip(alone, together, strict=True):
        assert one.code == other.code
        for name, values in one.outputs.items():
            np.testing.assert_array_equal(values, other.outputs[name])


def test_good_files_are_seen_and_bad_ones_are_not(files, broken, in_python):
    assert not broken & set(request_files.good())
    assert broken >= set(request_files.bad())
    damaged = set(files) - set(request_files.good()) - set(request_files.bad())
    assert 0 < len(broken & damaged) < len(damaged)
    for name in request_files.good():
        assert in_python([files[name]])["num_detections"][0] > 0


def test_requests_are_answered_one_by_one_and_at_once(program, models, files, in_python, broken):
    serve(program, models, files, in_python, broken, 150)


@pytest.mark.long
def test_many_requests_are_answered(program, models, files, in_python, broken):
    serve(program, models, files, in_python, broken, 2000)


def test_without_a_status_bad_files_fail_their_request_alone(program, models, files, broken):
    names = [*request_files.good(), *request_files.bad()]
    requests = [[name] for name in names] + batches(names, 30, seed=9)
    paths = [[files[name] for name in request] for request in requests]
    for answer, request in zip(answer_requests(program, models[0], paths, 4), requests, strict=True):
        places = [place for place, name in enumerate(request) if name in broken]
        assert answer.code == ("INVALID_ARGUMENT" if places else "OK")
        assert bool(answer.outputs) == (not places)
        if places:
            assert f"positions in the batch:] [{' '.join(map(str, places))}]" in answer.message
