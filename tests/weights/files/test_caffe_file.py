import os

import numpy as np
import pytest

from cascade_tf.backbones import ResNet
from cascade_tf.weights.files.checkpoint_file import read_checkpoint
from cascade_tf.weights.importing import import_checkpoint, load_backbone
from tests.weights.caffe_schema import net_parameter
from tests.weights.caffe_writer import (
    END_GROUP,
    GROUP,
    V1_TYPES,
    Layer,
    blob,
    data,
    integer,
    layer,
    legacy_shape,
    net,
    numbers,
    shape,
    single_numbers,
    tag,
    write_caffemodel,
)
from tests.weights.traced_memory import traced_memory

MIB = 1 << 20
RNG = np.random.default_rng(0)


def floats(*sizes):
    return RNG.standard_normal(sizes).astype(np.float32)


LAYERS = [
    Layer("data", "Data"),
    Layer("conv1/7x7", "Convolution", (floats(4, 3, 7, 7), floats(4))),
    Layer("relu1", "ReLU"),
    Layer("up", "Deconvolution", (floats(4, 1, 4, 4),)),
    Layer("single", "Convolution", (floats(1, 1, 3, 3), floats(1))),
    Layer("fc6", "InnerProduct", (floats(5, 36), floats(5))),
]
WEIGHTS = {f"{item.name}/{i}": array for item in LAYERS for i, array in enumerate(item.blobs)}
TYPES = {item.name: item.type for item in LAYERS}


def read(tmp_path, content, name="net.caffemodel"):
    path = tmp_path / name
    path.write_bytes(content)
    return read_checkpoint(path)


def assert_weights(checkpoint, weights):
    """Bit for bit, whatever the numbers are."""
    assert list(checkpoint.arrays) == list(weights)
    for name, array in weights.items():
        found = checkpoint.arrays[name]
        assert (found.shape, found.dtype) == (array.shape, array.dtype), name
        assert found.tobytes() == array.tobytes(), name
        assert not found.flags.writeable, name


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("name", ["net.caffemodel", "weights"])
def test_both_forms_of_layers_whatever_the_file_is_called(tmp_path, name, legacy, packed):
    checkpoint = read(tmp_path, net(LAYERS, "VGG", legacy, packed), name)
    assert_weights(checkpoint, WEIGHTS)
    assert checkpoint.container == "caffemodel"
    assert checkpoint.metadata == {"name": "VGG", "layers": TYPES}


def test_the_writer_of_large_files_writes_the_same(tmp_path):
    path = write_caffemodel(tmp_path / "w", iter(LAYERS), "VGG")
    assert path.read_bytes() == net(LAYERS, "VGG")


def filled(blob, array, legacy):
    """A BlobProto of protobuf with an array."""
    if legacy:
        names = ("num", "channels", "height", "width")
        for name, size in zip(names, (1,) * (4 - array.ndim) + array.shape, strict=True):
            setattr(blob, name, size)
    else:
        blob.shape.dim.extend(array.shape)
    blob.data.extend(array.ravel().tolist())


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
def test_what_protobuf_itself_writes(tmp_path, legacy, packed):
    message = net_parameter(packed)(name=b"VGG")
    for item in LAYERS:
        added = (message.layers if legacy else message.layer).add(name=item.name.encode())
        added.type = V1_TYPES[item.type] if legacy else item.type.encode()
        for array in item.blobs:
            filled(added.blobs.add(), array, legacy)
    checkpoint = read(tmp_path, message.SerializeToString())
    assert_weights(checkpoint, WEIGHTS)
    assert checkpoint.metadata == {"name": "VGG", "layers": TYPES}


@pytest.mark.parametrize("packed", [True, False])
def test_doubles(tmp_path, packed):
    weights = {"a/0": RNG.standard_normal((3, 2))}
    checkpoint = read(tmp_path, net([Layer("a", "Scale", tuple(weights.values()))], packed=packed))
    assert_weights(checkpoint, weights)


@pytest.mark.parametrize(("number", "dtype"), [(0, "f8"), (1, "f4"), (2, "f2")])
def test_raw_numbers_of_nvidias_caffe(tmp_path, number, dtype):
    values = np.arange(6).reshape(2, 3).astype(dtype)
    content = shape((2, 3)) + integer(10, number) + data(12, values.tobytes())
    (found,) = read(tmp_path, layer("a", "Scale", [content])).arrays.values()
    np.testing.assert_array_equal(found, values)
    assert found.dtype == (np.float32 if dtype == "f2" else values.dtype)


def test_numbers_that_are_not_finite_stay_as_they_are(tmp_path):
    bits = np.array([0x7FC00001, 0xFF800000, 0x80000000, 1, 0x7F800001], np.uint32).view(np.float32)
    assert_weights(read(tmp_path, net([Layer("a", "Scale", (bits,))])), {"a/0": bits})


def test_numbers_in_pieces_are_put_together(tmp_path):
    """As protobuf demands of every reader of repeated fields."""
    values = floats(12)
    content = (
        numbers(values[:3])
        + numbers(values[3:5], packed=False)
        + shape((2, 3, 2))
        + data(5, b"")
        + numbers(values[5:])
    )
    assert_weights(read(tmp_path, layer("a", "Scale", [content])), {"a/0": values.reshape(2, 3, 2)})


def test_sizes_that_are_not_packed(tmp_path):
    content = data(7, integer(1, 2) + integer(1, 3)) + numbers(floats(6))
    assert read(tmp_path, layer("a", "Scale", [content])).arrays["a/0"].shape == (2, 3)


def test_the_older_shape_counts_where_there_are_both(tmp_path):
    values = floats(6)
    content = shape((3, 2)) + legacy_shape((2, 3)) + numbers(values)
    arrays = read(tmp_path, layer("a", "InnerProduct", [content, content])).arrays
    assert arrays["a/0"].shape == (2, 3)
    # A bias with two axes is none, and whoever imports it will say so.
    assert arrays["a/1"].shape == (2, 3)
    assert read(tmp_path, layer("a", "Fork", [content])).arrays["a/0"].shape == (1, 1, 2, 3)


@pytest.mark.parametrize("sizes", [(), (0,), (2, 0), (1, 1, 1)], ids=str)
def test_small_shapes(tmp_path, sizes):
    values = floats(*sizes) if sizes else np.float32(3).reshape(())
    kept = floats(2)
    assert_weights(
        read(tmp_path, net([Layer("a", "A", (values,)), Layer("b", "B", (kept,))])),
        {"a/0": values, "b/0": kept},
    )


def test_gradients_and_unknown_fields_are_passed_over(tmp_path):
    group = tag(70, GROUP) + integer(1, 5) + tag(71, GROUP) + data(2, "x") + tag(71, END_GROUP)
    unknown = (
        group + single_numbers(3, np.ones(2)) + tag(70, END_GROUP) + data(999, "settings") + integer(50, 7)
    )
    values = floats(2, 3)
    content = unknown + shape(values.shape) + data(6, values.tobytes()) + numbers(values) + data(9, b"")
    checkpoint = read(
        tmp_path, data(1, "old name") + data(1, "new") + layer("a", "A", [content], unknown) + unknown
    )
    assert_weights(checkpoint, {"a/0": values})
    assert checkpoint.metadata == {"name": "new", "layers": {"a": "A"}}


def test_layers_without_weights_may_share_a_name(tmp_path):
    """Those that only one phase has do."""
    values = floats(2)
    layers = [Layer("a", "Data"), Layer("a", "Scale", (values,)), Layer("a", "Silence"), Layer("", "ReLU")]
    checkpoint = read(tmp_path, net(layers))
    assert_weights(checkpoint, {"a/0": values})
    assert checkpoint.metadata["layers"] == {"a": "Scale", "": "ReLU"}


def test_unknown_types_of_the_old_form(tmp_path):
    content = data(2, data(4, "a") + integer(5, 40) + data(6, blob(floats(2))))
    assert read(tmp_path, content).metadata["layers"] == {"a": "type 40"}


@pytest.mark.parametrize("packed", [True, False])
def test_arrays_are_not_copied(tmp_path, packed):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net([Layer(name, "Scale", (floats(64, 1024),)) for name in "abcdefgh"], packed=packed))
    size = os.path.getsize(path)
    assert size > 2 * MIB
    with traced_memory() as memory:
        checkpoint = read_checkpoint(path)
    assert memory.peak < 1.1 * size
    assert all(array.base is not None for array in checkpoint.arrays.values())


def test_pieces_take_as_much_again(tmp_path):
    values = floats(1024, 1024)
    pieces = b"".join(numbers(part) for part in np.array_split(values.ravel(), 900))
    path = tmp_path / "w"
    path.write_bytes(layer("a", "Scale", [shape(values.shape) + pieces]))
    with traced_memory() as memory:
        checkpoint = read_checkpoint(path)
    assert_weights(checkpoint, {"a/0": values})
    assert memory.peak < 2.1 * os.path.getsize(path)


@pytest.mark.parametrize("source", ["auto", "detectron2"])
def test_a_net_of_no_family_is_refused_in_one_line(tmp_path, source):
    path = write_caffemodel(tmp_path / "net.caffemodel", LAYERS)
    reason = {
        "auto": r"cannot be told from its names \(it is none of them\); known are detectron2, .*, mscnn; "
        "it holds the tensors conv1/7x7/0",
        "detectron2": "got the source 'detectron2' for tensors with the names conv1/7x7/0.* no known family",
    }[source]
    with pytest.raises(ValueError, match=reason) as error:
        import_checkpoint(path, source)
    assert str(error.value).startswith(f"checkpoint {path}: ")
    assert len(str(error.value).splitlines()) == 1


def test_nor_is_it_a_backbone(tmp_path):
    path = write_caffemodel(tmp_path / "net.caffemodel", LAYERS)
    with pytest.raises(ValueError, match=r"it is none of them.*known are torchvision, .*caffe_imagenet"):
        load_backbone(ResNet(26, width=1 / 16), path)
