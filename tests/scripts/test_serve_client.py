"""The client against a model server that speaks its protocols and joins requests."""

from __future__ import annotations

import json
import sys

import keras
import numpy as np
import pytest
from PIL import Image

import cascade_tf
from cascade_tf.serving.client import GrpcClient, RestClient, ServerError, connect, measure_load
from tests.scripts.conftest import SCRIPTS
from tests.serving.request_files import encoded
from tests.tiny_detector import CATEGORY_IDS, CLASS_NAMES, noise, tiny_detector

pytest.importorskip("grpc", reason="see requirements/serving.txt")
pytest.importorskip("tensorflow_serving", reason="see requirements/serving.txt")
KINDS = ["grpc", "rest"]
CONTENTS = [encoded(noise(90, 130)), encoded(noise(61, 83, 1), "JPEG"), encoded(noise(64, 96, 2))]


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    keras.utils.set_random_seed(7)
    detector = tiny_detector(**{"heads.ious": (0.5,)})
    folder = tmp_path_factory.mktemp("model")
    return detector, cascade_tf.export_saved_model(detector, folder)


@pytest.fixture(scope="module")
def addresses(export):
    sys.path.append(str(SCRIPTS / "benchmarks"))
    try:
        import model_server
    finally:
        sys.path.remove(str(SCRIPTS / "benchmarks"))
    with model_server.serving(export[1]) as found:
        yield found


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, content in enumerate(CONTENTS):
        (folder / f"{number}.png").write_bytes(content)
    return folder


def assert_same(outputs, record):
    count = len(record.boxes)
    assert int(outputs["num_detections"][0]) == count
    boxes = outputs["detection_boxes_pixels"][0, :count][:, [1, 0, 3, 2]]
    np.testing.assert_allclose(boxes, record.boxes, atol=2e-2)
    np.testing.assert_allclose(outputs["detection_scores"][0, :count], record.scores, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_the_detector(export, addresses, kind):
    client = connect(getattr(addresses, kind), "detector")
    assert isinstance(client, GrpcClient if kind == "grpc" else RestClient)
    for content in CONTENTS:
        assert_same(client.predict([content]), export[0].predict([content])[0])
    assert client.predict(CONTENTS)["detection_boxes"].shape == (3, 10, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_refusals_are_one_line(addresses, kind):
    address = getattr(addresses, kind)
    with pytest.raises(
        ServerError, match=r"(INVALID_ARGUMENT|400): .*positions in the batch:\] \[1\]"
    ) as refused:
        connect(address, "detector").predict([CONTENTS[0], b"no image"])
    assert "\n" not in str(refused.value)
    with pytest.raises(ServerError, match=r"(NOT_FOUND|404): no "):
        connect(address, "other").predict(CONTENTS[:1])


@pytest.mark.parametrize("server", ["localhost:1", "http://localhost:1"])
def test_nobody_answers(server):
    with pytest.raises(ServerError, match="localhost:1"):
        connect(server, "detector", timeout=5).predict(CONTENTS[:1])


@pytest.mark.parametrize("kind", KINDS)
def test_many_clients_at_once_get_their_own_answers(addresses, kind):
    """The server joins their requests; each answer is that of the client's own image."""
    address, wrong = getattr(addresses, kind), []
    alone = [connect(address, "detector").predict([content]) for content in CONTENTS]

    class Checking:
        def __init__(self):
            self.client = connect(address, "detector")

        def predict(self, contents):
            outputs = self.client.predict(contents)
            first = alone[CONTENTS.index(contents[0])]
            if abs(outputs["detection_scores"][0, 0] - first["detection_scores"][0, 0]) > 0.01:
                wrong.append(contents[0])
            return outputs

        def close(self):
            self.client.close()

    load = measure_load(Checking, [[content] for content in CONTENTS * 8], clients=6)
    assert not wrong
    assert not load.failures
    assert len(load.seconds) == 24
    assert 0 < load.percentile(50) <= load.percentile(99) <= load.elapsed
    assert load.throughput == pytest.approx(24 / load.elapsed)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_what_the_server_finds(call, addresses, export, photos, tmp_path, kind):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (photos / "dangling.jpg").symlink_to(photos / "gone.jpg")
    labels = export[1] / "assets" / "labels.json"
    said = call(
        *(
            "serve_client",
            "--server",
            getattr(addresses, kind),
            "--labels",
            labels,
            "--output",
            tmp_path / "out",
        ),
        *("--score_threshold", 0.05, photos),
    )
    assert said.status == 1
    assert "broken.jpg: " in said.err
    assert "dangling.jpg" in said.err
    assert "in 3 images, 2 refused" in said.out
    content = json.loads((tmp_path / "out" / "detections.json").read_text())
    for entry, original in zip(content, CONTENTS, strict=True):
        [record] = export[0].predict([original], score_threshold=0.05)
        assert len(entry["detections"]) == len(record.boxes)
        for found, score in zip(entry["detections"], record.scores, strict=True):
            assert found["name"] == CLASS_NAMES[CATEGORY_IDS.index(found["category_id"])]
            assert found["score"] == pytest.approx(score, abs=1e-4)
    pictures = sorted((tmp_path / "out").glob("*.jpg"))
    assert len(pictures) == 3
    assert np.asarray(Image.open(pictures[0])).ndim == 3


def test_measures_the_server(call, addresses, photos, tmp_path):
    said = call(
        *("serve_client", "--server", addresses.grpc, "--requests", 12, "--clients", 3, "--batch_size", 2),
        *("--json", tmp_path / "load.json", photos),
    )
    assert said.status == 0, said.err
    numbers = json.loads((tmp_path / "load.json").read_text())
    assert (numbers["answered"], numbers["refused"], numbers["clients"]) == (12, 0, 3)
    assert numbers["p50_seconds"] <= numbers["p99_seconds"]
    assert f"requests_per_second  {numbers['requests_per_second']:.6g}" in said.out


def test_complaints_are_one_line(call, addresses, photos, tmp_path):
    assert "got no images" in call("serve_client", tmp_path / "nothing").complaint
    assert "--output" in call("serve_client", "--server", addresses.rest, photos).complaint


def test_benchmark_of_an_export(benchmark, export, tmp_path, capsys):
    written = tmp_path / "load.json"
    arguments = ["--model", export[1], "--height", 60, "--width", 90, "--rounds", 6, "--json", written]
    assert benchmark("serving_load").main(["serving_load.py", *map(str, arguments)]) == 0
    lines = {line["name"]: line["value"] for line in json.loads(written.read_text())["rows"]}
    assert len(lines) == 10
    for clients in ("1 client", "4 clients", "16 clients"):
        assert lines[f"{clients}, p50"] <= lines[f"{clients}, p99"]
        assert lines[f"{clients}, throughput"] > 0
    # A client alone cannot be answered faster than the network computes.
    assert 1 / lines["1 client, throughput"] > 0.5e-3 * lines["without a server"]


ANSWER = {
    "num_detections": [1],
    "detection_scores": [[0.9, 0.0]],
    "detection_boxes_pixels": [[[2.0, 1.0, 4.0, 3.0], [0.0] * 4]],
    "detection_classes": [[1, 0]],
    "detection_category_ids": [[7, 0]],
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_detections": 1}, "are none of an export"),
        ({"num_detections": ["many"]}, "are none of an export"),
        ({"detection_scores": [[0.9]], "num_detections": [2]}, "are none of an export"),
        ({"detection_boxes_pixels": [[1.0, 2.0]]}, "are none of an export"),
        ({"detection_boxes_pixels": [[[1.0, 2.0, 3.0, np.inf], [0.0] * 4]]}, "boxes are not finite"),
        ({"status": [1]}, "the server cannot decode it"),
    ],
)
def test_answers_of_other_models_are_refused(benchmark, changes, message):
    found_in = benchmark("serve_client").found_in
    outputs = {name: np.array(value) for name, value in ANSWER.items()}
    found = found_in(outputs, 0.5)
    np.testing.assert_array_equal(found.boxes, [[1, 2, 3, 4]])
    with pytest.raises(ValueError, match=message):
        found_in({**outputs, **{name: np.array(value) for name, value in changes.items()}}, 0.5)
