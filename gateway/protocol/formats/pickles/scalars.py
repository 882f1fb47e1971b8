"""The machine's steps for single values: numbers, texts, bytes, booleans and None.

Every length is compared with the bytes that remain before anything is allocated.
"""

import pickle  # for the opcodes' names; nothing is loaded with it
import struct
from collections.abc import Callable

from gateway.errors import RequestError
from gateway.protocol.formats.pickles.machine import INTEGER, Machine, Step

UINT32 = struct.Struct("<I")
UINT64 = struct.Struct("<Q")


def constant(value: object) -> Step:
    """Return the step that puts a value on the stack."""

    def step(machine: Machine) -> None:
        machine.stack.append(value)

    return step


def counted(take: Callable[[Machine, int], None], form: struct.Struct) -> Step:
    """Return the step that gives `take` the next length or index, which has this form."""
    read, size = form.unpack_from, form.size

    def step(machine: Machine) -> None:
        take(machine, read(machine.raw, machine.advance(size))[0])

    return step


def counted_by_byte(take: Callable[[Machine, int], None]) -> Step:
    """Return the step that gives `take` the length or index in the next byte, faster than `counted` does."""

    def step(machine: Machine) -> None:
        take(machine, machine.raw[machine.advance(1)])

    return step


def _number(form: struct.Struct) -> Step:
    """Return the step that puts the next number on the stack."""
    read, size = form.unpack_from, form.size

    def step(machine: Machine) -> None:
        machine.stack.append(read(machine.raw, machine.advance(size))[0])

    return step


def _int1(machine: Machine) -> None:
    machine.stack.append(machine.raw[machine.position])
    machine.position += 1


def _long(machine: Machine, length: int) -> None:
    if length < 0:
        raise RequestError("the pickle is malformed: an integer of negative length")
    if length * 8 > machine.max_int_bits:
        raise RequestError(f"the pickle holds an integer of more than {machine.max_int_bits} bits")
    start = machine.advance(length)
    machine.stack.append(int.from_bytes(machine.raw[start : start + length], "little", signed=True))


def _text_int(machine: Machine, digits: bytes) -> None:
    # A decimal digit has more than 3 bits, so check the text's length before converting it.
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


def _float_line(machine: Machine) -> None:
    machine.stack.append(float(machine.line()))


def _text(machine: Machine, length: int) -> None:
    start = machine.advance(length)
    machine.stack.append(machine.raw[start : start + length].decode("utf-8", "surrogatepass"))


def _text_line(machine: Machine) -> None:
    machine.stack.append(machine.line(machine.size).decode("raw-unicode-escape"))


def _bytes(machine: Machine, length: int) -> None:
    start = machine.advance(length)
    machine.stack.append(machine.view[start : start + length])


SCALAR_STEPS: dict[bytes, Step] = {
    pickle.NONE: constant(None),
    pickle.NEWTRUE: constant(True),
    pickle.NEWFALSE: constant(False),
    pickle.BININT1: _int1,
    pickle.BININT2: _number(struct.Struct("<H")),
    pickle.BININT: _number(struct.Struct("<i")),
    pickle.LONG1: counted_by_byte(_long),
    pickle.LONG4: counted(_long, struct.Struct("<i")),
    pickle.INT: _int_line,
    pickle.LONG: _long_line,
    pickle.BINFLOAT: _number(struct.Struct(">d")),
    pickle.FLOAT: _float_line,
    pickle.SHORT_BINUNICODE: counted_by_byte(_text),
    pickle.BINUNICODE: counted(_text, UINT32),
    pickle.BINUNICODE8: counted(_text, UINT64),
    pickle.UNICODE: _text_line,
    pickle.SHORT_BINBYTES: counted_by_byte(_bytes),
    pickle.BINBYTES: counted(_bytes, UINT32),
    pickle.BINBYTES8: counted(_bytes, UINT64),
    pickle.BYTEARRAY8: counted(_bytes, UINT64),
}
