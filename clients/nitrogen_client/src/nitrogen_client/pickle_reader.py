"""Reads the pickles with which older servers reply, and builds nothing but plain values and arrays.

`pickle.loads` would call whatever the server, or who pretends to be it, names. Here Python's own
`pickletools` takes the opcodes apart, and this module carries out those that plain data needs. Nothing is
imported, looked up or called by a name from the pickle.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from math import prod
from typing import Any, Callable

import numpy as np
from numpy.typing import NDArray

from nitrogen_client.errors import ProtocolError

# Far above what a reply needs.
_MAX_OPCODES = 100_000
_MAX_INTEGER_BITS = 4096
_MAX_SHOWN = 200
_KINDS = frozenset({"f2", "f4", "f8", "u1", "i4", "i8", "b1"})
_ORDERS = frozenset("<>=|")
_CONTAINERS = (list, dict, tuple)
_MAX_DIMENSIONS = 8


class _UnsafeError(ValueError):
    """The pickle needs something that is not read."""


@dataclass(frozen=True)
class _Global:
    """A name in a pickle. It stands for what the name means, and is not that."""

    name: str


@dataclass(frozen=True)
class _Dtype:
    """A numpy dtype, whose byte order comes with BUILD."""

    kind: str
    order: str = "<"

    def numpy(self) -> np.dtype[Any]:
        """Return the dtype itself."""
        return np.dtype(self.order + self.kind)


class _EmptyArray:
    """An array whose content comes with BUILD."""


class _Arguments(tuple):  # type: ignore[type-arg] # of whatever a pickle holds
    """A tuple that holds something which is not plain; only a call may take it."""

    __slots__ = ()


class _Mark:
    """Where a MARK was put on the stack."""


_UNFINISHED = (_Global, _Dtype, _EmptyArray, _Arguments, _Mark)


def read_pickle(payload: bytes) -> object:
    """Return the value in a pickle: plain values, lists, tuples, dicts, and arrays of numbers.

    Bytearrays become bytes, and numpy's scalars Python's numbers.

    Raises:
        ProtocolError: the pickle is torn or malformed, or needs something else; nothing was called.
    """
    try:
        return _finished(_Machine().run(payload))
    except _UnsafeError as error:
        raise ProtocolError(f"the reply is a pickle that this client refuses: {error}") from error
    except Exception as error:  # pickletools, and a stack without what an opcode needs, raise all kinds
        raise ProtocolError(f"the reply is not a whole pickle ({str(error)[:_MAX_SHOWN]})") from error


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, payload: bytes) -> object:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(payload)):
            if count >= _MAX_OPCODES:
                raise _UnsafeError(f"it has more than {_MAX_OPCODES} opcodes")
            if opcode.name == "STOP":
                (value,) = self._stack
                return value
            step = _STEPS.get(opcode.name)
            if step is None:
                raise _UnsafeError(f"plain data does not need its opcode {opcode.name}")
            step(self, argument)
        raise ValueError("it has no end")

    def nothing(self, _: object) -> None:
        """Carry out what has no meaning here: PROTO and FRAME."""

    def push(self, value: object) -> None:
        self._stack.append(value)

    def push_integer(self, value: int) -> None:
        # Writing out a huge one, in an error's text, can take hours.
        if value.bit_length() > _MAX_INTEGER_BITS:
            raise _UnsafeError(f"it has an integer of {value.bit_length()} bits")
        self.push(value)

    def mark(self, _: object) -> None:
        self.push(_Mark())

    def memoize(self, index: int | None) -> None:
        self._memo[len(self._memo) if index is None else index] = self._stack[-1]

    def get(self, index: int) -> None:
        value = self._memo[index]
        # A few opcodes could make a value with too many parts to show or to hash.
        is_nested = isinstance(value, tuple) and any(isinstance(part, _CONTAINERS) for part in value)
        if isinstance(value, (list, dict)) or is_nested:
            raise _UnsafeError(f"it uses a {type(value).__name__} in several places, which no reply needs")
        self.push(value)

    def pop(self, count: int) -> list[Any]:
        """Take the last values from the stack, in their order."""
        if len(self._stack) < count:
            raise ValueError("its stack is too short")
        values = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return values

    def pop_to_mark(self) -> list[Any]:
        count = next(i for i, value in enumerate(reversed(self._stack)) if isinstance(value, _Mark))
        values = self.pop(count)
        self.pop(1)
        return values

    def tuple_of(self, values: list[Any]) -> None:
        self.push((_Arguments if any(isinstance(v, _UNFINISHED) for v in values) else tuple)(values))

    def append(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise _UnsafeError(f"it appends to a {type(target).__name__}")
        target.extend(_finished(value) for value in values)

    def set_items(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise _UnsafeError(f"it sets items of a {type(target).__name__}")
        for key, value in zip(values[::2], values[1::2]):
            if not isinstance(key, (str, int)):
                raise _UnsafeError(f"it has a key that is a {type(key).__name__}")
            target[key] = _finished(value)

    def stack_global(self, _: object) -> None:
        module, name = self.pop(2)
        self.push(_Global(f"{module}.{name}"))

    def reduce(self, _: object) -> None:
        called, arguments = self.pop(2)
        build = _CALLS.get(called.name) if isinstance(called, _Global) else None
        if build is None:
            shown = called.name if isinstance(called, _Global) else f"a {type(called).__name__}"
            raise _UnsafeError(f"it calls {shown[:_MAX_SHOWN]}, which no reply needs")
        self.push(build(*arguments))

    def build(self, _: object) -> None:
        (state,) = self.pop(1)
        unfinished = self._stack[-1]
        if isinstance(unfinished, _Dtype):
            built: object = _Dtype(unfinished.kind, _order(state[1]))
        elif isinstance(unfinished, _EmptyArray):
            _, shape, dtype, is_fortran, data = state
            built = _array(data, dtype, shape, "F" if is_fortran else "C")
        else:
            raise _UnsafeError(f"it changes the state of a {type(unfinished).__name__}")
        self._stack[-1] = built
        for index, value in self._memo.items():
            if value is unfinished:
                self._memo[index] = built


def _finished(value: object) -> object:
    if isinstance(value, _UNFINISHED):
        raise _UnsafeError("it holds a name, or half of an array, where a value belongs")
    return value


def _order(value: object) -> str:
    if not isinstance(value, str) or value not in _ORDERS:
        raise _UnsafeError(f"it has an array of byte order {value!r:.20}")
    return value


def _dtype(code: object, *_: object) -> _Dtype:
    """Return what numpy.dtype("f4", False, True), or "<f4", stands for."""
    if not isinstance(code, str) or code.lstrip("<>=|") not in _KINDS:
        raise _UnsafeError(f"it has an array of dtype {code!r:.40}")
    kind = code.lstrip("<>=|")
    return _Dtype(kind, _order(code[: -len(kind)] or "="))


def _array(data: object, dtype: object, shape: object, order: object = "C") -> NDArray[Any]:
    if isinstance(dtype, str):
        dtype = _dtype(dtype)
    if not isinstance(data, bytes) or not isinstance(dtype, _Dtype) or not isinstance(shape, tuple):
        raise _UnsafeError("it has an array that is not made of bytes")
    are_sizes = all(type(size) is int and size >= 0 for size in shape)
    # Looked at first: the product of many large sizes would take too long.
    if not are_sizes or len(shape) > _MAX_DIMENSIONS or prod(shape) * dtype.numpy().itemsize != len(data):
        raise _UnsafeError(f"it has an array of shape {shape!r:.60} with {len(data)} bytes")
    array = np.frombuffer(data, dtype.numpy()).reshape(shape, order="F" if order == "F" else "C")
    # A copy, so that it can be written to, in this machine's byte order.
    return array.astype(dtype.numpy().newbyteorder("="))


def _encode(text: object, encoding: object) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _UnsafeError("it encodes something other than bytes")
    return text.encode("latin-1")


def _bytes(data: object = b"") -> bytes:
    if not isinstance(data, bytes):
        raise _UnsafeError("it makes bytes of something else")
    return data


_CALLS: dict[str, Callable[..., object]] = {
    "numpy.dtype": _dtype,
    "numpy.ndarray": lambda shape, dtype, data: _array(data, dtype, shape),
    "_codecs.encode": _encode,
    "builtins.bytearray": _bytes,
    "__builtin__.bytearray": _bytes,
    "__builtin__.bytes": _bytes,
}
for _package in ("numpy.core", "numpy._core"):
    _CALLS[f"{_package}.multiarray._reconstruct"] = lambda *_: _EmptyArray()
    _CALLS[f"{_package}.multiarray.scalar"] = lambda dtype, data: _array(data, dtype, ()).item()
    _CALLS[f"{_package}.numeric._frombuffer"] = _array

_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine.nothing,
    "FRAME": _Machine.nothing,
    "MARK": _Machine.mark,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.tuple_of(machine.pop_to_mark()),
    "TUPLE1": lambda machine, _: machine.tuple_of(machine.pop(1)),
    "TUPLE2": lambda machine, _: machine.tuple_of(machine.pop(2)),
    "TUPLE3": lambda machine, _: machine.tuple_of(machine.pop(3)),
    "APPEND": lambda machine, _: machine.append(machine.pop(1)),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "GLOBAL": lambda machine, name: machine.push(_Global(name.replace(" ", "."))),
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "BYTEARRAY8": lambda machine, data: machine.push(bytes(data)),
}
for _name in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
    _STEPS[_name] = _Machine.memoize
for _name in ("BINGET", "LONG_BINGET"):
    _STEPS[_name] = _Machine.get
_INTEGERS = ("BININT", "BININT1", "BININT2", "LONG1", "LONG4")
_TEXTS = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
_BYTES = ("SHORT_BINBYTES", "BINBYTES", "BINBYTES8")
for _name in ("BINFLOAT", *_TEXTS, *_BYTES):
    _STEPS[_name] = _Machine.push
for _name in _INTEGERS:
    _STEPS[_name] = _Machine.push_integer
