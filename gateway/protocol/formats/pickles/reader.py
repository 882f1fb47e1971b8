"""A pickle machine that builds plain data only and calls nothing.

It is not a subclass of `pickle.Unpickler`: whatever `find_class` refuses, that can be made to allocate tens
of gigabytes (a memo index, a bytearray's length) and to overflow the C stack (hashing nested tuples).
"""

import pickle  # for the opcodes' names; nothing is loaded with it
import struct

from gateway.errors import RequestError, UnsafePickleError
from gateway.protocol.formats.pickles.info import INFO_STEPS
from gateway.protocol.formats.pickles.machine import Machine, Step
from gateway.protocol.formats.pickles.opcodes import STEPS

MAX_OPCODES = 4_000
MAX_INT_BITS = 4096

_STOP = pickle.STOP[0]

# Opcodes that Python 3 does not write for plain values, arrays and images.
_REFUSED = {
    getattr(pickle, name)[0]: name
    for name in (
        *("PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEWOBJ_EX"),
        *("EMPTY_SET", "ADDITEMS", "FROZENSET", "NEXT_BUFFER", "READONLY_BUFFER"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING"),
    )
}


def read_pickle(
    data: bytes | memoryview, *, max_opcodes: int = MAX_OPCODES, max_int_bits: int = MAX_INT_BITS
) -> object:
    """Return the plain value that a pickle describes; ignore bytes after its end, as `pickle.loads` does.

    Besides dicts (with keys that are text, integers or None), lists, tuples, text, integers, floats, booleans
    and None there can be numpy arrays of numbers, which share memory with `data`; bytes and bytearrays, as
    read-only memoryviews of `data`; numpy scalars, as Python's; and PIL images, as `PickledImage`. Containers
    can be nested deeply and share or contain one another, so they must not be compared, hashed or printed.

    Args:
        data: the pickle, of protocol 0 to 5.
        max_opcodes: most opcodes that are run.
        max_int_bits: most bits of an integer.

    Raises:
        UnsafePickleError: the pickle names or does something that is not on the allow-list.
        RequestError: the pickle is torn, malformed, or beyond a limit.
    """
    machine = Machine(data if type(data) is bytes else bytes(data), max_int_bits)
    try:
        return _run(machine, max_opcodes)
    except (LookupError, struct.error, ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise RequestError(
            f"the pickle is torn or malformed near byte {machine.position} of {machine.size}; "
            "send pickle.dumps(request) as one message"
        ) from error


def _run(machine: Machine, max_opcodes: int) -> object:
    raw = machine.raw
    for _ in range(max_opcodes):
        opcode = raw[machine.position]
        machine.position += 1
        if opcode == _STOP:
            break
        step = STEPS[opcode] or _step_in_info(machine, opcode)
        step(machine)
    else:
        raise RequestError(
            f"the pickle has more than {max_opcodes} opcodes; send one dict with one image, and little in "
            "image.info"
        )
    if machine.state_level:
        raise RequestError("the pickle is malformed: it ends inside a PIL image")
    return machine.stack.pop()


def _step_in_info(machine: Machine, opcode: int) -> Step:
    """Return the function of an opcode that only an image's state may hold; raise the refusal elsewhere."""
    step = INFO_STEPS.get(opcode) if machine.state_level else None
    if step is None:
        raise _refusal(opcode)
    return step


def _refusal(opcode: int) -> RequestError:
    """Return the error for an opcode that is refused."""
    name = _REFUSED.get(opcode)
    if name is None:
        return RequestError(
            f"the bytes are not a pickle: {opcode:#04x} is not an opcode; send pickle.dumps(request)"
        )
    return UnsafePickleError(
        f"the pickle uses the opcode {name}, which is not allowed; send a dict of plain values with the "
        "image as a numpy array or a PIL image"
    )
