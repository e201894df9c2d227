import pickle
import struct
import zipfile
from collections import OrderedDict

import ml_dtypes
import numpy as np
import pytest

from cascade_tf.weights.files.torch_file import read_torch_legacy, read_torch_zip
from cascade_tf.weights.files.zip_records import ZipRecords
from tests.weights.torch_writer import (
    STORAGES,
    TORCH_MAGIC_NUMBER,
    Call,
    CheckpointPickler,
    Name,
    Parameter,
    Storage,
    Tensor,
    write_torch_legacy,
    write_torch_zip,
)
from tests.weights.traced_memory import traced_memory

MIB = 1 << 20
FORMATS = [write_torch_zip, write_torch_legacy]


def read(path):
    content = memoryview(path.read_bytes())
    return read_torch_zip(ZipRecords(content)) if content[:2] == b"PK" else read_torch_legacy(content)


@pytest.fixture(params=FORMATS, ids=["zip", "legacy"])
def round_trip(request, tmp_path):
    return lambda obj: read(request.param(tmp_path / "weights.pth", obj))


@pytest.mark.parametrize("dtype", STORAGES, ids=str)
def test_every_dtype(round_trip, dtype):
    array = np.random.default_rng(0).uniform(0, 100, (3, 4)).astype(dtype)
    result = round_trip({"w": array})["w"]
    # NumPy has no bfloat16: it comes as the same number in float32.
    expected = array.astype(np.float32) if dtype == ml_dtypes.bfloat16 else array
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == expected.dtype
    assert not result.flags.writeable


def test_shapes(round_trip):
    arrays = {"scalar": np.array(7), "empty": np.zeros((0, 5), np.float32), "conv": np.ones((2, 3, 4, 5))}
    result = round_trip(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(result[name], array)


def test_containers_parameters_and_attributes(round_trip):
    state_dict = OrderedDict(weight=np.arange(4.0), bias=Parameter(np.ones(2, np.float32)))
    state_dict._metadata = OrderedDict({"": {"version": 1}})
    meta = {
        "CLASSES": ("car", "dog"),
        "epoch": 12,
        "size": Call(Name("torch", "Size"), ((1, 2),)),
        "device": Call(Name("torch", "device"), ("cuda", 0)),
        "numpy": Call(
            Name("numpy.core.multiarray", "scalar"), (Call(Name("numpy", "dtype"), ("f8",)), b"\0" * 8)
        ),
    }
    result = round_trip({"state_dict": state_dict, "meta": meta})
    np.testing.assert_array_equal(result["state_dict"]["weight"], np.arange(4.0))
    np.testing.assert_array_equal(result["state_dict"]["bias"], np.ones(2))
    expected = {"CLASSES": ("car", "dog"), "epoch": 12, "size": (1, 2), "device": "cuda", "numpy": 0.0}
    assert result["meta"] == expected


def test_tensors_that_share_a_storage(round_trip):
    values = np.arange(24, dtype=np.float32)
    storage = Storage(values)
    tensors = {
        "whole": Tensor(storage, (24,), (1,)),
        "transposed": Tensor(storage, (6, 4), (1, 6)),
        "part": Tensor(storage, (2, 3), (6, 2), 7),
        "last": Tensor(storage, (1, 1), (1 << 62, 1 << 62), 23),
    }
    result = round_trip(tensors)
    np.testing.assert_array_equal(result["whole"], values)
    np.testing.assert_array_equal(result["transposed"], values.reshape(4, 6).T)
    np.testing.assert_array_equal(result["part"], [[7, 9, 11], [13, 15, 17]])
    np.testing.assert_array_equal(result["last"], [[23]])
    assert np.shares_memory(result["whole"], result["part"])


def test_dtypes_without_a_storage_of_their_own(tmp_path):
    values = np.array([1, 65535, 300], np.uint16)
    rebuild = Name("torch._utils", "_rebuild_tensor_v3")
    storage = Storage(values.view(np.uint8), kind="UntypedStorage")
    dtype = Name("torch", "uint16")
    tensor = Call(
        rebuild, (storage, 0, (3,), (1,), False, Call(Name("collections", "OrderedDict"), ()), dtype)
    )
    np.testing.assert_array_equal(read(write_torch_zip(tmp_path / "w.pth", {"w": tensor}))["w"], values)


def test_parameters_and_parts_of_storages_as_torch_0_3_wrote_them(tmp_path):
    parameter = Name("torch.nn.parameter", "Parameter")
    tensor = Tensor(Storage(np.arange(6.0)), (2, 3), (3, 1), function=Name("torch._utils", "_rebuild_tensor"))
    weight = Call(parameter, (tensor,), (True, False, Call(Name("collections", "OrderedDict"), ())))
    part = Tensor(Storage(np.arange(10.0), window=("77", 4, 3)), (3,), (1,))
    result = read(write_torch_legacy(tmp_path / "w.pth", {"weight": weight, "part": part}))
    np.testing.assert_array_equal(result["weight"], np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(result["part"], [4, 5, 6])


def test_the_prefix_is_free_and_big_endian_files_are_read(tmp_path):
    array = np.arange(5, dtype=np.float32)
    path = write_torch_zip(tmp_path / "w.pth", {"w": array, "b": np.array([True])}, "a/b", byteorder="big")
    result = read(path)
    np.testing.assert_array_equal(result["w"], array)
    np.testing.assert_array_equal(result["b"], [True])


def test_a_file_without_byte_order_is_little_endian(tmp_path):
    array = np.arange(5, dtype=np.float32)
    path = write_torch_zip(tmp_path / "w.pth", {"w": array}, records={"byteorder": None, "version": None})
    np.testing.assert_array_equal(read(path)["w"], array)


def test_checksums_are_not_needed(tmp_path):
    # torch.serialization.set_crc32_options(False) writes wrong ones.
    path = write_torch_zip(tmp_path / "w.pth", {"w": np.full(3, 0.5)})
    path.write_bytes(path.read_bytes().replace(np.full(3, 0.5).tobytes(), np.full(3, 1.5).tobytes()))
    np.testing.assert_array_equal(read(path)["w"], np.full(3, 1.5))


@pytest.mark.parametrize("write", FORMATS, ids=["zip", "legacy"])
def test_a_file_takes_no_memory_beside_its_content(tmp_path, write):
    arrays = {f"layer{i}": np.full((256, 1024), i, np.float32) for i in range(20)}
    content = memoryview(write(tmp_path / "w.pth", arrays).read_bytes())
    with traced_memory() as memory:
        result = (
            read_torch_zip(ZipRecords(content)) if write is write_torch_zip else read_torch_legacy(content)
        )
    assert all((result[name] == array).all() for name, array in arrays.items())
    assert memory.peak < MIB


VALUES = np.arange(6, dtype=np.float32)


def tensor(shape=(6,), stride=(1,), offset=0, **storage):
    return Tensor(Storage(VALUES, **storage), shape, stride, offset)


REFUSED = {
    "an offset beyond the storage": (tensor(offset=1), "claims 7 elements but its storage holds 6"),
    "a negative offset": (tensor(offset=-1), "got -1.* for an offset|non-negative"),
    "a shape beyond the storage": (tensor((7,)), "claims 7 elements but its storage holds 6"),
    "strides beyond the storage": (tensor((2, 3), (4, 1)), "claims 7 elements"),
    "a negative stride": (tensor((6,), (-1,), 5), "for strides, expected non-negative"),
    "fewer strides than axes": (tensor((2, 3), (1,)), "has strides"),
    "a shape without end": (tensor((1 << 62, 1 << 62), (1, 1)), "elements but its storage holds 6"),
    "a stride of nothing": (
        tensor((1 << 40,), (0,)),
        "claims 1099511627776 elements but its storage holds 6",
    ),
    "an empty shape without end": (tensor((0, 1 << 62), (0, 0)), "."),
    "a float for a size": (tensor((6.0,)), "expected non-negative integers"),
    "a storage that claims more": (tensor(numel=1000), "claims 4000 bytes but|should begin at byte"),
    "a storage without end": (tensor(numel=1 << 61), "a storage with key '0' and 2305843009213693952"),
    "a storage of negative size": (tensor(numel=-1), "a storage with key '0' and -1 elements"),
    "a storage of an unknown type": (tensor(kind="ComplexFloatStorage"), "torch.ComplexFloatStorage"),
    "a sparse tensor": (
        Call(Name("torch._utils", "_rebuild_sparse_tensor"), ()),
        "wants to call torch._utils._rebuild_sparse_tensor",
    ),
    "a module with its code": (
        Call(Name("torchvision.models.resnet", "ResNet"), ()),
        "torchvision.models.resnet",
    ),
    "a pickle in a pickle": (
        Call(Name("torch.storage", "_load_from_bytes"), (b"x",)),
        "wants to call torch.storage._load_from_bytes",
    ),
    "an unknown class in the metadata": ({"meta": Call(Name("mymodule", "Config"), ())}, "mymodule.Config"),
    "a tensor of nothing": (Call(Name("torch._utils", "_rebuild_tensor_v2"), ()), "without storage"),
    "a typed tensor of nothing": (
        Call(Name("torch._utils", "_rebuild_tensor_v3"), ()),
        "of 0 values, expected 7",
    ),
    "a typed tensor without type": (
        Call(
            Name("torch._utils", "_rebuild_tensor_v3"), (tensor().storage, 0, (6,), (1,), False, None, "f4")
        ),
        "of dtype 'f4'",
    ),
    "a tensor of a list": (
        Call(Name("torch._utils", "_rebuild_tensor_v2"), ([], 0, (), ())),
        "without storage",
    ),
    "a parameter of nothing": (Call(Name("torch._utils", "_rebuild_parameter"), ()), "without its tensor"),
    "a state of a parameter": (
        Call(Name("torch.nn.parameter", "Parameter"), (tensor(),), (True, tensor(), None)),
        "of a tensor",
    ),
    "a state of data of a parameter": (
        Call(Name("torch.nn.parameter", "Parameter"), (tensor(),), (True, False, None, True, None)),
        "of a tensor",
    ),
    "a storage type that is called": (Call(Name("torch", "FloatStorage"), (1 << 40,)), "torch.FloatStorage"),
    "a size of texts": (Call(Name("torch", "Size"), (("a",),)), "for a shape"),
    "a device without a name": (Call(Name("torch", "device"), ()), "a device without a name"),
}


@pytest.mark.parametrize("write", FORMATS, ids=["zip", "legacy"])
@pytest.mark.parametrize("case", REFUSED)
def test_hostile_tensors_are_refused_with_a_reason(tmp_path, case, write):
    obj, reason = REFUSED[case]
    path = write(tmp_path / "w.pth", {"w": obj})
    with traced_memory() as memory, pytest.raises(ValueError, match=reason):
        read(path)
    assert memory.peak < MIB


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ({"data/0": VALUES.tobytes()[:-1]}, "claims 24 bytes but the file holds 23"),
        ({"data/0": None}, "'archive/data/0' is missing"),
        ({"data.pkl": None}, "has 0 records named data.pkl"),
        ({"other/data.pkl": b"N."}, "has 2 records named data.pkl"),
        ({"constants.pkl": b"N."}, "is a TorchScript program"),
        ({"byteorder": b"middle"}, "expected little or big"),
        ({"data.pkl": b"cposix\nsystem\n(X\x04\0\0\0truetR."}, "wants to call posix.system"),
        ({"data.pkl": b""}, "truncated"),
    ],
)
def test_archives_that_do_not_hold_what_they_should(tmp_path, records, reason):
    with pytest.raises(ValueError, match=reason):
        read(write_torch_zip(tmp_path / "w.pth", {"w": VALUES}, records=records))


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        (("module", Name("torch.nn", "Linear"), "linear.py", "source"), "torch.nn.Linear"),
        (("module", None, "linear.py", "source"), "a whole module with its code"),
        (("storage", Name("torch", "FloatStorage"), "../../etc/passwd", "cpu", 1), "missing in the archive"),
        (("storage", Name("torch", "FloatStorage"), 7, "cpu", 1), "a storage with key 7"),
        (("storage", Name("torch", "float32"), "0", "cpu", 1), "a storage of type"),
        (("storage", "FloatStorage", "0", "cpu", 1), "a storage of type 'FloatStorage'"),
        (("storage",), "expected a storage"),
        ("0", "refers to '0', expected a storage"),
    ],
)
def test_what_a_pickle_may_refer_to(tmp_path, identity, reason):
    class Pickler(CheckpointPickler):
        def _persistent_id(self, storage):
            super()._persistent_id(storage)
            return identity

    path = write_torch_zip(tmp_path / "w.pth", {"w": VALUES}, records={"data.pkl": None})
    with zipfile.ZipFile(path, "a") as archive, archive.open("archive/data.pkl", "w") as file:
        Pickler(file, 2, tensors=True).dump({"w": VALUES})
    with pytest.raises(ValueError, match=reason):
        read(path)


def test_a_storage_beside_tensors_is_no_array(tmp_path):
    result = read(write_torch_zip(tmp_path / "w.pth", {"s": Storage(VALUES)}))
    assert not isinstance(result["s"], np.ndarray)


class TestLegacyStreams:
    def content(self, tmp_path, obj=None):
        return write_torch_legacy(tmp_path / "w.pth", {"w": VALUES} if obj is None else obj).read_bytes()

    def refused(self, content, reason):
        with pytest.raises(ValueError, match=reason):
            read_torch_legacy(memoryview(content))

    def test_every_truncation_is_noticed(self, tmp_path):
        content = self.content(tmp_path)
        for length in range(len(content)):
            with pytest.raises(ValueError, match=r"truncated|claims"):
                read_torch_legacy(memoryview(content[:length]))

    def test_another_protocol(self, tmp_path):
        begin = pickle.dumps(TORCH_MAGIC_NUMBER, 2)
        self.refused(begin + pickle.dumps(1002, 2), "expected torch's number and protocol 1001")

    def test_big_endian(self, tmp_path):
        path = write_torch_legacy(tmp_path / "w.pth", {"w": VALUES}, little_endian=False)
        self.refused(path.read_bytes(), "big-endian")

    def test_a_length_that_differs(self, tmp_path):
        content = self.content(tmp_path).replace(struct.pack("<q", 6), struct.pack("<q", -6))
        self.refused(content, "should begin at byte .* with its length 6")

    def test_a_list_of_other_storages(self, tmp_path):
        keys = pickle.dumps(["0"], 2)
        content = self.content(tmp_path)
        assert keys in content
        self.refused(content.replace(keys, pickle.dumps(["1"], 2)), "list of storages does not fit")
        self.refused(content.replace(keys, pickle.dumps("0", 2)), "list of storages does not fit")
        self.refused(content.replace(keys, pickle.dumps([], 2)), "storage is missing")

    @pytest.mark.parametrize("window", [("7", 4, 3), ("7", -1, 3), ("7", "a", 3), ("7",), "7"])
    def test_a_part_outside_of_its_storage(self, tmp_path, window):
        content = self.content(tmp_path, {"w": Tensor(Storage(VALUES, window=window), (3,), (1,))})
        self.refused(content, "a part of a storage")

    def test_a_storage_that_is_two_things(self, tmp_path):
        shared = Storage(VALUES)
        content = self.content(tmp_path, {"a": Tensor(shared, (6,), (1,)), "b": Tensor(shared, (6,), (1,))})
        claims = b"X\x03\x00\x00\x00cpu"
        at = content.rindex(b"K\x06N")
        assert claims in content
        self.refused(content[:at] + b"K\x05" + content[at + 2 :], "is described in two ways")
