"""Maps go from fine to coarse by their names, else by their sizes; what contradicts itself is refused."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.heads import BoxHead, CascadeHeads, Stage
from cascade_tf.layers.map_order import as_maps, fine_to_coarse
from cascade_tf.models import TwoStageDetector
from cascade_tf.necks import FPN, FPNPlus
from cascade_tf.pooling import GridROIAlign, ROIAlign
from cascade_tf.proposals import LevelProposals, RegionProposal
from cascade_tf.structures import ImageBatch
from tests.tiny_detector import tiny_detector

BOXES = np.float32([[[3, 5, 60, 40], [10, 10, 30, 26]]])
IMAGE_SIZE = np.float32([[64, 96]])


def maps(names, sizes=((16, 24), (8, 12)), channels=4):
    """Random maps: the same numbers for the same sizes, whatever the names."""
    return {
        name: np.random.default_rng(size).normal(size=(1, *size, channels)).astype(np.float32)
        for name, size in zip(names, sizes, strict=True)
    }


def outputs(layer, features):
    """What a layer makes of the features."""
    if isinstance(layer, (ROIAlign, GridROIAlign)):
        return [layer(features, BOXES)]
    if isinstance(layer, (RegionProposal, LevelProposals)):
        return tf.nest.flatten(layer(features, IMAGE_SIZE))
    return list(layer(features).values())


def traced(layer, features):
    """The same in a graph that knows no sizes."""
    signature = {name: tf.TensorSpec([None, None, None, x.shape[-1]]) for name, x in features.items()}
    function = tf.function(lambda features: outputs(layer, features), input_signature=[signature])
    return function(features)


STRIDES = (4, 8)
READERS = {
    "FPN": lambda: FPN(4),
    "FPNPlus": lambda: FPNPlus(4),
    "ROIAlign": lambda: ROIAlign(2, strides=STRIDES, canonical_size=64.0, implementation="tensorflow"),
    "GridROIAlign": lambda: GridROIAlign(
        2, strides=STRIDES, canonical_size=64.0, implementation="tensorflow"
    ),
    "RegionProposal": lambda: RegionProposal((8, 16), strides=STRIDES, implementation="tensorflow"),
    "LevelProposals": lambda: LevelProposals(
        anchors=(((8.0, 8.0),), ((16.0, 16.0), (24.0, 12.0))), strides=STRIDES, channels=4,
        implementation="tensorflow",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["C5", "C2", "C4", "C3"], ("C2", "C3", "C4", "C5")),
        (["res10", "res9"], ("res9", "res10")),
        (["block12", "block9"], ("block9", "block12")),
        (["3", "pool", "0"], ("0", "3", "pool")),
        (["conv2_block3_out", "conv10_block1_out"], ("conv2_block3_out", "conv10_block1_out")),
    ],
)
def test_numbers_in_names_are_compared_as_numbers(names, expected):
    assert fine_to_coarse(names) == expected
    assert fine_to_coarse(dict.fromkeys(names, (None, None, None, 8))) == expected


def test_sizes_decide_where_names_do_not_say_the_level():
    sizes = {"coarse": (1, 8, 8, 3), "fine": (1, 32, 32, 3), "middle": (1, 16, 16, 3)}
    assert fine_to_coarse(sizes) == ("fine", "middle", "coarse")
    assert fine_to_coarse({"coarse": (1, 8, None, 3), "fine": (1, 32, None, 3)}) == ("fine", "coarse")
    # One size that is not known tells nothing of the others.
    assert fine_to_coarse({"coarse": (1, 8, 8, 3), "fine": (1, None, None, 3)}) == ("coarse", "fine")


def test_maps_without_names():
    one, other = np.zeros((1, 4, 4, 2)), np.zeros((1, 2, 2, 2))
    assert list(as_maps([one, other])) == list(as_maps((one, other))) == ["0", "1"]
    assert as_maps(one)["0"] is one
    assert as_maps((None, 4, 4, 2)) == {"0": (None, 4, 4, 2)}
    assert as_maps([(1, 4, 4, 2), (1, 2, 2, 2)])["1"] == (1, 2, 2, 2)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("names", [("fine", "coarse"), ("block9", "block12"), ("z", "a")])
def test_maps_of_any_names_are_read_by_their_sizes(reader, names):
    keras.utils.set_random_seed(1)
    layer = READERS[reader]()
    features = maps(("P2", "P3"))
    expected = outputs(layer, features)
    keras.utils.set_random_seed(1)
    other = READERS[reader]()
    for one, value in zip(outputs(other, maps(names)), expected, strict=True):
        np.testing.assert_array_equal(one, value)
    # A list is from fine to coarse.
    for one, value in zip(outputs(layer, list(features.values())), expected, strict=True):
        np.testing.assert_array_equal(one, value)


@pytest.mark.parametrize("reader", READERS)
def test_a_graph_without_sizes_takes_maps_by_their_names(reader):
    layer = READERS[reader]()
    features = maps(("block9", "block12"))
    expected = outputs(layer, features)
    for one, value in zip(traced(layer, features), expected, strict=True):
        np.testing.assert_allclose(one, value, atol=1e-5)


SWAPPED = ((8, 12), (16, 24))


@pytest.mark.parametrize("reader", READERS)
def test_names_that_contradict_the_sizes(reader):
    layer = READERS[reader]()
    with pytest.raises(ValueError, match=rf"{reader}: got maps P2 \(8 x 12\), P3 \(16 x 24\) .*expected "):
        outputs(layer, maps(("P2", "P3"), SWAPPED))
    layer = READERS[reader]()
    outputs(layer, maps(("P2", "P3")))
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"{reader}: got maps P2, P3 .*sizes\].*8 12"):
        traced(layer, maps(("P2", "P3"), SWAPPED))


@pytest.mark.parametrize("reader", READERS)
def test_names_that_say_nothing_in_a_graph_without_sizes(reader):
    layer = READERS[reader]()
    outputs(layer, maps(("P2", "P3")))
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"{reader}: got maps coarse, fine .*8 12"):
        traced(layer, maps(("fine", "coarse")))


@pytest.mark.parametrize("reader", [name for name in READERS if "FPN" not in name])
@pytest.mark.parametrize("sizes", [((16, 16), (16, 16)), ((32, 32), (8, 8))])
def test_strides_that_contradict_the_sizes(reader, sizes):
    message = (
        rf"{reader}: got maps P2 \({sizes[0][0]} x .*\), P3 \(.*\) for strides 4, 8, expected sizes in inv"
    )
    with pytest.raises(ValueError, match=message):
        outputs(READERS[reader](), maps(("P2", "P3"), sizes))


@pytest.mark.parametrize("reader", ["FPN", "FPNPlus"])
def test_sizes_that_are_no_pyramids(reader):
    message = (
        rf"{reader}: got maps P2 \(32 x 32\), P3 \(8 x 8\) taken from fine to coarse, expected each half"
    )
    with pytest.raises(ValueError, match=message):
        outputs(READERS[reader](), maps(("P2", "P3"), ((32, 32), (8, 8))))


def test_another_number_of_maps_than_strides():
    message = "RegionProposal: got maps P2, P3 for strides 4, 8, 16, expected as many"
    with pytest.raises(ValueError, match=message):
        RegionProposal((8, 16, 32), strides=(4, 8, 16))(maps(("P2", "P3")), IMAGE_SIZE)
    with pytest.raises(ValueError, match="ROIAlign: got maps 0 for strides 4, 8, 16, 32, expected as many"):
        ROIAlign()(np.zeros((1, 8, 8, 4), np.float32), BOXES)


@pytest.mark.parametrize("reader", ["FPN", "LevelProposals"])
def test_weights_stay_with_their_maps(reader, tmp_path):
    """Built without sizes, called with them: the order is that of the weights."""
    inputs = {name: keras.Input((None, None, 4)) for name in ("a", "b")}
    layer = READERS[reader]()
    sizes = keras.Input((2,))
    arguments = (inputs,) if reader == "FPN" else (inputs, sizes)
    model = keras.Model([inputs, sizes], tf.nest.flatten(layer(*arguments)))
    model.save(tmp_path / "model.keras")
    features = maps(("a", "b"))
    expected = outputs(layer, features)
    again = keras.saving.load_model(tmp_path / "model.keras")
    for one, value in zip(again([features, IMAGE_SIZE]), expected, strict=True):
        np.testing.assert_allclose(one, value, atol=1e-5)
    with pytest.raises(ValueError, match=rf"{reader}: got maps a \(8 x 12\), b \(16 x 24\)"):
        outputs(layer, maps(("a", "b"), SWAPPED))


def checking_parts(detector):
    """Which parts check their maps' sizes in the graph of a detector for images of any size."""
    specs = ImageBatch(
        images=tf.TensorSpec([None, None, None, 3], tf.uint8),
        image_size=tf.TensorSpec([None, 2]),
        original_size=tf.TensorSpec([None, 2]),
        image_id=tf.TensorSpec([None], tf.int64),
    )
    graph = tf.function(detector).get_concrete_function(specs).graph.as_graph_def()
    return set(re.findall(r'"(\w+): got maps', str(graph)))


def test_a_detector_that_knows_its_strides_has_no_checks_in_its_graph():
    detector = tiny_detector(**{"*.implementation": "tensorflow"})
    assert not checking_parts(detector)
    inside = detector.backbone
    parts = {name: getattr(detector, name) for name in ("detection_output", "image_inputs", "class_names")}
    foreign = TwoStageDetector(
        keras.Model(inside.inputs, inside.output),
        neck=FPN(16),
        proposals=RegionProposal((8, 16, 32, 64, 128), implementation="tensorflow"),
        heads=CascadeHeads([Stage(BoxHead(3, units=8))], ROIAlign(implementation="tensorflow")),
        **parts,
    )
    assert checking_parts(foreign) == {"FPN", "RegionProposal", "ROIAlign"}
