import h5py
import keras
import numpy as np
import pytest

from cascade_tf.weights.files.hdf5_file import read_hdf5
from tests.weights.traced_memory import traced_memory

MIB = 1 << 20


@pytest.fixture
def file(tmp_path):
    """An open HDF5 file; ``read`` closes it first."""
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        yield file


def read(file):
    path = file.filename
    file.close()
    return read_hdf5(path)


def test_keras_applications_legacy_names(file):
    kernel = np.random.default_rng(0).standard_normal((7, 7, 3, 4)).astype(np.float32)
    file["conv1_conv/conv1_conv/kernel:0"] = kernel
    file["conv1_bn/conv1_bn/moving_mean:0"] = np.arange(4.0)
    file["steps"] = np.int64(3)
    file.attrs["keras_version"] = b"2.3.1"
    file.attrs["backend"] = "tensorflow"
    file.attrs["layer_names"] = [b"conv1_conv", b"conv1_bn"]
    arrays, attributes = read(file)
    assert sorted(arrays) == ["conv1_bn/conv1_bn/moving_mean:0", "conv1_conv/conv1_conv/kernel:0", "steps"]
    np.testing.assert_array_equal(arrays["conv1_conv/conv1_conv/kernel:0"], kernel)
    assert arrays["conv1_conv/conv1_conv/kernel:0"].dtype == np.float32
    assert arrays["steps"] == 3
    assert not any(array.flags.writeable for array in arrays.values())
    assert attributes == {"keras_version": "2.3.1", "backend": "tensorflow"}


def test_weights_that_keras_3_saves(tmp_path):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()]
    )
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    arrays, _ = read_hdf5(path)
    assert len(arrays) == len(model.weights) == 6
    np.testing.assert_array_equal(arrays["layers/conv2d/vars/0"], model.layers[0].kernel)
    np.testing.assert_array_equal(
        arrays["layers/batch_normalization/vars/3"], model.layers[1].moving_variance
    )


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4", "int8", "uint64", "bool"])
def test_dtypes(file, dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    file["a"] = array
    result = read(file)[0]["a"]
    np.testing.assert_array_equal(result, array)
    assert result.dtype == array.dtype


@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "shuffle": True}, {"compression": "lzf"}])
def test_chunks(file, options):
    array = np.random.default_rng(0).standard_normal((50, 30))
    file.create_dataset("a", data=array, chunks=(16, 16), fletcher32=True, **options)
    np.testing.assert_array_equal(read(file)[0]["a"], array)


def test_empty_and_compact_arrays(file):
    file["empty"] = np.zeros((0, 3), np.float32)
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((2,))
    compact = h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F64LE, space, layout)
    compact.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([1.0, 2.0]))
    arrays, _ = read(file)
    assert arrays["empty"].shape == (0, 3)
    np.testing.assert_array_equal(arrays["compact"], [1, 2])


def test_one_dataset_under_two_names(file):
    file["a"] = np.arange(3)
    file["b/c"] = file["a"]
    arrays, _ = read(file)
    np.testing.assert_array_equal(arrays["b/c"], arrays["a"])


def test_reading_costs_the_arrays(file):
    for i in range(8):
        file[f"a{i}"] = np.zeros(MIB // 4)
    with traced_memory() as memory:
        read(file)
    assert memory.peak < 8 * 2 * MIB + MIB


def soft_link(file):
    file["a"] = np.zeros(3)
    file["b"] = h5py.SoftLink("/a")


def external_link(file):
    file["a"] = h5py.ExternalLink("/etc/passwd", "/a")


def loop(file):
    file["a/b/c"] = np.zeros(3)
    file["a/b/d"] = file["a"]


def depth(file):
    file["a/" * 40 + "b"] = np.zeros(3)


def virtual(file):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "a", (3,))
    file.create_virtual_dataset("a", layout)


def external_data(file):
    file.create_dataset("a", (3,), "f4", external=[("/etc/passwd", 0, 12)])


def never_written(file):
    # A contiguous dataset gets its place when it is written.
    file.create_dataset("a", (1 << 40,), "f4")


def chunks_never_written(file):
    file.create_dataset("a", (1 << 40,), "f4", chunks=(1 << 10,), compression="gzip")


def one_chunk(file):
    file.create_dataset("a", (1,), "f4", chunks=(1 << 28,), maxshape=(None,), compression="gzip")


def zeros(file):
    file.create_dataset("a", data=np.zeros(20 * MIB, np.float32), compression="gzip")


def other_filter(file):
    file.create_dataset("a", data=np.arange(9), chunks=(3,), scaleoffset=0)


def text(file):
    file["a"] = "text"


def fixed_text(file):
    file["a"] = np.array([b"abc"])


def fields(file):
    file["a"] = np.zeros(3, "i4,f4")


def reference(file):
    file["a"] = np.zeros(3)
    file.create_dataset("b", data=file["a"].ref)


def no_space(file):
    file["a"] = h5py.Empty("f4")


def named_type(file):
    file["a"] = np.dtype("f4")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (soft_link, "'b' is a SoftLink"),
        (external_link, "'a' is a ExternalLink"),
        (loop, "group 'a/b/d' is inside itself"),
        (depth, "in more than 32 others"),
        (virtual, "dataset 'a' lies in another file"),
        (external_data, "dataset 'a' lies in another file"),
        (never_written, "claims 4398046511104 bytes but the file holds 0"),
        (chunks_never_written, "unpacks to 4398046511104 bytes, more than"),
        (one_chunk, "unpacks to 1073741824 bytes, more than"),
        (zeros, "unpacks to 83886080 bytes, more than"),
        (other_filter, "needs the HDF5 filters"),
        (text, "holds dtype object, expected numbers"),
        (fixed_text, r"holds dtype \|S3, expected numbers"),
        (fields, "expected numbers"),
        (reference, "holds dtype object, expected numbers"),
        (no_space, "expected numbers"),
        (named_type, "'a' is a Datatype"),
    ],
)
def test_hostile_files_are_refused_with_a_reason(file, make, reason):
    make(file)
    with traced_memory() as memory, pytest.raises(ValueError, match=reason):
        read(file)
    assert memory.peak < MIB


def test_many_datasets_in_the_same_place(file):
    file["a"] = np.zeros(MIB, np.float64)
    for i in range(100):
        file[f"b{i}"] = file["a"]
    with pytest.raises(ValueError, match="unpacks to"):
        read(file)


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_truncated_files(file, keep):
    for i in range(20):
        file[f"layer{i}/kernel"] = np.ones((10, 10))
    path = file.filename
    file.close()
    with open(path, "r+b") as stream:
        stream.truncate(int(keep * stream.seek(0, 2)))
    with pytest.raises(ValueError, match="truncated or broken"):
        read_hdf5(path)
