import io
import struct
import zipfile

import numpy as np
import pytest

from cascade_tf.weights.files.npz_file import read_npz
from cascade_tf.weights.files.zip_records import ZipRecords
from tests.weights.traced_memory import traced_memory

MIB = 1 << 20
ARRAYS = {
    "conv0/W": np.random.default_rng(0).standard_normal((3, 3, 2, 4)).astype(np.float32),
    "bn/mean/EMA:0": np.linspace(-1, 1, 5),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
    "scalar": np.array(7),
    "empty": np.zeros((0, 4), np.float16),
    "truths": np.array([[True], [False]]),
    "big_endian": np.arange(3, dtype=">f4"),
    "text": np.array(["ab", "c"]),
}


def npz(arrays, save=np.savez):
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def read(content):
    return read_npz(ZipRecords(memoryview(content)))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_saves(save):
    result = read(npz(ARRAYS, save))
    assert list(result) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(result[name], array)
        assert result[name].dtype == array.dtype, name
        assert not result[name].flags.writeable


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format(version):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, ARRAYS["conv0/W"], version)
    np.testing.assert_array_equal(read(entry(buffer.getvalue()))["a"], ARRAYS["conv0/W"])


def test_python_2_wrote_long_integers():
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 1L), }\n"
    np.testing.assert_array_equal(read(npy(header, b"\0" * 8))["a"], np.zeros((2, 1)))


def test_arrays_are_not_copied():
    content = npz({"a": np.ones((1024, 1024))})
    with traced_memory() as memory:
        result = read(content)
    assert np.shares_memory(result["a"], np.frombuffer(content, np.uint8))
    assert memory.peak < MIB


def entry(data, name="a.npy"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, data)
    return buffer.getvalue()


def npy(header, data=b"", version=1):
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return entry(b"\x93NUMPY" + bytes([version, 0]) + length + header + data)


def described(descr="'<f4'", order="False", shape="(2,)"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()


REFUSED = {
    "objects": (npz({"a": np.array([{}], object)}), r"array 'a\.npy': holds an array of Python objects"),
    "fields": (npz({"a": np.zeros(2, "i4,f4")}), "expected an array of numbers"),
    "dates": (npz({"a": np.zeros(2, "M8[s]")}), "expected numbers"),
    "a size beyond the file": (
        npy(described(shape="(1000,)"), b"\0" * 8),
        "claims 4000 bytes but .* holds 8",
    ),
    "a size without end": (npy(described(shape=f"({1 << 62}, {1 << 62})")), r"claims \d+ bytes but"),
    "a negative size": (npy(described(shape="(-2,)"), b"\0" * 8), "expected an array of numbers"),
    "a dtype without end": (npy(described("'<S99999999'")), "expected numbers"),
    "code for a shape": (npy(described(shape="(2**9**9,)")), "expected an array of numbers"),
    "a nested header": (npy(b"(" * 5000 + b"\n"), "expected an array of numbers"),
    "a long header": (npy(b" " * 20_000), "claims a header of 20000 bytes"),
    "a header beyond the file": (
        entry(b"\x93NUMPY\x02\0\xff\xff\xff\x7f"),
        "claims a header of 2147483647 bytes",
    ),
    "no array": (entry(b"text"), "is no array in NumPy's format"),
    "an empty record": (entry(b""), "is no array in NumPy's format"),
    "something else": (entry(b"text", "code.py"), r"holds 'code\.py' beside arrays"),
    "a damaged array": (npz({"a": np.ones(3)}).replace(np.ones(3).tobytes(), b"x" * 24), "checksum differs"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_hostile_archives_are_refused_with_a_reason(case):
    content, reason = REFUSED[case]
    with traced_memory() as memory, pytest.raises(ValueError, match=reason):
        read(content)
    assert memory.peak < MIB
