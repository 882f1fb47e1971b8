"""The names that a pickle from port 5555 may use, and the plain values that they build.

A name resolves to a `Global`, which is inert: the Python object of that name is never called. `call`, `new`
and `build` make what numpy, PIL and `_codecs` would have made, from checked parts.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from gateway.errors import RequestError, UnsafePickleError
from gateway.protocol.formats.pickles.picture_classes import PICTURE_CLASSES

MAX_DIMENSIONS = 8
MAX_PALETTE_BYTES = 1024
MAX_NAME_CHARACTERS = 100
MAX_SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True, eq=False)
class Global:
    """A name that a pickle may use, as a constant that does nothing."""

    name: str


NDARRAY = Global("numpy.ndarray")
DTYPE = Global("numpy.dtype")
RECONSTRUCT = Global("numpy.core.multiarray._reconstruct")
FROMBUFFER = Global("numpy.core.numeric._frombuffer")
SCALAR = Global("numpy.core.multiarray.scalar")
ENCODE = Global("_codecs.encode")
IMAGE = Global("PIL.Image.Image")

# Exact names, never packages: all of numpy would reach numpy.fromfile and ctypeslib.load_library.
ALLOWED_GLOBALS = {
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): DTYPE,
    ("numpy.core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): SCALAR,
    ("numpy._core.multiarray", "scalar"): SCALAR,
    ("numpy.core.numeric", "_frombuffer"): FROMBUFFER,
    ("numpy._core.numeric", "_frombuffer"): FROMBUFFER,
    ("_codecs", "encode"): ENCODE,
    **dict.fromkeys(PICTURE_CLASSES, IMAGE),
}

# Booleans, integers, floats and complex numbers; an object, void or structured dtype has no entry.
_DTYPES = {
    (name, order): np.dtype(order + name)
    for name in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
    for order in "<>=|"
}


@dataclass(frozen=True, slots=True)
class PickledImage:
    """The state of a pickled `PIL.Image.Image`: `data` holds `size` = (width, height) pixels of `mode`.

    Attributes:
        palette: RGB triples, possibly fewer than 256, or None.
    """

    mode: str
    size: tuple[int, int]
    palette: bytes | None
    data: bytes | memoryview


@dataclass(slots=True, eq=False)
class Pending:
    """A value between its creation and its BUILD; then `value` is what BUILD made."""

    kind: Global
    dtype_name: str = ""
    value: object = None


def find_global(module: object, name: object) -> Global:
    """Return the constant of an allowed name.

    Raises:
        UnsafePickleError: the name is not on the allow-list; the message says which name it was.
        RequestError: the name is not text.
    """
    if type(module) is not str or type(name) is not str:
        raise RequestError("the pickle is malformed: a global's name is not text")
    found = ALLOWED_GLOBALS.get((module, name))
    if found is None:
        raise refused_name(module, name)
    return found


def refused_name(module: str, name: str) -> UnsafePickleError:
    """Return the error for a name that is not on the allow-list."""
    # Escapes make a character up to ten long.
    shown = ascii(f"{module[:MAX_NAME_CHARACTERS]}.{name[:MAX_NAME_CHARACTERS]}")[:MAX_SHOWN_CHARACTERS]
    return UnsafePickleError(
        f"the pickle names {shown}, which is not allowed; send a dict of plain values with the image as a "
        "numpy array or a PIL image"
    )


def call(function: object, arguments: object) -> object:
    """Return what `function(*arguments)` would have returned (the REDUCE opcode).

    Raises:
        UnsafePickleError: `function` is not allowed.
        RequestError: the arguments are not what numpy or pickle write.
    """
    if type(arguments) is not tuple:
        raise RequestError("the pickle is malformed: REDUCE without a tuple of arguments")
    if function is RECONSTRUCT:
        if not arguments or arguments[0] is not NDARRAY:
            raise UnsafePickleError("the pickle builds an array type other than numpy.ndarray")
        return Pending(NDARRAY)
    if function is DTYPE:
        if not arguments or type(arguments[0]) is not str:
            raise RequestError("the pickle is malformed: numpy.dtype without a type name")
        return Pending(DTYPE, dtype_name=arguments[0])
    if function is FROMBUFFER:
        return _array_from_buffer(arguments)
    if function is SCALAR:
        if len(arguments) != 2:
            raise RequestError("the pickle is malformed: a numpy scalar needs a dtype and bytes")
        return _array((), arguments[0], arguments[1]).item()
    if function is ENCODE:
        return _encode(arguments)
    raise UnsafePickleError("the pickle calls something that is not an allowed function")


def new(class_: object, arguments: object) -> Pending:
    """Return what `class_.__new__(class_, *arguments)` would have made (the NEWOBJ opcode): only PIL images.

    Raises:
        UnsafePickleError: it is another class, or has arguments, which PIL's images do not.
    """
    if class_ is not IMAGE or type(arguments) is not tuple or len(arguments) > 0:
        raise UnsafePickleError("the pickle makes an object that is neither a numpy array nor a PIL image")
    return Pending(IMAGE)


def build(target: object, state: object) -> object:
    """Return the finished value of a pending array, dtype or image (the BUILD opcode).

    Raises:
        UnsafePickleError: `target` is anything else, or is already finished.
        RequestError: the state is not what numpy or PIL write, or does not fit its data.
    """
    if type(target) is not Pending or target.value is not None:
        raise UnsafePickleError(
            "the pickle sets the state of an object that is not an unfinished array or image"
        )
    if type(state) is list and target.kind is IMAGE:
        state = tuple(state)
    if type(state) is not tuple:
        raise RequestError("the pickle is malformed: BUILD without a state tuple")
    if target.kind is NDARRAY:
        target.value = _array_from_state(state)
    elif target.kind is DTYPE:
        target.value = _dtype(target.dtype_name, state)
    else:
        target.value = _image(state)
    return target.value


def _encode(arguments: tuple[object, ...]) -> bytes:
    """Return bytes that protocols 0 to 2 wrote as text, one character for each byte."""
    text, encoding = arguments if len(arguments) == 2 else (None, None)
    if type(text) is not str or type(encoding) is not str:
        raise UnsafePickleError("the pickle calls _codecs.encode with something other than two texts")
    if encoding != "latin1":
        raise UnsafePickleError(f"the pickle encodes text as {encoding[:20]!a}; only latin1 is allowed")
    try:
        return text.encode("latin1")
    except UnicodeEncodeError as error:
        raise RequestError("the pickle is malformed: bytes written as text beyond latin1") from error


def _dtype(name: str, state: tuple[object, ...]) -> np.dtype[np.generic]:
    """Return the dtype of `(3, byteorder, None, None, None, -1, -1, 0)`; longer states carry metadata."""
    order = state[1] if len(state) == 8 else None
    if any(part is not None for part in state[2:5]) or type(order) is not str or order not in "<>=|":
        raise RequestError("the array's dtype is structured or carries metadata; send a plain uint8 array")
    dtype = _DTYPES.get((name, order))
    if dtype is None:
        raise RequestError(f"arrays of dtype {name[:20]!a} are not accepted; send a uint8 array")
    return dtype


def _array_from_state(state: tuple[object, ...]) -> NDArray[np.generic]:
    """Return an array from `(version, shape, dtype, is_fortran, data)`."""
    if len(state) != 5 or type(state[3]) not in (bool, int):
        raise RequestError("the pickle is malformed: an array's state needs 5 parts")
    _, shape, dtype, is_fortran, data = state
    return _array(shape, dtype, data, is_fortran=bool(is_fortran))


def _array_from_buffer(arguments: tuple[object, ...]) -> NDArray[np.generic]:
    """Return an array from protocol 5's `(data, dtype, shape, order)`.

    numpy 2.3 and later add the axes' order in memory; with order "K" the shape is the memory's.
    """
    if len(arguments) not in (4, 5) or type(arguments[3]) is not str:
        raise RequestError("the pickle is malformed: unknown arguments of numpy's _frombuffer")
    data, dtype, shape, order = arguments[:4]
    array = _array(shape, dtype, data, is_fortran=order == "F")
    if order in ("C", "F"):
        return array
    axes = arguments[4] if len(arguments) == 5 else None
    if order != "K" or type(axes) is not tuple or len(axes) != array.ndim:
        raise RequestError("the pickle is malformed: unknown arguments of numpy's _frombuffer")
    if any(type(axis) is not int for axis in axes) or sorted(axes) != list(range(array.ndim)):
        raise RequestError("the pickle is malformed: an array's axes are not an order of its dimensions")
    return array.transpose(axes)


def _array(shape: object, dtype: object, data: object, *, is_fortran: bool = False) -> NDArray[np.generic]:
    """Return an array over `data`, without a copy, after checking that the shape fits its bytes exactly."""
    if type(dtype) is Pending:
        dtype = dtype.value
    if not isinstance(dtype, np.dtype):
        raise RequestError("the pickle is malformed: an array without a finished dtype")
    if type(shape) is not tuple or len(shape) > MAX_DIMENSIONS:
        raise RequestError(f"an array's shape must be a tuple of at most {MAX_DIMENSIONS} sizes")
    for size in shape:
        if type(size) is not int or not 0 <= size < 2**31:
            raise RequestError("an array's shape holds something other than sizes from 0 to 2147483647")
    if type(data) is not memoryview and type(data) is not bytes:
        raise RequestError("the pickle is malformed: an array without bytes")
    needed = prod(shape) * dtype.itemsize
    if needed != len(data):
        raise RequestError(
            f"an array of shape {shape} and dtype {dtype} needs {needed} bytes, not {len(data)}"
        )
    return np.ndarray(shape, dtype, data, order="F" if is_fortran else "C")


def _image(state: tuple[object, ...]) -> PickledImage:
    """Return an image from `[info, mode, size, palette, data]`; ignore the filename of image files."""
    if len(state) < 5:
        raise RequestError("the pickle is malformed: a PIL image's state needs 5 parts")
    _, mode, size, palette, data = state[:5]
    if type(mode) is not str or len(mode) > 16:
        raise RequestError("the pickle is malformed: a PIL image without a mode")
    if type(size) not in (tuple, list):
        raise RequestError("the pickle is malformed: a PIL image without a size")
    match size:
        case (width, height) if type(width) is int and type(height) is int:
            pass
        case _:
            raise RequestError("the pickle is malformed: a PIL image's size is not two integers")
    if type(data) is not memoryview and type(data) is not bytes:
        raise RequestError("the pickle is malformed: a PIL image without bytes")
    return PickledImage(mode, (width, height), _palette(palette), data)


def _palette(palette: object) -> bytes | None:
    """Return a palette as bytes, from PIL's flat list of integers or from bytes."""
    if palette is None:
        return None
    if not isinstance(palette, (list, tuple, bytes, memoryview)) or len(palette) > MAX_PALETTE_BYTES:
        raise RequestError(f"a PIL image's palette must be a list of at most {MAX_PALETTE_BYTES} integers")
    if isinstance(palette, (list, tuple)) and not all(
        type(value) is int and 0 <= value < 256 for value in palette
    ):
        raise RequestError("a PIL image's palette holds something other than integers from 0 to 255")
    return bytes(palette)
