"""The operations of a pickle on values that cannot do anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cascade_tf.weights.files.pickle_stream import ATOMS, PickleStream
from cascade_tf.weights.files.pickle_values import Global, Inert, Placeholder, checked_key, pairs
from cascade_tf.weights.files.raw_arrays import CopyBudget, shown

_HIGHEST_PROTOCOL = 5
# A checkpoint of 300 tensors takes some 15,000; the limit bounds time, and memory in small objects.
_MAX_OPERATIONS = 300_000


class PickleMachine:
    """Runs a pickle: builds plain containers, and asks for everything else by name.

    Args:
        content: the file.
        position: where the pickle begins; afterwards, where it ended.
        find_global: returns what may be done with a name, or raises ValueError.
        load_persistent: returns what a persistent id stands for; None refuses them.
        budget: for copies.
    """

    def __init__(
        self,
        content: memoryview,
        position: int,
        find_global: Callable[[str], Global],
        load_persistent: Callable[[Any], Any] | None,
        budget: CopyBudget,
    ):
        self.stream = PickleStream(content, position)
        self.find_global = find_global
        self.load_persistent = load_persistent
        self.budget = budget
        self.stack: list[Any] = []
        self.below_marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    @property
    def position(self) -> int:
        """Where the next operation begins."""
        return self.stream.position

    def run(self) -> Any:
        """Returns the pickled value, placeholders unfinished.

        Raises:
            ValueError: the pickle is truncated, broken, or wants something that no checkpoint needs.
        """
        for _ in range(_MAX_OPERATIONS):
            code = bytes(self.stream.take(1))
            if code == b".":
                return self._pop()
            if code in ATOMS:
                self.stack.append(ATOMS[code](self.stream))
            elif code in _CONSTANTS:
                self.stack.append(_CONSTANTS[code]())
            elif code in _OPERATIONS:
                _OPERATIONS[code](self)
            else:
                raise ValueError(f"broken pickle: unknown operation {code!r} at byte {self.position - 1}")
        raise ValueError(f"a pickle of more than {_MAX_OPERATIONS} operations, which no checkpoint needs")

    def _push(self, value: Any) -> None:
        self.stack.append(value)

    def _pop(self) -> Any:
        if not self.stack:
            raise ValueError(f"broken pickle: takes a value from an empty stack before byte {self.position}")
        return self.stack.pop()

    def _top(self) -> Any:
        if not self.stack:
            raise ValueError(f"broken pickle: needs a value on an empty stack before byte {self.position}")
        return self.stack[-1]

    def _mark(self) -> None:
        self.below_marks.append(self.stack)
        self.stack = []

    def _pop_mark(self) -> list[Any]:
        if not self.below_marks:
            raise ValueError(f"broken pickle: closes what it did not open before byte {self.position}")
        values, self.stack = self.stack, self.below_marks.pop()
        return values

    def _discard(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._pop_mark()

    def _tuple(self, count: int) -> None:
        self._push(tuple(reversed([self._pop() for _ in range(count)])))

    def _append(self, values: list[Any]) -> None:
        target = self._top()
        if type(target) is list:
            target.extend(values)
        elif not isinstance(target, Inert):
            raise ValueError(f"the pickle appends to a {type(target).__name__}")

    def _add(self, values: list[Any]) -> None:
        target = self._top()
        if type(target) is not set:
            raise ValueError(f"the pickle adds elements to a {type(target).__name__}")
        target.update(map(checked_key, values))

    def _set_items(self, values: list[Any]) -> None:
        target = self._top()
        if isinstance(target, dict):
            target.update(pairs(values))
        elif not isinstance(target, Inert):
            raise ValueError(f"the pickle sets items of a {type(target).__name__}")

    def _put(self, index: int) -> None:
        self.memo[index] = self._top()

    def _get(self, index: int) -> None:
        if index not in self.memo:
            raise ValueError(f"broken pickle: refers to value {shown(index)}, which was never stored")
        self._push(self.memo[index])

    def _global(self, module: Any, name: Any) -> Global:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("broken pickle: names a class or function by something other than text")
        return self.find_global(f"{module}.{name}")

    def _global_lines(self) -> Global:
        # Python evaluates the operands from left to right: the module comes first.
        return self._global(self.stream.text_line(), self.stream.text_line())

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._push(self._global(module, name))

    def _call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Global):
            raise ValueError(f"broken pickle: calls a {type(function).__name__}")
        self._push(function.called(arguments, self.budget))

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        self._call(function, arguments)

    def _new_object_with_names(self) -> None:
        names, arguments, cls = self._pop(), self._pop(), self._pop()
        if not isinstance(names, dict) or names:
            raise ValueError("the pickle calls a class with named arguments, which no checkpoint needs")
        self._call(cls, arguments)

    def _instance(self) -> None:
        cls = self._global_lines()
        self._call(cls, tuple(self._pop_mark()))

    def _object(self) -> None:
        cls, *arguments = self._pop_mark() or [None]
        self._call(cls, tuple(arguments))

    def _build(self) -> None:
        state, target = self._pop(), self._top()
        if not isinstance(target, Placeholder):
            raise ValueError(f"the pickle sets the state of a {type(target).__name__}")
        target.set_state(state)

    def _persistent(self, identity: Any) -> None:
        if self.load_persistent is None:
            raise ValueError("the pickle refers to an object outside of it, which only torch's files may")
        self._push(self.load_persistent(identity))

    def _protocol(self) -> None:
        protocol = self.stream.number(1)
        if protocol > _HIGHEST_PROTOCOL:
            raise ValueError(f"a pickle of protocol {protocol}, expected 0 to {_HIGHEST_PROTOCOL}")

    def _frame(self) -> None:
        length = self.stream.number(8)
        left = len(self.stream.content) - self.position
        if length > left:
            raise ValueError(f"truncated pickle: a frame claims {length} bytes but {left} are left")

    def _refuse_extension(self) -> None:
        raise ValueError("the pickle uses the extension registry, which no checkpoint needs")

    def _refuse_buffer(self) -> None:
        raise ValueError("the pickle keeps data in buffers outside of the file")


_CONSTANTS: dict[bytes, Callable[[], Any]] = {
    b"N": lambda: None,
    b"\x88": lambda: True,
    b"\x89": lambda: False,
    b")": tuple,
    b"]": list,
    b"}": dict,
    b"\x8f": set,
}

_OPERATIONS: dict[bytes, Callable[[PickleMachine], Any]] = {
    b"(": PickleMachine._mark,
    b"0": PickleMachine._discard,
    b"1": PickleMachine._pop_mark,
    b"2": lambda machine: machine._push(machine._top()),
    b"\x85": lambda machine: machine._tuple(1),
    b"\x86": lambda machine: machine._tuple(2),
    b"\x87": lambda machine: machine._tuple(3),
    b"t": lambda machine: machine._push(tuple(machine._pop_mark())),
    b"l": lambda machine: machine._push(machine._pop_mark()),
    b"d": lambda machine: machine._push(dict(pairs(machine._pop_mark()))),
    b"\x91": lambda machine: machine._push(frozenset(map(checked_key, machine._pop_mark()))),
    b"a": lambda machine: machine._append([machine._pop()]),
    b"e": lambda machine: machine._append(machine._pop_mark()),
    b"s": lambda machine: machine._set_items([machine._pop(), machine._pop()][::-1]),
    b"u": lambda machine: machine._set_items(machine._pop_mark()),
    b"\x90": lambda machine: machine._add(machine._pop_mark()),
    b"p": lambda machine: machine._put(machine.stream.integer_line()),
    b"q": lambda machine: machine._put(machine.stream.number(1)),
    b"r": lambda machine: machine._put(machine.stream.number(4)),
    b"\x94": lambda machine: machine._put(len(machine.memo)),
    b"g": lambda machine: machine._get(machine.stream.integer_line()),
    b"h": lambda machine: machine._get(machine.stream.number(1)),
    b"j": lambda machine: machine._get(machine.stream.number(4)),
    b"c": lambda machine: machine._push(machine._global_lines()),
    b"\x93": PickleMachine._stack_global,
    b"R": PickleMachine._reduce,
    b"\x81": PickleMachine._reduce,
    b"\x92": PickleMachine._new_object_with_names,
    b"i": PickleMachine._instance,
    b"o": PickleMachine._object,
    b"b": PickleMachine._build,
    b"P": lambda machine: machine._persistent(machine.stream.text_line()),
    b"Q": lambda machine: machine._persistent(machine._pop()),
    b"\x80": PickleMachine._protocol,
    b"\x95": PickleMachine._frame,
    **dict.fromkeys((b"\x82", b"\x83", b"\x84"), PickleMachine._refuse_extension),
    **dict.fromkeys((b"\x97", b"\x98"), PickleMachine._refuse_buffer),
}
