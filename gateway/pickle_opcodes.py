"""The pickle machine's opcodes: each moves a `Machine` on by one step.

They are those of the standard library's `pickletools`, as far as protocols 0 to 5 write them for plain
values, numpy arrays and PIL images. Every length is compared with the bytes that remain before anything is
allocated. What is wrong with a pickle is a `RequestError`, or the LookupError, struct.error or ValueError of
the plain Python that met it.
"""

import pickle  # for the opcodes' names; nothing is loaded with it
import re
import struct
from collections.abc import Callable

from gateway import pickled_values
from gateway.errors import RequestError
from gateway.pickled_values import Pending

MAX_LINE_BYTES = 2048  # of a number or a name in protocol 0

_INTEGER = re.compile(rb"-?[0-9]+")
_KEY_TYPES = frozenset({str, int, bool, type(None)})
# An integer below this is its own hash, so keys cannot be chosen to collide.
_MAX_INT_KEY = 2**61 - 1

_uint16 = struct.Struct("<H").unpack_from
_int32 = struct.Struct("<i").unpack_from
_uint32 = struct.Struct("<I").unpack_from
_uint64 = struct.Struct("<Q").unpack_from
_float64 = struct.Struct(">d").unpack_from


class Machine:
    """The state of one run: a stack, the stacks below its marks, and the memo."""

    __slots__ = (
        "encode_budget",
        "max_int_bits",
        "memo",
        "position",
        "raw",
        "size",
        "stack",
        "stacks",
        "view",
    )

    def __init__(self, raw: bytes, max_int_bits: int) -> None:
        self.raw = raw
        self.view = memoryview(raw)
        self.size = len(raw)
        self.position = 0
        self.stack: list[object] = []
        self.stacks: list[list[object]] = []
        self.memo: dict[int, object] = {}
        self.max_int_bits = max_int_bits
        self.encode_budget = len(raw)

    def advance(self, count: int) -> int:
        """Move over `count` bytes that must be there; returns where they start."""
        start = self.position
        if count > self.size - start:
            raise RequestError(
                f"the pickle is torn: {count} bytes announced at byte {start}, {self.size - start} remain"
            )
        self.position = start + count
        return start

    def line(self, max_bytes: int = MAX_LINE_BYTES) -> bytes:
        """The bytes up to the next newline."""
        start = self.position
        end = self.raw.index(b"\n", start, start + max_bytes + 1)
        self.position = end + 1
        return self.raw[start:end]

    def pop_mark(self) -> list[object]:
        """The items above the last mark."""
        items = self.stack
        self.stack = self.stacks.pop()
        return items


def _proto(machine: Machine) -> None:
    protocol = machine.raw[machine.advance(1)]
    if protocol > 5:
        raise RequestError(f"the pickle has protocol {protocol}; send protocol 5 or lower")


def _frame(machine: Machine) -> None:
    (length,) = _uint64(machine.raw, machine.advance(8))
    if length > machine.size - machine.position:
        raise RequestError("the pickle is torn: a frame is longer than the message")


def _mark(machine: Machine) -> None:
    machine.stacks.append(machine.stack)
    machine.stack = []


def _pop(machine: Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


def _pop_mark(machine: Machine) -> None:
    machine.pop_mark()


def _duplicate(machine: Machine) -> None:
    machine.stack.append(machine.stack[-1])


def _none(machine: Machine) -> None:
    machine.stack.append(None)


def _true(machine: Machine) -> None:
    machine.stack.append(True)


def _false(machine: Machine) -> None:
    machine.stack.append(False)


def _int1(machine: Machine) -> None:
    machine.stack.append(machine.raw[machine.position])
    machine.position += 1


def _int2(machine: Machine) -> None:
    machine.stack.append(_uint16(machine.raw, machine.advance(2))[0])


def _int4(machine: Machine) -> None:
    machine.stack.append(_int32(machine.raw, machine.advance(4))[0])


def _long(machine: Machine, length: int) -> None:
    if length * 8 > machine.max_int_bits:
        raise RequestError(f"the pickle holds an integer of more than {machine.max_int_bits} bits")
    start = machine.advance(length)
    machine.stack.append(int.from_bytes(machine.raw[start : start + length], "little", signed=True))


def _long1(machine: Machine) -> None:
    _long(machine, machine.raw[machine.advance(1)])


def _long4(machine: Machine) -> None:
    (length,) = _int32(machine.raw, machine.advance(4))
    if length < 0:
        raise RequestError("the pickle is malformed: an integer of negative length")
    _long(machine, length)


def _text_int(machine: Machine, digits: bytes) -> None:
    # A decimal digit carries more than 3 bits, so the text is bounded before it is converted.
    is_integer = _INTEGER.fullmatch(digits) and len(digits) * 3 <= machine.max_int_bits
    value = int(digits) if is_integer else None
    if value is None or value.bit_length() > machine.max_int_bits:
        raise RequestError(
            f"the pickle holds something other than an integer of up to {machine.max_int_bits} bits"
        )
    machine.stack.append(value)


def _int_line(machine: Machine) -> None:
    line = machine.line()
    if line in (b"00", b"01"):
        machine.stack.append(line == b"01")
    else:
        _text_int(machine, line)


def _long_line(machine: Machine) -> None:
    _text_int(machine, machine.line().removesuffix(b"L"))


def _float8(machine: Machine) -> None:
    machine.stack.append(_float64(machine.raw, machine.advance(8))[0])


def _float_line(machine: Machine) -> None:
    machine.stack.append(float(machine.line()))


def _text(machine: Machine, length: int) -> None:
    start = machine.advance(length)
    machine.stack.append(machine.raw[start : start + length].decode("utf-8", "surrogatepass"))


def _text1(machine: Machine) -> None:
    _text(machine, machine.raw[machine.advance(1)])


def _text4(machine: Machine) -> None:
    _text(machine, _uint32(machine.raw, machine.advance(4))[0])


def _text8(machine: Machine) -> None:
    _text(machine, _uint64(machine.raw, machine.advance(8))[0])


def _text_line(machine: Machine) -> None:
    machine.stack.append(machine.line(machine.size).decode("raw-unicode-escape"))


def _bytes(machine: Machine, length: int) -> None:
    start = machine.advance(length)
    machine.stack.append(machine.view[start : start + length])


def _bytes1(machine: Machine) -> None:
    _bytes(machine, machine.raw[machine.advance(1)])


def _bytes4(machine: Machine) -> None:
    _bytes(machine, _uint32(machine.raw, machine.advance(4))[0])


def _bytes8(machine: Machine) -> None:
    _bytes(machine, _uint64(machine.raw, machine.advance(8))[0])


def _empty_tuple(machine: Machine) -> None:
    machine.stack.append(())


def _empty_list(machine: Machine) -> None:
    machine.stack.append([])


def _empty_dict(machine: Machine) -> None:
    machine.stack.append({})


def _tuple(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.stack.append(tuple(items))


def _tuple1(machine: Machine) -> None:
    machine.stack[-1] = (machine.stack[-1],)


def _tuple2(machine: Machine) -> None:
    last = machine.stack.pop()
    machine.stack[-1] = (machine.stack[-1], last)


def _tuple3(machine: Machine) -> None:
    last = machine.stack.pop()
    middle = machine.stack.pop()
    machine.stack[-1] = (machine.stack[-1], middle, last)


def _list(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.stack.append(items)


def _dict(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.stack.append({})
    _set_items(machine, items)


def _append(machine: Machine) -> None:
    _extend(machine, [machine.stack.pop()])


def _appends(machine: Machine) -> None:
    _extend(machine, machine.pop_mark())


def _extend(machine: Machine, items: list[object]) -> None:
    target = machine.stack[-1]
    if type(target) is not list:
        raise RequestError("the pickle is malformed: APPEND to something that is not a list")
    target.extend(items)


def _set_item(machine: Machine) -> None:
    value = machine.stack.pop()
    _set_items(machine, [machine.stack.pop(), value])


def _set_items_above_mark(machine: Machine) -> None:
    _set_items(machine, machine.pop_mark())


def _set_items(machine: Machine, items: list[object]) -> None:
    target = machine.stack[-1]
    if type(target) is not dict or len(items) % 2:
        raise RequestError("the pickle is malformed: SETITEM without a dict, or a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) not in _KEY_TYPES or (type(key) is int and abs(key) >= _MAX_INT_KEY):
            raise RequestError("a dict in the pickle has a key that is not text, a small integer or None")
        target[key] = value


def _memoize(machine: Machine) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _put1(machine: Machine) -> None:
    machine.memo[machine.raw[machine.advance(1)]] = machine.stack[-1]


def _put4(machine: Machine) -> None:
    machine.memo[_uint32(machine.raw, machine.advance(4))[0]] = machine.stack[-1]


def _memo_index(machine: Machine) -> int:
    line = machine.line(10)
    if not _INTEGER.fullmatch(line):
        raise RequestError("the pickle is malformed: a memo index that is not a number")
    return int(line)


def _put_line(machine: Machine) -> None:
    machine.memo[_memo_index(machine)] = machine.stack[-1]


def _get(machine: Machine, index: int) -> None:
    value = machine.memo[index]
    if type(value) is Pending and value.value is not None:
        value = value.value
    machine.stack.append(value)


def _get1(machine: Machine) -> None:
    _get(machine, machine.raw[machine.advance(1)])


def _get4(machine: Machine) -> None:
    _get(machine, _uint32(machine.raw, machine.advance(4))[0])


def _get_line(machine: Machine) -> None:
    _get(machine, _memo_index(machine))


def _global_lines(machine: Machine) -> None:
    module = machine.line().decode("utf-8")
    machine.stack.append(pickled_values.find_global(module, machine.line().decode("utf-8")))


def _stack_global(machine: Machine) -> None:
    name = machine.stack.pop()
    machine.stack[-1] = pickled_values.find_global(machine.stack[-1], name)


def _reduce(machine: Machine) -> None:
    arguments = machine.stack.pop()
    value = pickled_values.call(machine.stack[-1], arguments)
    if type(value) is bytes:
        # One long text, fetched from the memo and encoded again and again, would fill the memory.
        machine.encode_budget -= len(value)
        if machine.encode_budget < 0:
            raise RequestError("the pickle is malformed: it encodes more bytes than it has")
    machine.stack[-1] = value


def _new_object(machine: Machine) -> None:
    arguments = machine.stack.pop()
    machine.stack[-1] = pickled_values.new(machine.stack[-1], arguments)


def _build(machine: Machine) -> None:
    state = machine.stack.pop()
    machine.stack[-1] = pickled_values.build(machine.stack[-1], state)


STEPS: list[Callable[[Machine], None] | None] = [None] * 256
"""What runs an opcode, by its byte; None where none is run."""
for _opcode, _step in {
    pickle.PROTO: _proto,
    pickle.FRAME: _frame,
    pickle.MARK: _mark,
    pickle.POP: _pop,
    pickle.POP_MARK: _pop_mark,
    pickle.DUP: _duplicate,
    pickle.NONE: _none,
    pickle.NEWTRUE: _true,
    pickle.NEWFALSE: _false,
    pickle.BININT1: _int1,
    pickle.BININT2: _int2,
    pickle.BININT: _int4,
    pickle.LONG1: _long1,
    pickle.LONG4: _long4,
    pickle.INT: _int_line,
    pickle.LONG: _long_line,
    pickle.BINFLOAT: _float8,
    pickle.FLOAT: _float_line,
    pickle.SHORT_BINUNICODE: _text1,
    pickle.BINUNICODE: _text4,
    pickle.BINUNICODE8: _text8,
    pickle.UNICODE: _text_line,
    pickle.SHORT_BINBYTES: _bytes1,
    pickle.BINBYTES: _bytes4,
    pickle.BINBYTES8: _bytes8,
    pickle.BYTEARRAY8: _bytes8,
    pickle.EMPTY_TUPLE: _empty_tuple,
    pickle.EMPTY_LIST: _empty_list,
    pickle.EMPTY_DICT: _empty_dict,
    pickle.TUPLE: _tuple,
    pickle.TUPLE1: _tuple1,
    pickle.TUPLE2: _tuple2,
    pickle.TUPLE3: _tuple3,
    pickle.LIST: _list,
    pickle.DICT: _dict,
    pickle.APPEND: _append,
    pickle.APPENDS: _appends,
    pickle.SETITEM: _set_item,
    pickle.SETITEMS: _set_items_above_mark,
    pickle.MEMOIZE: _memoize,
    pickle.PUT: _put_line,
    pickle.BINPUT: _put1,
    pickle.LONG_BINPUT: _put4,
    pickle.GET: _get_line,
    pickle.BINGET: _get1,
    pickle.LONG_BINGET: _get4,
    pickle.GLOBAL: _global_lines,
    pickle.STACK_GLOBAL: _stack_global,
    pickle.REDUCE: _reduce,
    pickle.NEWOBJ: _new_object,
    pickle.BUILD: _build,
}.items():
    STEPS[_opcode[0]] = _step
