"""The messages of Caffe's nets for protobuf itself, as an oracle of the reader."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_ONE, _MANY = _Field.LABEL_OPTIONAL, _Field.LABEL_REPEATED
_MESSAGES = {
    "BlobShape": [("dim", 1, _MANY, _Field.TYPE_INT64, True)],
    "BlobProto": [
        ("num", 1, _ONE, _Field.TYPE_INT64),
        ("channels", 2, _ONE, _Field.TYPE_INT64),
        ("height", 3, _ONE, _Field.TYPE_INT64),
        ("width", 4, _ONE, _Field.TYPE_INT64),
        ("data", 5, _MANY, _Field.TYPE_FLOAT, True),
        ("shape", 7, _ONE, "BlobShape"),
        ("double_data", 8, _MANY, _Field.TYPE_DOUBLE, True),
        ("raw_data_type", 10, _ONE, _Field.TYPE_INT64),
        ("raw_data", 12, _ONE, _Field.TYPE_BYTES),
    ],
    "LayerParameter": [
        ("name", 1, _ONE, _Field.TYPE_BYTES),
        ("type", 2, _ONE, _Field.TYPE_BYTES),
        ("blobs", 7, _MANY, "BlobProto"),
    ],
    "V1LayerParameter": [
        ("name", 4, _ONE, _Field.TYPE_BYTES),
        ("type", 5, _ONE, _Field.TYPE_INT64),
        ("blobs", 6, _MANY, "BlobProto"),
    ],
    "NetParameter": [
        ("name", 1, _ONE, _Field.TYPE_BYTES),
        ("layers", 2, _MANY, "V1LayerParameter"),
        ("layer", 100, _MANY, "LayerParameter"),
    ],
}


def net_parameter(packed=True):
    """The class NetParameter.

    Args:
        packed: whether it writes repeated numbers packed; it reads both.
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"net_{packed}.proto", package="caffe", syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, label, kind, *repeats in fields:
            added = message.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = _Field.TYPE_MESSAGE, f".caffe.{kind}"
            else:
                added.type = kind
            if repeats:
                added.options.packed = packed
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))
