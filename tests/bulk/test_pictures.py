"""Pictures, their shards and their outcomes, without an engine."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cascade_tf.bulk import pictures, predictor, result_files
from cascade_tf.bulk.model_files import find_model
from cascade_tf.bulk.pictures import Picture, id_of_name, picture_of_example, shard_of
from cascade_tf.bulk.predictor import Outcome, Predictor
from cascade_tf.bulk.result_files import finished_shards, row_count, shard_content
from cascade_tf.conversion.tfrecord import write_tfrecords
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.prediction.inference import ImageDetections
from tests.data import small_dataset


class WholeImage:
    """A detector that finds one object, as large as the image, and counts the images of each call."""

    upright = True

    def __init__(self):
        self.calls = []

    def predict(self, images, batch_size, score_threshold):
        self.calls.append(len(images))
        return [
            ImageDetections(
                boxes=np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32),
                scores=np.array([score_threshold + 0.1], np.float32),
                classes=np.array([2], np.int32),
                category_ids=np.array([7], np.int64),
                names=("cat",),
                image_id=number,
                size=image.shape[:2],
            )
            for number, image in enumerate(images)
        ]


@pytest.fixture
def detector(monkeypatch):
    found = WholeImage()
    monkeypatch.setattr("cascade_tf.experiment.loading.load", lambda path: found)
    return found


def png(height, width):
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


def test_ids_are_numbers_of_names_or_exact_in_json():
    assert id_of_name("gs://bucket/val/000000397133.jpg") == 397133
    ids = [id_of_name(f"street {number}.jpg") for number in range(1000)]
    assert len(set(ids)) == 1000
    assert all(0 <= one < 2**53 and int(float(one)) == one for one in ids)


def test_numbers_are_ids_where_no_two_are_the_same():
    names = ["cam1/0001.jpg", "cam1/0002.jpg", "cam1/street.jpg"]
    assert pictures.ids_are_unique([*names, "cam1/0001.jpg"])  # two patterns fit one file
    assert not pictures.ids_are_unique([*names, "cam2/0001.jpg"])
    assert not pictures.ids_are_unique([*names, "cam1/1.png"])
    assert pictures.ids_are_unique([])
    ids = {id_of_name(name, by_number=False) for name in (*names, "cam2/0001.jpg")}
    assert len(ids) == 4
    assert min(ids) > 1000


def test_shards_take_equal_shares_and_the_same_in_every_process():
    shares = np.bincount([shard_of(f"{number}.jpg", 8) for number in range(8000)], minlength=8)
    # Five standard deviations of a fair draw.
    assert abs(shares - 1000).max() < 5 * np.sqrt(8000 / 8 * 7 / 8)
    assert [shard_of(name, 16) for name in ("a.jpg", "gs://b/a.jpg")] == [9, 15]


def test_pictures_of_our_own_records(tmp_path):
    small_dataset.write_pictures(tmp_path / "images")
    small_dataset.write_annotations(tmp_path, small_dataset.content())
    dataset = read_dataset_dir(tmp_path, "train")
    write_tfrecords({"train": dataset}, tmp_path / "shards")
    (shard,) = (tmp_path / "shards").glob("*.tfrecord")
    found = [picture_of_example(record.numpy()) for record in tf.data.TFRecordDataset(str(shard))]
    assert [(one.name, one.image_id) for one in found] == [
        (name, 10 + number) for number, (name, _, _) in enumerate(small_dataset.PICTURES)
    ]
    assert found[0].content == (tmp_path / "images" / "a.png").read_bytes()
    assert not any(one.failure for one in found)


@pytest.mark.parametrize(
    ("record", "failure"),
    [(b"\xff\xff", "is no tf.train.Example"), (tf.train.Example().SerializeToString(), "no image/encoded")],
)
def test_records_without_a_picture(record, failure):
    found = picture_of_example(record)
    assert failure in found.failure
    assert found.name.startswith("record ")


def test_broken_pictures_are_outcomes(detector):
    given = [
        Picture("a.png", 1, png(4, 6)),
        Picture("cut.png", 2, png(40, 60)[:60]),
        Picture("text.jpg", 3, b"no picture"),
        Picture("gone.jpg", 4, b"", "cannot be read"),
        Picture("b.png", 5, png(8, 2)),
        Picture("c.png", 6, png(4, 6)),
    ]
    outcomes = Predictor("export", 0.5).predict(given)
    assert [(one.name, one.image_id, bool(one.failure)) for one in outcomes] == [
        ("a.png", 1, False),
        ("cut.png", 2, True),
        ("text.jpg", 3, True),
        ("gone.jpg", 4, True),
        ("b.png", 5, False),
        ("c.png", 6, False),
    ]
    assert detector.calls == [2, 1]  # those of one size together
    (result,) = outcomes[4].results
    assert (result["image_id"], result["category_id"], result["bbox"]) == (5, 7, [0, 0, 2, 8])
    assert result["score"] == pytest.approx(0.6)
    assert (outcomes[4].height, outcomes[4].width) == (8, 2)
    assert Predictor("export", 0.5).predict(given[1:3])[0].failure.startswith("cannot be decoded")
    assert detector.calls == [2, 1]  # nothing to detect in


def write_model(folder, weights=b"weights", labels=b"{}"):
    content = {
        "saved_model.pb": b"graph",
        "assets/labels.json": labels,
        "variables/variables.index": weights,
    }
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text)


def test_another_model_has_another_digest(tmp_path):
    write_model(tmp_path / "9")
    write_model(tmp_path / "10")
    first = find_model(str(tmp_path))
    assert first.folder == str(tmp_path / "10")
    assert first.digest == find_model(str(tmp_path / "9")).digest
    for changed in ({"weights": b"others"}, {"labels": b"[]"}):
        write_model(tmp_path / "9", **changed)
        assert find_model(str(tmp_path / "9")).digest != first.digest


def test_what_is_no_model_is_said_before_anything_is_done(tmp_path):
    with pytest.raises(ValueError, match=r"model .*typo: got no saved_model.pb in it, expected an export"):
        find_model(str(tmp_path / "typo"))
    write_model(tmp_path)
    (tmp_path / "assets" / "labels.json").unlink()
    with pytest.raises(ValueError, match=r"got no assets/labels\.json in it"):
        find_model(str(tmp_path))


def test_a_model_is_fetched_from_wherever_tensorflow_reads(monkeypatch):
    tf.io.gfile.makedirs("ram://models/1/assets")
    for name in ("saved_model.pb", "assets/labels.json"):
        with tf.io.gfile.GFile(f"ram://models/1/{name}", "w") as file:
            file.write(name)
    seen = {}

    def load(folder):
        paths = [path for path in predictor.Path(folder).rglob("*") if path.is_file()]
        seen.update({str(path.relative_to(folder)): path.read_text() for path in paths})

    monkeypatch.setattr("cascade_tf.experiment.loading.load", load)
    Predictor("ram://models", 0.5)
    assert seen == {f"1/{name}": name for name in ("saved_model.pb", "assets/labels.json")}
    with pytest.raises(FileNotFoundError, match="ram://nothing: got no such folder"):
        Predictor("ram://nothing", 0.5)


RESULT = {"image_id": 3, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5}
OUTCOMES = [
    Outcome("b.jpg", 2, failure="cannot be decoded"),
    Outcome(
        "c.jpg", 3, 10, 20, ({"image_id": 3, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5},), ("cat",)
    ),
    Outcome("a.jpg", 1, 30, 40),
]


def test_files_do_not_depend_on_the_order_nor_on_doubles(monkeypatch):
    monkeypatch.setattr(result_files, "_parquet", lambda rows, columns: json.dumps(rows).encode())
    contents = shard_content(OUTCOMES, 3, 16)
    assert list(contents)[-1] == "results-00003-of-00016.json"
    assert contents == shard_content([*OUTCOMES[::-1], OUTCOMES[0]], 3, 16)
    assert json.loads(contents["results-00003-of-00016.json"]) == list(OUTCOMES[1].results)
    failures = [json.loads(line) for line in contents["failures-00003-of-00016.jsonl"].splitlines()]
    assert failures == [{"file_name": "b.jpg", "image_id": 2, "failure": "cannot be decoded"}]
    (row,) = json.loads(contents["detections-00003-of-00016.parquet"])
    assert [row[side] for side in ("x1", "y1", "x2", "y2")] == [1, 2, 4, 6]
    assert [row["file_name"] for row in json.loads(contents["images-00003-of-00016.parquet"])] == [
        "a.jpg",
        "c.jpg",
    ]


def test_finished_shards_are_those_with_results():
    names = [
        "results-00003-of-00016.json",
        "detections-00004-of-00016.parquet",
        "results-00001-of-00008.json",
    ]
    assert finished_shards(names, 16) == {3}


def test_parquet_has_its_types_without_rows_too():
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow comes with the extra beam")
    for outcomes in (OUTCOMES, []):
        tables = {
            name: parquet.read_table(io.BytesIO(content))
            for name, content in shard_content(outcomes, 0, 1).items()
            if name.endswith(".parquet")
        }
        detections = tables["detections-00000-of-00001.parquet"]
        assert str(detections.schema.field("score").type) == "float"
        assert str(detections.schema.field("segmentation").type) == "string"
        assert row_count(shard_content(outcomes, 0, 1)["images-00000-of-00001.parquet"]) == len(
            tables["images-00000-of-00001.parquet"]
        )
        assert len(tables["images-00000-of-00001.parquet"]) == (2 if outcomes else 0)
