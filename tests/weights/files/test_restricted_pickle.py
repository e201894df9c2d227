import pickle
import re
import struct
import sys
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest

from cascade_tf.weights.files import pickle_machine
from cascade_tf.weights.files.pickle_values import Inert
from cascade_tf.weights.files.restricted_pickle import read_pickle
from tests.weights.torch_writer import Call, Name, pickle_bytes
from tests.weights.traced_memory import traced_memory

MIB = 1 << 20
# What refusing a hostile pickle of a few bytes may take: the 64 MiB that every file may, and as much again.
HOSTILE_MEMORY = 128 * MIB
PLAIN = {
    "none": None,
    "truths": [True, False],
    "integers": [0, 255, 65535, -1, 1 << 31, -(1 << 40), 1 << 100],
    "floats": (0.5, -1e300),
    "complex": 1 + 2j,
    "text": "é\n'\"\\",
    "bytes": b"\x00\xff",
    "empty": (b"", "", (), [], {}, set()),
    "long": ["x" * 5000, b"\xff" * 5000],
    "set": {1, 2},
    "frozen": frozenset("ab"),
    "nested": {"a": {"b": [(1, 2, 3, 4), {3: None}]}},
}
ARRAYS = {
    "float": np.arange(6, dtype=np.float32).reshape(2, 3),
    "double": np.linspace(0, 1, 5),
    "half": np.ones(3, np.float16),
    "long": np.arange(-2, 3),
    "bytes": np.arange(6, dtype=np.uint8),
    "truths": np.array([True, False]),
    "big_endian": np.arange(3, dtype=">f4"),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
    "scalar": np.array(7),
    "empty": np.zeros((0, 4), np.float32),
    "text": np.array(["ab", "c"]),
    "large": np.random.default_rng(0).standard_normal((30, 40)),
}


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return b"X" + struct.pack("<I", len(data)) + data


def name(module, function):
    return f"c{module}\n{function}\n".encode()


def assert_same_arrays(result, expected=ARRAYS):
    assert list(result) == list(expected)
    for key, array in expected.items():
        np.testing.assert_array_equal(result[key], array)
        assert result[key].dtype == array.dtype, key
        assert not result[key].flags.writeable, key


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_of_every_protocol(protocol):
    assert read_pickle(pickle.dumps(PLAIN, protocol)) == PLAIN


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_every_protocol_as_numpy_writes_them(protocol):
    assert_same_arrays(read_pickle(pickle.dumps(ARRAYS, protocol)))


@pytest.mark.parametrize("numpy_core", ["numpy.core", "numpy._core"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_both_places_of_numpys_functions(protocol, numpy_core):
    assert_same_arrays(read_pickle(pickle_bytes(ARRAYS, protocol, numpy_core=numpy_core)))


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_python_2(protocol):
    value = {"blobs": ARRAYS, "cfg": "NUM_GPUS: 8\n" + "é\\x'" * 3000, "short": "\xff"}
    result = read_pickle(pickle_bytes(value, protocol, python2=True, numpy_core="numpy.core"))
    assert_same_arrays(result["blobs"])
    assert (result["cfg"], result["short"]) == (value["cfg"], value["short"])


def test_numpy_scalars_keep_their_type():
    value = [np.float32(1.5), np.int64(-3), np.bool_(True), np.str_("name")]
    result = read_pickle(pickle.dumps(value))
    assert result == value
    assert [type(item) for item in result] == [type(item) for item in value]


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_containers_become_plain_ones(protocol):
    ordered = OrderedDict([("b", 1), ("a", 2)])
    ordered._metadata = {"version": 1}
    value = {"ordered": ordered, "default": defaultdict(list, {"x": [1]}), "counter": Counter("aab")}
    result = read_pickle(pickle.dumps(value, protocol))
    assert result == {"ordered": {"b": 1, "a": 2}, "default": {"x": [1]}, "counter": {"a": 2, "b": 1}}
    assert {type(item) for item in result.values()} == {dict}
    assert list(result["ordered"]) == ["b", "a"]


def test_python_2_gave_the_items_of_an_ordered_dict_in_the_call():
    call = Call(Name("collections", "OrderedDict"), ([["a", 1], ["b", 2]],))
    assert read_pickle(pickle_bytes(call, 2, python2=True)) == {"a": 1, "b": 2}


def test_shared_values_stay_shared():
    array = np.ones(3)
    result = read_pickle(pickle.dumps([array, array, [array]]))
    assert result[0] is result[1] is result[2][0]


def test_array_data_is_not_copied():
    content = pickle.dumps(ARRAYS["large"])
    array = read_pickle(content)
    assert np.shares_memory(array, np.frombuffer(content, np.uint8))


def test_objects_of_trainers_keep_their_name_only():
    buffer = Name("mmengine.logging.history_buffer", "HistoryBuffer")
    method = Call(Name("builtins", "getattr"), (buffer, "mean"))
    history = Call(buffer, (), {"max_length": 10, "history": np.ones(2), "methods": {"mean": method}})
    config = Call(Name("mmengine.config.config", "ConfigDict"), ({"lr": 0.1},), pairs={"a": 1}, items=[2])
    result = read_pickle(pickle_bytes({"history": history, "config": config, "class": buffer}))
    assert all(isinstance(item, Inert) for item in result.values())
    assert result["history"].name == "mmengine.logging.history_buffer.HistoryBuffer"
    assert result["config"].name == "mmengine.config.config.ConfigDict"


ARRAY_STATE = (1, (3,), Call(Name("numpy", "dtype"), ("f4", False, True)), False, b"\0" * 12)


def array_call(cls=("numpy", "ndarray"), **changes):
    """An array of three zeros, with parts of its state replaced."""
    names = ("version", "shape", "dtype", "order", "data")
    state = tuple(changes.get(key, old) for key, old in zip(names, ARRAY_STATE, strict=True))
    return Call(Name("numpy._core.multiarray", "_reconstruct"), (Name(*cls), (0,), b"b"), state)


def dtype_call(kind, *state):
    return Call(Name("numpy", "dtype"), (kind, False, True), state or None)


def test_the_array_that_the_hostile_ones_are_made_of_is_fine():
    np.testing.assert_array_equal(read_pickle(pickle_bytes(array_call())), np.zeros(3, np.float32))


def doubling(levels, start=b"]", twice=b"\x86"):
    """Containers of the same container twice, levels deep: tuples, or what ``twice`` makes."""
    return start + (b"q\x00h\x00" + twice) * levels


SYSTEM = name("posix", "system") + b"(" + text("touch hacked") + b"tR."
REFUSED = {
    "a call": (SYSTEM, "wants to call posix.system"),
    "a call in protocol 0": (b"cposix\nsystem\n(S'touch hacked'\ntR.", "wants to call posix.system"),
    "a call by names on the stack": (
        b"\x80\x04" + text("builtins") + text("eval") + b"\x93(" + text("1") + b"tR.",
        "wants to call builtins.eval",
    ),
    "an instance": (b"(S'true'\niposix\nsystem\n.", "wants to call posix.system"),
    "an object": (
        b"(" + name("subprocess", "Popen") + text("true") + b"o.",
        "wants to call subprocess.Popen",
    ),
    "a new object": (name("subprocess", "Popen") + b")\x81.", "wants to call subprocess.Popen"),
    "a new object with named arguments": (
        name("collections", "OrderedDict") + b")}" + text("a") + b"Ns\x92.",
        "with named arguments",
    ),
    "a global that is only mentioned": (b"}" + text("a") + name("os", "environ") + b"s.", "os.environ"),
    "a name that breaks the message": (name("a\x1b[2Jb", "c"), re.escape(r"a\x1b[2Jb.c")),
    "getattr of a module's class": (
        name("builtins", "getattr") + name("collections", "OrderedDict") + text("__reduce__") + b"\x86R.",
        "wants to call builtins.getattr",
    ),
    "import": (name("builtins", "__import__") + text("os") + b"\x85R.", "builtins.__import__"),
    "a list of Python's as a function": (name("builtins", "list") + b")R.", "wants to call builtins.list"),
    "bytes of a size": (
        name("builtins", "bytes") + b"J\xff\xff\xff\x7f\x85R.",
        "makes bytes of other values",
    ),
    "another codec": (
        name("_codecs", "encode") + text("x") + text("zlib") + b"\x86R.",
        "encodes something other than bytes",
    ),
    "a call of a text": (text("print") + b")R.", "calls a str"),
    "arguments that are none": (name("collections", "OrderedDict") + b"]R.", "with a list, expected a tuple"),
    "a state of a list": (b"]}b.", "sets the state of a list"),
    "a state of a dict": (b"}}" + text("__class__") + b"Nsb.", "sets the state of a dict"),
    "a state of a class": (name("numpy", "ndarray") + b"}b.", "sets the state of a Global"),
    "another state of an array": (pickle_bytes(array_call())[:-1] + b"}b.", "something unknown"),
    "an array that is filled twice": (
        pickle_bytes(array_call(), 2)[:-1] + pickle_bytes(ARRAY_STATE, 2)[2:-1] + b"b.",
        "filled twice",
    ),
    "items of a list": (b"]" + text("a") + b"Ns.", "sets items of a list"),
    "elements of a tuple": (b")(Ne.", "appends to a tuple"),
    "elements of a dict": (b"}(N\x90.", "adds elements to a dict"),
    "an extension": (b"\x82\x01.", "extension registry"),
    "a persistent id": (b"K\x01Q.", "an object outside of it"),
    "a persistent id in protocol 0": (b"P1\n.", "an object outside of it"),
    "a buffer outside": (b"\x80\x05\x97.", "buffers outside of the file"),
    "a read-only buffer": (b"\x80\x05N\x98.", "buffers outside of the file"),
    "an array of objects": (pickle.dumps(np.array([{}], object)), "holds an array of Python objects"),
    "an array with fields": (pickle.dumps(np.zeros(2, "i4,f4")), "expected numbers"),
    "a dtype with fields": (
        pickle_bytes(array_call(dtype=dtype_call("f4", 3, "<", None, ("a",), {}, -1, -1, 0))),
        "with fields",
    ),
    "an odd dtype": (pickle_bytes(array_call(dtype=dtype_call("f4,f4"))), "dtype 'f4,f4', expected numbers"),
    "a dtype that is a list": (pickle_bytes(array_call(dtype=dtype_call([("a", "O")]))), "expected numbers"),
    "a dtype of a dtype": (pickle_bytes(array_call(dtype="f4")), "whose dtype is a str"),
    "a dtype of a gigabyte": (pickle_bytes(array_call(dtype=dtype_call("S999999999"))), "expected numbers"),
    "a dtype of no bytes": (pickle_bytes(array_call(dtype=dtype_call("S0"), data=b"")), "claims 0 bytes"),
    "an array of a subclass": (pickle.dumps(np.ones(2).view(np.recarray)), "numpy.*recarray"),
    "an array of another class": (
        pickle_bytes(array_call(cls=("collections", "OrderedDict"))),
        "numpy.ndarray",
    ),
    "a scalar of objects": (
        pickle_bytes(Call(Name("numpy.core.multiarray", "scalar"), (dtype_call("O8"), b"\0" * 8))),
        "Python objects",
    ),
    "a scalar of an invalid character": (
        pickle_bytes(Call(Name("numpy.core.multiarray", "scalar"), (dtype_call("U1"), b"\xff" * 4))),
        "characters that do not exist",
    ),
    "an array of more than there is": (
        pickle_bytes(array_call(shape=(4,))),
        "claims 16 bytes but .* holds 12",
    ),
    "an array of less than there is": (
        pickle_bytes(array_call(shape=(2,))),
        "claims 8 bytes but .* holds 12",
    ),
    "an array beyond all memory": (
        pickle_bytes(array_call(shape=(1 << 62, 1 << 62))),
        r"claims \d+ bytes but the file holds 12",
    ),
    "an array of negative size": (pickle_bytes(array_call(shape=(-3, -1))), "expected non-negative integers"),
    "an array of truths for a shape": (pickle_bytes(array_call(shape=(True, 3))), "non-negative integers"),
    "an array of 33 dimensions": (pickle_bytes(array_call(shape=(1,) * 33)), "up to 32 integers"),
    "an array of numbers as data": (pickle_bytes(array_call(data=[0.0] * 3)), "data of an array is a list"),
    "an array without data": (
        pickle_bytes(
            Call(Name("numpy.core.multiarray", "_reconstruct"), (Name("numpy", "ndarray"), (0,), b"b"))
        ),
        "an array without data",
    ),
    "bytes of 2**60": (
        b"\x8e" + struct.pack("<Q", 1 << 60) + b"abc",
        "claims 1152921504606846976 bytes but 3",
    ),
    "text of 2**60": (
        b"\x8d" + struct.pack("<Q", 1 << 60) + b"abc",
        "claims 1152921504606846976 bytes but 3",
    ),
    "a bytearray of 2**60": (b"\x96" + struct.pack("<Q", 1 << 60), "claims 1152921504606846976 bytes but 0"),
    "a string of negative length": (b"T\xff\xff\xff\xffabc.", "claims -1 bytes"),
    "a frame of 2**60": (b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N.", "a frame claims"),
    "an integer of 2 GB": (b"\x8b\xff\xff\xff\x7f" + b"\0" * 300, "an integer of 2147483647 bytes"),
    "an integer of many digits": (b"L" + b"9" * 5000 + b"L\n.", "a name or number of 5001 bytes"),
    "no integer": (b"Ione\n.", "b'one' is no int"),
    "text that is none": (text(b"\xff\xfe") + b".", "text that is not utf-8"),
    "an escape that is none": (rb"S'\d'" + b"\n.", "unknown escape"),
    "a half escape": (rb"S'\x1'" + b"\n.", "unknown escape"),
    "a string without quotes": (b"Sabc\n.", "a string without quotes"),
    "a missing memory": (b"h\x05.", "refers to value 5"),
    "a missing memory in protocol 0": (b"g-7\n.", "refers to value -7"),
    "nothing on the stack": (b".", "empty stack"),
    "nothing to remember": (b"q\x00.", "empty stack"),
    "no mark": (b"t.", "closes what it did not open"),
    "an empty object": (b"(o.", "calls a NoneType"),
    "a key without a value": (b"}(K\x01u.", "a key without a value"),
    "a key that is a list": (b"}]Ns.", "has a list as a key"),
    "a key that is an array": (b"}" + pickle_bytes(array_call(), 2)[2:-1] + b"Ns.", "PickledArray as a key"),
    "a key of a megabyte": (b"}" + text("x" * MIB) + b"Ns.", "a long string as a key"),
    "a key that overflows the stack when hashed": (
        b"})" + b"\x85" * 50_000 + b"Ns.",
        "has a tuple as a key",
    ),
    "a key that is hashed for years": (b"}" + doubling(60, b")") + b"Ns.", "has a tuple as a key"),
    "an element that is hashed for years": (b"\x8f(" + doubling(60, b")") + b"\x90.", "has a tuple as a key"),
    "a state that is printed for years": (
        name("numpy", "dtype") + text("f4") + b"\x85R" + doubling(60, b")") + b"b.",
        "of a dtype",
    ),
    "an unknown protocol": (b"\x80\x63N.", "protocol 99, expected 0 to 5"),
    "an unknown operation": (b"\x80\x04\xfe.", r"unknown operation b'\\xfe' at byte 2"),
    "no end": (b"\x80\x04N", "truncated"),
    "no line end": (b"cposix", "no line ends"),
    "no content": (b"", "truncated"),
    "a list that holds itself": (b"]q\x00h\x00a.", "a container holds itself"),
    "a dict that holds itself": (b"}q\x00" + text("a") + b"h\x00s.", "a container holds itself"),
    "lists in lists": (b"]" * 20_000 + b"a" * 19_999 + b".", "nests deeper than 64 levels"),
    "tuples in tuples": (b")" + b"\x85" * 20_000 + b".", "nests deeper than 64 levels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_hostile_pickles_are_refused_with_a_reason(case):
    content, reason = REFUSED[case]
    with traced_memory() as memory, pytest.raises(ValueError, match=reason) as error:
        read_pickle(content)
    assert memory.peak < HOSTILE_MEMORY + 4 * len(content)
    assert len(str(error.value)) < 500


def test_small_objects_without_end(monkeypatch):
    # At the limit as it is the empty sets, the largest objects of one byte, take 65 MB.
    assert pickle_machine._MAX_OPERATIONS * sys.getsizeof(set()) < 65 * MIB
    monkeypatch.setattr(pickle_machine, "_MAX_OPERATIONS", 1000)
    assert read_pickle(b"\x8f" * 999 + b".") == set()
    with pytest.raises(ValueError, match="more than 1000 operations"):
        read_pickle(b"\x8f" * 1000 + b".")


def test_numbers_of_one_hash_are_refused_as_keys():
    modulus = (1 << 61) - 1
    assert hash(3 * modulus) == hash(modulus)
    for key in (modulus, -modulus):
        with pytest.raises(ValueError, match="a small number"):
            read_pickle(pickle.dumps({key: None}))


def test_a_copy_that_is_asked_for_again_and_again():
    megabyte = text(b"x" * MIB) + b"q\x00" + text("latin1") + b"q\x01" + name("_codecs", "encode") + b"q\x02"
    again = b"h\x02h\x00h\x01\x86R"
    content = b"(" + megabyte + again * 10 + b"l."
    assert read_pickle(content)[-1] == b"x" * MIB
    with pytest.raises(ValueError, match="unpacks to"):
        read_pickle(b"(" + megabyte + again * 1000 + b"l.")


@pytest.mark.parametrize(
    ("function", "argument"),
    [
        ("collections.OrderedDict", b"(" + b"K\x01K\x02\x86" * 50_000 + b"l"),
        (
            "collections.Counter",
            b"}(" + b"".join(b"M" + struct.pack("<H", i) + b"N" for i in range(65536)) + b"u",
        ),
        ("builtins.set", b"(" + b"K\x01" * 100_000 + b"l"),
        ("builtins.frozenset", b"(" + b"K\x01" * 100_000 + b"l"),
    ],
)
def test_a_container_that_is_copied_again_and_again(function, argument):
    make = argument + b"\x85q\x00" + name(*function.split(".")) + b"q\x01"
    assert read_pickle(make + b"h\x01h\x00R.")
    with pytest.raises(ValueError, match="unpacks to"):
        read_pickle(make + b"h\x01h\x00R" * 100 + b".")


def test_a_memory_of_a_high_number_costs_nothing():
    with traced_memory() as memory:
        assert read_pickle(b"]r\xff\xff\xff\xff0j\xff\xff\xff\xff.") == []
    assert memory.peak < MIB


def test_lists_of_lists_twice_are_not_multiplied():
    value = read_pickle(doubling(60) + b".")
    for _ in range(60):
        assert value[0] is value[1]
        value = value[0]
    assert value == []


def test_an_unknown_number_of_bytes_after_the_end_is_ignored_as_by_python():
    assert read_pickle(pickle.dumps(1) + b"rest") == 1
