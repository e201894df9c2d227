import os
import pickle
import random
import warnings
import zipfile
from collections import OrderedDict

import h5py
import ml_dtypes
import numpy as np
import pytest

from cascade_tf.weights.files.checkpoint_file import read_checkpoint
from tests.weights.torch_writer import (
    Call,
    Name,
    Parameter,
    Storage,
    Tensor,
    write_pickle,
    write_torch_legacy,
    write_torch_zip,
)
from tests.weights.traced_memory import traced_memory

MIB = 1 << 20
WEIGHTS = {
    "stem.conv1.weight": np.random.default_rng(0).standard_normal((4, 3, 7, 7)).astype(np.float32),
    "stem.norm.running_var": np.linspace(0, 1, 4),
    "stem.norm.num_batches_tracked": np.array(90000),
    "half": np.ones(3, np.float16),
}
HISTORY = Call(Name("mmengine.logging.history_buffer", "HistoryBuffer"), (), {"history": np.ones(3)})


def write_npz(path, obj):
    with open(path, "wb") as file:
        np.savez(file, **obj)
    return path


def write_compressed_npz(path, obj):
    with open(path, "wb") as file:
        np.savez_compressed(file, **obj)
    return path


def write_hdf5(path, obj):
    with h5py.File(path, "w") as file:
        for name, array in obj.items():
            file[name] = array
    return path


def write_python2(path, obj):
    return write_pickle(path, obj, 2, python2=True, numpy_core="numpy.core")


WRITERS = {
    "pickle": (write_pickle, "pickle"),
    "python2": (write_python2, "pickle"),
    "torch": (write_torch_zip, "torch"),
    "legacy torch": (write_torch_legacy, "torch"),
    "npz": (write_npz, "npz"),
    "compressed npz": (write_compressed_npz, "npz"),
    "hdf5": (write_hdf5, "hdf5"),
}


def assert_weights(arrays):
    assert sorted(arrays) == sorted(WEIGHTS)
    for name, array in WEIGHTS.items():
        expected = array.astype(np.float32) if array.dtype == np.float16 else array
        np.testing.assert_array_equal(arrays[name], expected)
        assert arrays[name].dtype == expected.dtype, name
        assert not arrays[name].flags.writeable, name


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_whatever_the_file_is_called(tmp_path, kind):
    write, container = WRITERS[kind]
    path = write(tmp_path / "weights.txt", WEIGHTS)
    checkpoint = read_checkpoint(str(path))
    assert_weights(checkpoint.arrays)
    assert (checkpoint.container, checkpoint.path, checkpoint.metadata) == (container, path, {})


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol(tmp_path, protocol):
    assert_weights(read_checkpoint(write_pickle(tmp_path / "w", WEIGHTS, protocol)).arrays)


def test_detectron2(tmp_path):
    obj = {"model": WEIGHTS, "__author__": "Model Zoo", "matching_heuristics": True}
    checkpoint = read_checkpoint(write_pickle(tmp_path / "model_final.pkl", obj))
    assert_weights(checkpoint.arrays)
    assert checkpoint.metadata == {"__author__": "Model Zoo", "matching_heuristics": True}


def test_a_training_checkpoint_of_detectron2(tmp_path):
    optimizer = {"state": {0: {"momentum_buffer": np.ones(5)}}, "param_groups": [{"lr": 0.02, "params": [0]}]}
    counter = Call(Name("collections", "Counter"), ({60000: 1, 80000: 1},))
    obj = {"model": WEIGHTS, "optimizer": optimizer, "scheduler": {"milestones": counter}, "iteration": 89999}
    checkpoint = read_checkpoint(write_torch_zip(tmp_path / "model_final.pth", obj))
    assert_weights(checkpoint.arrays)
    assert checkpoint.metadata == {
        "optimizer": {"state": {0: {}}, "param_groups": [{"lr": 0.02, "params": [0]}]},
        "scheduler": {"milestones": {60000: 1, 80000: 1}},
        "iteration": 89999,
    }


def test_detectron(tmp_path):
    obj = {"blobs": {**WEIGHTS, "note": "text"}, "cfg": "MODEL:\n  TYPE: generalized_rcnn\n" * 500}
    checkpoint = read_checkpoint(write_python2(tmp_path / "model_final.pkl", obj))
    assert_weights(checkpoint.arrays)
    assert checkpoint.metadata == {"note": "text", "cfg": obj["cfg"]}


@pytest.mark.parametrize("write", [write_torch_zip, write_torch_legacy])
def test_mmdetection_2_and_3(tmp_path, write):
    meta = {"CLASSES": ("car", "dog"), "PALETTE": [(1, 2, 3)], "config": "model = dict()", "epoch": 12}
    config = Call(Name("mmengine.config.config", "ConfigDict"), ({"a": 1},))
    obj = {
        "meta": {**meta, "cfg": config, "time": None},
        "state_dict": OrderedDict(WEIGHTS),
        "message_hub": {"log_scalars": OrderedDict(loss=HISTORY), "resumed_keys": {"loss": True}},
    }
    checkpoint = read_checkpoint(write(tmp_path / "cascade.pth", obj))
    assert_weights(checkpoint.arrays)
    assert checkpoint.metadata == {
        "meta": {**meta, "time": None},
        "message_hub": {"log_scalars": {}, "resumed_keys": {"loss": True}},
    }


def test_nested_names_are_joined_and_the_rest_keeps_its_place(tmp_path):
    obj = {
        "backbone": {"conv": {"w": np.ones(2), "kind": "conv"}, 0: np.zeros(1)},
        "epoch": 3,
        "scale": np.float32(2),
    }
    checkpoint = read_checkpoint(write_pickle(tmp_path / "w", obj))
    assert {name: array.tolist() for name, array in checkpoint.arrays.items()} == {
        "backbone.conv.w": [1, 1],
        "backbone.0": [0],
        "scale": 2,
    }
    assert checkpoint.metadata == {"backbone": {"conv": {"kind": "conv"}}, "epoch": 3}


def test_numpys_scalars_in_the_metadata_become_pythons(tmp_path):
    obj = {
        "model": WEIGHTS,
        "ap": [np.float64(44.3), np.int64(1), np.str_("x")],
        "mean": np.ones(3),
        "s": {1},
    }
    metadata = read_checkpoint(write_pickle(tmp_path / "w", obj)).metadata
    assert metadata == {"ap": [44.3, 1, "x"], "s": {1}}
    assert [type(value) for value in metadata["ap"]] == [float, int, str]


def test_other_byte_orders_and_16_bit_floats(tmp_path):
    big = {"a": np.arange(3, dtype=">f4"), "b": np.arange(3, dtype=">i8"), "c": np.arange(3, dtype=">f2")}
    for path in (write_pickle(tmp_path / "p", big), write_npz(tmp_path / "n", big)):
        arrays = read_checkpoint(path).arrays
        assert [arrays[name].dtype for name in "abc"] == [np.float32, np.int64, np.float32]
        assert all(array.dtype.isnative and array.tolist() == [0, 1, 2] for array in arrays.values())
    brain = read_checkpoint(write_torch_zip(tmp_path / "t", {"a": np.arange(3).astype(ml_dtypes.bfloat16)}))
    assert brain.arrays["a"].dtype == np.float32


def test_arrays_outlive_the_file(tmp_path):
    path = write_torch_legacy(tmp_path / "w.pth", WEIGHTS)
    arrays = read_checkpoint(path).arrays
    path.write_bytes(b"")
    path.unlink()
    assert_weights(arrays)


@pytest.mark.parametrize("kind", WRITERS)
def test_reading_costs_the_files_size_and_its_copies(tmp_path, kind):
    write, _ = WRITERS[kind]
    rng = np.random.default_rng(0)
    path = write(tmp_path / "w", {f"a{i}": rng.random((256, 512), np.float32) for i in range(24)})
    size = os.path.getsize(path)
    with traced_memory() as memory:
        read_checkpoint(path)
    # Compressed arrays are a second copy, and unpacking one of the 24 takes it twice.
    copies = 2.3 if kind == "compressed npz" else 1.0
    assert memory.peak < copies * size + MIB


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty, expected a pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>", "is a web page or XML"),
        (b'{"__metadata__": {}}', "is JSON"),
        (b"\x1f\x8b\x08\x00abc", "is a gzip archive"),
        (b"\x93NUMPY\x01\x00", "is a single NumPy array"),
        (b"\0" * 257 + b"ustar\0" + b"\0" * 249, "is a tar archive"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00{}", r"begins with b'\\x08\\x00.*expected a pickle"),
        (b"certainly no checkpoint\n", "has an unknown format and begins with b'certainly no che'"),
        (pickle.dumps([1, 2]), "holds a list, expected a mapping of names to arrays"),
        (pickle.dumps(np.ones(2)), "holds a ndarray, expected a mapping"),
        (pickle.dumps({"epoch": 3}), "holds no arrays"),
        (pickle.dumps({"model": {"a": 1}, "other": np.ones(2)}), "holds no arrays under 'model'"),
        (pickle.dumps({(1, 2): np.ones(2)}), "has a tuple as a key"),
        (pickle.dumps({None: np.ones(2)}), "have the name 'None'|have the name"),
        (pickle.dumps({"a.b": np.ones(2), "a": {"b": np.ones(2)}}), "two arrays of the name 'a.b'"),
        (pickle.dumps({"a" * 2000: np.ones(2)}), "expected a short text"),
        (b"cposix\nsystem\n(S'true'\ntR.", "wants to call posix.system"),
    ],
)
def test_files_without_weights_say_what_they_are(tmp_path, content, reason):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as error:
        read_checkpoint(path)
    assert str(error.value).startswith(f"checkpoint {path}: ")


def test_objects_among_the_weights_are_refused(tmp_path):
    history = write_pickle(tmp_path / "a", {"state_dict": {"w": np.ones(2), "loss": HISTORY}})
    with pytest.raises(ValueError, match=r"'loss', which is an object of mmengine\.logging\.history_buffer"):
        read_checkpoint(history)
    storage = write_torch_zip(tmp_path / "b", {"w": np.ones(2), "s": Storage(np.ones(2))})
    with pytest.raises(ValueError, match="'s', which is a Storage"):
        read_checkpoint(storage)


def test_an_archive_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ValueError, match=r"is a zip archive of 'config\.json', expected"):
        read_checkpoint(tmp_path / "model.keras")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(ValueError, match="got a folder, expected a file"):
        read_checkpoint(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        read_checkpoint(tmp_path / "pipe")


def doubled(value, levels=60):
    """Containers of the same container twice: 2**60 paths lead to the value."""
    for _ in range(levels):
        value = {"a": value, "b": value}
    return value


@pytest.mark.parametrize(
    "obj",
    [
        doubled({"w": 1}, 30),
        {"model": {"w": np.ones(2)}, "meta": doubled(1)},
        {"model": {"w": np.ones(2)}, "meta": (lambda t: [t := (t, t) for _ in range(60)][-1])(())},
    ],
    ids=["weights", "metadata", "tuples"],
)
def test_containers_of_the_same_container_twice(tmp_path, obj):
    with pytest.raises(ValueError, match="holds more than 300000 values"):
        read_checkpoint(write_pickle(tmp_path / "w", obj))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_conversions_that_are_asked_for_again_and_again(tmp_path, dtype):
    half = Storage(np.zeros(MIB, dtype))
    obj = {str(i): Tensor(half, (MIB,), (1,)) for i in range(100)}
    with pytest.raises(ValueError, match="unpacks to"):
        read_checkpoint(write_torch_zip(tmp_path / "w", obj))


SAMPLE = {
    **WEIGHTS,
    "large": np.random.default_rng(1).standard_normal((30, 40)).astype(np.float32),
}


def sample(kind, path):
    """A small valid file with as much variety as its format allows."""
    write, container = WRITERS[kind]
    if container == "torch":
        storage = Storage(np.arange(12, dtype=np.float32))
        tensors = {"view": Tensor(storage, (3, 2), (1, 3), 2), "parameter": Parameter(np.ones(3, np.float32))}
        meta = {"CLASSES": ("a", "b"), "plain": [1, 2.5, None, True, {1, 2}], "history": HISTORY}
        return write(path, {"state_dict": OrderedDict(SAMPLE, **tensors), "meta": meta})
    if container == "pickle":
        return write(path, {"model": SAMPLE, "cfg": "text\n" * 1000, "plain": (1, 2.5, None, [True])})
    return write(path, SAMPLE)


def damaged(content, rng):
    """The content cut off, or with some bytes changed, inserted or removed."""
    if rng.random() < 0.2:
        return content[: rng.randrange(len(content))]
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        # The beginning and the end hold the structure.
        at = rng.choice((rng.randrange(len(content)), rng.randrange(200), -1 - rng.randrange(200))) % len(
            content
        )
        change = rng.random()
        if change < 0.5:
            content[at] ^= 1 << rng.randrange(8)
        elif change < 0.8:
            content[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0"))
        elif change < 0.9:
            content[at:at] = bytes(
                rng.choice(b"N.(]}20tldR\x81bosuae\x94Q\x93\x85\x86\x87\x90") for _ in range(3)
            )
        else:
            del content[at : at + 8]
    return bytes(content)


@pytest.mark.parametrize("kind", WRITERS)
def test_damaged_files_are_read_or_refused(tmp_path, kind):
    rng = random.Random(kind)
    path = tmp_path / "w"
    content = sample(kind, path).read_bytes()
    read_checkpoint(path)
    errors = []
    for _ in range(150):
        path.write_bytes(damaged(content, rng))
        try:
            read_checkpoint(path)
        except ValueError as error:
            errors.append(error)
    assert len(errors) > 40
    assert {str(error).startswith(f"checkpoint {path}: ") for error in errors} == {True}
    # A cause is an exception that no check foresaw.
    assert [error.__cause__ for error in errors if error.__cause__] == []


def test_nothing_warns(tmp_path):
    path = tmp_path / "w"
    path.write_bytes(b"S'\\d'\n.")
    with warnings.catch_warnings(record=True) as caught, pytest.raises(ValueError, match="unknown format"):
        read_checkpoint(path)
    assert not caught
