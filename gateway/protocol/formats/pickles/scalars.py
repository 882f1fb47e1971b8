"""The machine's steps for single values: numbers, texts, bytes, truth and None.

Every length is compared with the bytes that remain before anything is allocated.
"""

import pickle  # for the opcodes' names; nothing is loaded with it
import struct

from gateway.errors import RequestError
from gateway.protocol.formats.pickles.machine import INTEGER, Machine, Step

_uint16 = struct.Struct("<H").unpack_from
_int32 = struct.Struct("<i").unpack_from
_uint32 = struct.Struct("<I").unpack_from
_uint64 = struct.Struct("<Q").unpack_from
_float64 = struct.Struct(">d").unpack_from


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
    is_integer = INTEGER.fullmatch(digits) and len(digits) * 3 <= machine.max_int_bits
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


SCALAR_STEPS: dict[bytes, Step] = {
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
}
