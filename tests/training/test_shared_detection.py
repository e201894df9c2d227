"""Processes detect in parts of a data set, and all get everything."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.synthetic import draw_dataset
from cascade_tf.prediction.inference import ImageDetections
from cascade_tf.training.shared_detection import detect_together


class ThreadWorkers:
    """Workers that are threads of this process."""

    def __init__(self, count):
        self.count = count
        self._contents = [b""] * count
        self._barrier = threading.Barrier(count)

    def of_index(self, index):
        worker = ThreadWorkers.__new__(ThreadWorkers)
        worker.__dict__.update(self.__dict__, index=index)
        return worker

    def gather(self, content):
        self._contents[self.index] = content
        self._barrier.wait(30)
        return list(self._contents)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "data"
    draw_dataset(folder, num_train=5, num_val=1, image_size=(64, 96), seed=1)
    return read_dataset_dir(folder, "train")


def record(example, stage):
    segmentation = {"size": [64, 96], "counts": f"stage {stage} of {example.image_id}"}
    return ImageDetections(
        boxes=np.full([1, 4], example.image_id, np.float32),
        scores=np.float32([0.5 + stage]),
        classes=np.int32([1]),
        category_ids=np.int64([1]),
        names=("disc",),
        image_id=example.image_id,
        segmentations=(segmentation,),
    )


def run(count, dataset, detect):
    """What each of ``count`` workers gets or raises."""
    workers, results = ThreadWorkers(count), [None] * count

    def work(index):
        try:
            results[index] = detect_together(
                workers.of_index(index), dataset, lambda share: detect(index, share)
            )
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=work, args=(index,)) for index in range(count)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return results


@pytest.mark.parametrize("count", [2, 3, 7])
def test_all_get_all_stages_of_all_images_in_order(count, dataset):
    seen = []

    def detect(index, share):
        seen.extend(example.image_id for example in share.examples)
        return [[record(example, stage) for example in share.examples] for stage in (0, 1)]

    results = run(count, dataset, detect)
    ids = [example.image_id for example in dataset.examples]
    assert sorted(seen) == sorted(ids)
    for rows in results:
        assert [[r.image_id for r in row] for row in rows] == [ids, ids]
        for stage, row in enumerate(rows):
            for found, example in zip(row, dataset.examples, strict=True):
                wanted = record(example, stage)
                np.testing.assert_array_equal(found.boxes, wanted.boxes)
                assert found.segmentations == wanted.segmentations


def test_images_that_were_left_out_stay_out(dataset):
    results = run(2, dataset, lambda index, share: [[record(e, 0) for e in share.examples[1:]]])
    ids = [example.image_id for example in dataset.examples]
    assert [r.image_id for r in results[0][0]] == [ids[2], ids[3], ids[4]]


def test_all_hear_of_a_failure(dataset):
    def detect(index, share):
        if index == 1:
            raise ValueError("images/7.jpg: cannot be read")
        return [[record(example, 0) for example in share.examples]]

    first, second = run(2, dataset, detect)
    assert isinstance(first, RuntimeError)
    assert str(first) == "process 1 of 2: images/7.jpg: cannot be read"
    assert isinstance(second, ValueError)
