"""The proposals of a detector for a data set, in pixels of its pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from cascade_tf.data.coco import read_coco
from cascade_tf.data.pipeline import eval_batches
from cascade_tf.data.proposals import with_proposals
from cascade_tf.prediction.inference import to_original_frame
from cascade_tf.proposal_files import read_proposals, write_proposals
from cascade_tf.proposal_files.collecting import collect_proposals
from tests.tiny_detector import noise, tiny_detector

SIZES = {"a.png": (48, 80), "sub/b.png": (100, 60)}


@pytest.fixture
def dataset(tmp_path):
    for number, (name, (height, width)) in enumerate(SIZES.items()):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(height, width, seed=number)).save(tmp_path / "images" / name)
    images = [
        {"id": 30 - number, "file_name": name, "height": height, "width": width}
        for number, (name, (height, width)) in enumerate(SIZES.items())
    ]
    content = {"images": images, "annotations": [], "categories": [{"id": 5, "name": "cell"}]}
    (tmp_path / "instances.json").write_text(json.dumps(content))
    return read_coco(tmp_path / "instances.json")


def test_first_and_later_stages(dataset, tmp_path):
    """Alone and together images give the same, and a stage sees what the one before has made."""
    detector = tiny_detector()
    sizes = {"short_side": 64, "max_side": 96, "size_divisor": 32}
    batches = list(eval_batches(dataset, batch_size=1, **sizes))
    for stage in (1, 3):
        found = collect_proposals(detector, dataset, stage=stage)
        assert found.image_ids.tolist() == [30, 29]
        assert found.file_names == tuple(SIZES)
        assert found.sizes.tolist() == [list(size) for size in SIZES.values()]
        for record, batch in enumerate(batches):
            features, _, proposals = detector.propose(batch)
            expected = proposals.boxes
            for output in detector.heads(features, proposals, batch.image_size)[: stage - 1]:
                expected = output.boxes
            expected = to_original_frame(expected, batch.image_size, batch.original_size)[0].numpy()
            proper = np.all(expected[:, 2:] > expected[:, :2], axis=1) & proposals.valid[0].numpy()
            boxes, scores = found.of_record(record)
            np.testing.assert_allclose(boxes, expected[proper], atol=1e-2)
            np.testing.assert_allclose(scores, proposals.scores[0].numpy()[proper], atol=1e-4)
    again = read_proposals(write_proposals(tmp_path / "x.npz", found))
    np.testing.assert_array_equal(again.boxes, found.boxes)


@pytest.mark.parametrize("stage", [2, 3])
def test_boxes_of_later_stages_lie_in_the_image(dataset, stage):
    """The stages between which boxes are not clipped see some that reach out of it."""
    detector = tiny_detector()
    for one in detector.heads.stages:
        # Boxes grow by half around their centres.
        one.head.regressor.bias.assign([0.0, 0.0, 2.0, 2.0])
    for batch in eval_batches(dataset, batch_size=1, short_side=64, max_side=96):
        features, _, proposals = detector.propose(batch)
        seen = detector.heads(features, proposals, batch.image_size)[stage - 1].samples.boxes
        assert np.min(seen) < -1.0
    found = collect_proposals(detector, dataset, stage=stage)
    for record, (height, width) in enumerate(SIZES.values()):
        boxes, _ = found.of_record(record)
        assert len(boxes) > 0
        assert np.all((boxes >= 0.0) & (boxes <= [width, height, width, height]))
        assert np.all(boxes[:, 2:] > boxes[:, :2])


@pytest.mark.parametrize("broken", list(SIZES))
def test_an_image_that_cannot_be_read_has_an_entry_without_proposals(dataset, tmp_path, broken):
    (tmp_path / "images" / broken).write_bytes(b"\x89PNG gone")
    found = collect_proposals(tiny_detector(), dataset, skip_broken=True)
    assert found.image_ids.tolist() == [30, 29]
    assert found.file_names == tuple(SIZES)
    assert found.sizes.tolist() == [list(size) for size in SIZES.values()]
    counts = [len(found.of_record(record)[0]) for record in (0, 1)]
    place = list(SIZES).index(broken)
    assert counts[place] == 0
    assert counts[1 - place] > 0
    # Training takes the file: it wants an entry for each image.
    again = read_proposals(write_proposals(tmp_path / "x.npz", found))
    assert with_proposals(dataset, again).proposals is again


def test_stages_that_are_not_there(dataset):
    with pytest.raises(ValueError, match=r"stage: got 4, expected one of the detector's, 1\.\.3"):
        collect_proposals(tiny_detector(), dataset, stage=4)
