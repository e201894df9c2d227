"""Nets of Caffe that are broken, or made to break the reader."""

import pickle
import random

import numpy as np
import pytest

from cascade_tf.weights.files.checkpoint_file import read_checkpoint
from tests.weights.caffe_schema import net_parameter
from tests.weights.caffe_writer import (
    END_GROUP,
    FIXED32,
    GROUP,
    VARINT,
    Layer,
    blob,
    data,
    integer,
    layer,
    net,
    numbers,
    shape,
    single_numbers,
    tag,
    v1_layer,
    varint,
)
from tests.weights.traced_memory import traced_memory

MIB = 1 << 20
RNG = np.random.default_rng(0)


def floats(*sizes):
    return RNG.standard_normal(sizes).astype(np.float32)


def read(tmp_path, content, name="net.caffemodel"):
    path = tmp_path / name
    path.write_bytes(content)
    return read_checkpoint(path)


def group_of_groups(levels):
    return tag(9, GROUP) * levels + tag(9, END_GROUP) * levels


def claimed(size, rest=b""):
    return layer("a", "A", [shape((size,)) + data(5, b"\0" * 8) + rest])


GOOD = blob(floats(2))
LIES = varint(1 << 40)
REFUSED = {
    "a size beyond the file": (
        claimed(1000),
        r"layer 'a': blob 0: .*\(1000,\) claims 1000 numbers .* holds 2",
    ),
    "a size without end": (
        layer("a", "A", [shape((1 << 62, 1 << 62, 1 << 62)) + data(5, b"\0" * 8)]),
        r"layer 'a': blob 0: the shape \(\d+, \d+, \d+\) claims \d+\.\.\.\d+ numbers but the file holds 2",
    ),
    "a negative size": (claimed(-2), r"layer 'a': blob 0: got \[-2\] for a shape, expected non-negative"),
    "a negative size of the old form": (
        v1_layer("a", "InnerProduct", [integer(1, -1) + data(5, b"\0" * 8)]),
        r"layer 'a': blob 0: got \[-1, 0, 0, 0\] for a shape",
    ),
    "an old shape with one size": (
        layer("a", "A", [integer(4, 2) + data(5, b"\0" * 8)]),
        r"\(0, 0, 0, 2\) claims 0 numbers but the file holds 2",
    ),
    "too many sizes": (layer("a", "A", [shape((1,) * 33) + data(5, b"\0" * 4)]), "more than 32 integers"),
    "too many sizes in pieces": (
        layer("a", "A", [shape((1,) * 20) * 1000]),
        r"layer 'a': blob 0: got .* for a shape, expected up to 32",
    ),
    "a shape without numbers": (layer("a", "A", [shape((3,))]), "claims 3 numbers but the file holds 0"),
    "more numbers than the shape": (claimed(1), r"\(1,\) claims 1 numbers but the file holds 2"),
    "part of a number": (
        layer("a", "A", [shape((1,)) + data(5, b"\0" * 7)]),
        "layer 'a': blob 0: field 5 holds 7 bytes of numbers of 4",
    ),
    "two precisions": (
        layer("a", "A", [shape((2,)) + numbers(np.ones(2)) + numbers(np.ones(2, np.float32))]),
        "layer 'a': blob 0: has its numbers in two precisions",
    ),
    "too many pieces": (
        layer("a", "A", [shape((2000,)) + 2000 * data(5, b"\0" * 4)]),
        "layer 'a': blob 0: has its numbers in more than 1000 pieces",
    ),
    "raw integers": (
        layer("a", "A", [shape((2,)) + integer(10, 3) + data(12, b"\0" * 8)]),
        "layer 'a': blob 0: has raw numbers of the type 3",
    ),
    "part of a raw number": (
        layer("a", "A", [shape((2,)) + integer(10, 2) + data(12, b"\0" * 3)]),
        "layer 'a': blob 0: has 3 bytes of raw numbers of 2",
    ),
    "a blob beyond its layer": (
        data(100, data(1, "a") + tag(7, 2) + varint(100) + b"\0" * 9),
        "layer 'a': truncated or broken: a field claims 100 bytes but 9 are left",
    ),
    "numbers beyond their blob": (
        layer("a", "A", [shape((2,)) + tag(5, 2) + varint(12) + b"\0" * 8]),
        "layer 'a': blob 0: truncated or broken: a field claims 12 bytes but 8 are left",
    ),
    "a single number beyond its blob": (
        layer("a", "A", [shape((1,)) + tag(5, FIXED32) + b"\0" * 3]),
        "layer 'a': blob 0: truncated or broken: a number of 4 bytes begins where 3 are left",
    ),
    "a layer beyond the file": (
        layer("a", "A", [GOOD]) + tag(100, 2) + LIES + b"\0" * 9,
        f"after layer 'a': truncated or broken: a field claims {1 << 40} bytes but 9 are left",
    ),
    "the first layer beyond the file": (
        data(1, "net") + tag(100, 2) + LIES + b"\0" * 9,
        "before the first layer: truncated or broken",
    ),
    "an integer without end": (
        layer("a", "A", [b"\x08" + b"\xff" * 20]),
        "layer 'a': blob 0: broken: the integer that ends at byte 11 of 21 exceeds 64 bits",
    ),
    "an integer of 65 bits": (
        layer("a", "A", [b"\x08" + b"\xff" * 9 + b"\x02"]),
        "blob 0: broken: the integer that ends at byte 11 of 11 exceeds 64 bits",
    ),
    "half an integer": (layer("a", "A", [b"\x08\xff"]), "ends in the middle of an integer"),
    "a length of 64 bits": (
        layer("a", "A", [tag(5, 2) + varint((1 << 64) - 1)]),
        f"a field claims {(1 << 64) - 1} bytes but 0 are left",
    ),
    "field 0": (layer("a", "A", [b"\x02\x00"]), "blob 0: broken at byte 0 of 2: no field begins with 2"),
    "wire type 6": (layer("a", "A", [b"\x0e"]), "no field begins with 14"),
    "a tag of 33 bits": (layer("a", "A", [varint(1 << 32) + b"\0"]), f"no field begins with {1 << 32}"),
    "a number as name": (
        data(100, integer(1, 5) + data(2, "A")),
        r"layer 1 \(without a name\): field 1 is an integer, expected bytes",
    ),
    "a group as blob": (
        data(100, data(1, "a") + tag(7, GROUP) + tag(7, END_GROUP)),
        "layer 'a': field 7 is a group, expected bytes",
    ),
    "a float as size": (
        layer("a", "A", [tag(1, FIXED32) + b"\0" * 4]),
        "layer 'a': blob 0: field 1 is a number of 32 bits, expected an integer",
    ),
    "doubles in the field of floats": (
        layer("a", "A", [single_numbers(5, np.ones(2))]),
        "layer 'a': blob 0: field 5 is a number of 64 bits, expected bytes",
    ),
    "an integer as numbers": (layer("a", "A", [integer(5, 1)]), "field 5 is an integer, expected bytes"),
    "an integer as layer": (
        data(1, "net") + layer("a", "A") + tag(100, VARINT) + b"\x01",
        "field 100 is an integer, expected bytes",
    ),
    "a text as type of the old form": (
        data(2, data(4, "a") + data(5, "A")),
        "layer 'a': field 5 is bytes, expected an integer",
    ),
    "groups in groups": (
        layer("a", "A", [GOOD], group_of_groups(10_000)),
        "layer 'a': has groups in more than 100 others",
    ),
    "a group that does not end": (layer("a", "A", [GOOD], tag(9, GROUP)), "layer 'a': truncated or broken"),
    "a group that did not begin": (
        layer("a", "A", [GOOD], tag(9, END_GROUP)),
        "layer 'a': broken: a group ends at byte 24 of 24 that never began",
    ),
    "a group with another end": (
        layer("a", "A", [GOOD], tag(9, GROUP) + tag(8, END_GROUP)),
        "layer 'a': broken: another group ends at byte 25 of 25 than began",
    ),
    "two layers of a name": (
        layer("a", "A", [GOOD]) + layer("b", "B", [GOOD]) + layer("a", "A", [GOOD]),
        "layer 'a': is there twice, both times with weights",
    ),
    "weights without a name": (
        data(100, data(2, "A") + data(7, GOOD)),
        r"layer 1 \(without a name\): has weights",
    ),
    "a long name": (
        layer("a" * 5000, "A", [GOOD]),
        r"layer 1 \(without a name\): field 1 is a text of 5000 bytes",
    ),
    "a name that is too long with its index": (layer("a" * 1000, "A", [GOOD]), "expected a short text"),
    "both forms": (
        layer("a", "A", [GOOD]) + v1_layer("b", "Data"),
        "layers of the new form and of the old one",
    ),
    "the first form of layers": (
        data(2, data(1, data(1, "conv1") + data(50, GOOD))),
        r"layer 1 \(without a name\): has the first of Caffe's forms",
    ),
    "no weights": (layer("a", "A") + layer("b", "B"), "holds 2 layers of a Caffe net and no weights"),
    "no layers": (data(1, "net"), "holds 0 layers of a Caffe net and no weights"),
    "nothing but zeros": (b"\0" * 1000, "before the first layer: broken at byte 0 of 1000: no field"),
    "millions of fields": (
        layer("a", "A", [GOOD]) + integer(9, 1) * MIB,
        "after layer 'a': has more than 300000 fields",
    ),
    "millions of fields in a group": (
        layer("a", "A", [GOOD], tag(9, GROUP) + integer(9, 1) * MIB + tag(9, END_GROUP)),
        "layer 'a': has more than 300000 fields",
    ),
    "a web page": (b"<!DOCTYPE html>", "is a web page or XML, expected"),
    "nothing": (b"", "is empty, expected"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_hostile_files_are_refused_with_a_reason(tmp_path, case):
    content, reason = REFUSED[case]
    with traced_memory() as memory, pytest.raises(ValueError, match=reason) as error:
        read(tmp_path, content)
    assert str(error.value).startswith(f"checkpoint {tmp_path / 'net.caffemodel'}: ")
    assert "\n" not in str(error.value)
    assert error.value.__cause__ is None
    assert memory.peak < 2 * len(content) + 2 * MIB


def test_a_name_cannot_break_the_line(tmp_path):
    with pytest.raises(ValueError, match=r"layer 'a\\n\\x1b\\u2028\\\\xff': blob 0") as error:
        read(tmp_path, layer("a\n\x1b\u2028".encode() + b"\xff", "A", [shape((3,))]))
    assert len(str(error.value).splitlines()) == 1


def test_short_runs_of_single_numbers_cost_no_look_at_the_whole_file(tmp_path):
    """Runs that end at once: looking for each one's end in the rest would take minutes."""
    rows = b"".join(tag(50 + i % 2, FIXED32) + b"\0" * 4 for i in range(100_000))
    content = layer("a", "A", [GOOD + rows]) + data(999, b"\0" * (64 * MIB))
    assert list(read(tmp_path, content).arrays) == ["a/0"]


@pytest.mark.parametrize("name", ["weights.pth", "model"])
def test_other_files_are_no_nets(tmp_path, name):
    for content in (
        b"\n<" + b"x" * 200,
        b"\n\x05name:\n",
        b"layer { name: 'a' }",
        data(1, "net"),
        data(1, "net") + tag(100, 2) + LIES + data(1, "a"),
        data(1, "net") + data(100, integer(1, 1)),
        integer(1, 1) + data(2, "learned"),
        b"\n" * 600,
        b"\xff" * 600,
    ):
        with pytest.raises(ValueError, match=r"unknown format|is a web page"):
            read(tmp_path, content, name)


def test_a_pickle_stays_one_under_any_name(tmp_path):
    assert read(tmp_path, pickle.dumps({"w": np.ones(2)})).container == "pickle"


def damaged(content, rng):
    """The content cut off, or with some bytes changed, inserted or removed."""
    if rng.random() < 0.1:
        return content[: rng.randrange(len(content))]
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(content))
        change = rng.random()
        if change < 0.5:
            content[at] ^= 1 << rng.randrange(8)
        elif change < 0.7:
            content[at : at + 1] = rng.choice((b"\xff", b"\x00", b"\x7f", b"\x80", b"\x0b", b"\x0c", b"\x2d"))
        elif change < 0.9:
            content[at:at] = bytes(rng.randrange(256) for _ in range(3))
        else:
            del content[at : at + rng.randrange(1, 9)]
    return bytes(content)


def blobs_by_protobuf(content, legacy):
    """The numbers of a net as protobuf's own parser finds them."""
    parsed = net_parameter().FromString(content)
    found = {}
    for item in parsed.layers if legacy else parsed.layer:
        for index, given in enumerate(item.blobs):
            values = given.data or given.double_data
            raw = np.frombuffer(given.raw_data, {0: "f8", 1: "f4", 2: "f2"}[given.raw_data_type])
            values = np.array(values, "f4" if given.data else "f8") if values else raw
            names = ("num", "channels", "height", "width")
            has_old = any(map(given.HasField, names))
            sizes = [getattr(given, name) for name in names] if has_old else given.shape.dim
            found[item.name.decode("utf-8", "backslashreplace"), index] = values, list(sizes)
    return found


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_damaged_files_are_refused_or_read_as_protobuf_reads_them(tmp_path, legacy, packed):
    rng = random.Random(f"{legacy}{packed}")
    layers = [Layer("conv", "Convolution", (floats(2, 2, 1, 1), floats(2))), Layer("relu", "ReLU")]
    layers += [Layer("fc", "InnerProduct", (floats(2, 3), floats(2)))]
    content = net(layers, "net", legacy, packed)
    errors, num_read = [], 0
    for _ in range(1000):
        given = damaged(content, rng)
        with traced_memory() as memory:
            try:
                checkpoint = read(tmp_path, given)
            except ValueError as error:
                errors.append(error)
                checkpoint = None
        assert memory.peak < MIB
        if checkpoint is None:
            continue
        num_read += 1
        expected = blobs_by_protobuf(given, legacy)
        assert list(checkpoint.arrays) == [f"{name}/{index}" for name, index in expected]
        for found, (values, sizes) in zip(checkpoint.arrays.values(), expected.values(), strict=True):
            # In comparison with the older shapes ones may be missing in front.
            assert list(found.shape) == sizes[len(sizes) - found.ndim :]
            np.testing.assert_array_equal(found.ravel(), values)
    assert min(num_read, len(errors)) > 150
    assert all(str(error).startswith(f"checkpoint {tmp_path}") for error in errors)
    assert {len(str(error).splitlines()) for error in errors} == {1}
    # A cause is an exception that no check foresaw.
    assert [error.__cause__ for error in errors if error.__cause__] == []


@pytest.mark.parametrize("legacy", [True, False])
def test_files_cut_off_at_every_byte(tmp_path, legacy):
    layers = [Layer("conv", "Convolution", (floats(2, 2, 1, 1), floats(2)))]
    layers += [Layer("fc", "InnerProduct", (floats(2, 1),))]
    content = net(layers, legacy=legacy)
    messages, found = [], []
    for length in range(1, len(content)):
        try:
            found.append(list(read(tmp_path, content[:length]).arrays))
        except ValueError as error:
            messages.append(str(error))
    # Nothing tells that a file ended between two layers.
    assert found == [["conv/0", "conv/1"]]
    assert len(messages) == len(content) - 2
    assert {len(message.splitlines()) for message in messages} == {1}
