"""Pickles by hand: opcodes for what Python's own pickler would not write."""

import pickle
import struct
from collections.abc import Callable


class Reduced:
    """Pickles as a call of its arguments: the textbook gadget."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def reduced(function: Callable[..., object], *arguments: object) -> bytes:
    """A pickle that calls the function."""
    return pickle.dumps(Reduced(function, *arguments), 4)


def text(value: str) -> bytes:
    """The opcode for a text."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def named(module: str, name: str) -> bytes:
    """The opcode for a global."""
    return f"c{module}\n{name}\n".encode()


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """A pickle that calls a global, with arguments that are opcodes."""
    return named(module, name) + b"(" + b"".join(arguments) + b"tR."


IMAGE = b"cPIL.Image\nImage\n)\x81"
RECONSTRUCTED = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
U1 = (
    named("numpy", "dtype")
    + b"("
    + text("u1")
    + b"\x89\x88tR(K\x03"
    + text("|")
    + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
)
C4 = b"C\x04abcd"


def array(shape: bytes, dtype: bytes, data: bytes, order: bytes = b"\x89") -> bytes:
    """An array as numpy pickles it, of a state made of opcodes."""
    return RECONSTRUCTED + b"(K\x01" + shape + dtype + order + data + b"tb."


def dtype(name: str, order: str = "|", state: bytes = b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00") -> bytes:
    """A dtype as numpy pickles it."""
    return named("numpy", "dtype") + b"(" + text(name) + b"\x89\x88tR(K\x03" + text(order) + state + b"tb"


def image(mode: bytes, size: bytes, palette: bytes, data: bytes) -> bytes:
    """A PIL image as Pillow pickles it, of a state made of opcodes."""
    return IMAGE + b"](}" + mode + size + palette + data + b"eb."


def within_a_request(gadget: bytes) -> bytes:
    """The gadget as the image of a request that is otherwise in order."""
    return b"\x80\x04}(" + text("type") + text("predict") + text("image") + gadget.removesuffix(b".") + b"u."
