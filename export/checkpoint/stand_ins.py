"""Inert stand-ins for objects of other libraries that a checkpoint holds beside its tensors.

A pickle names classes and functions to call. A stand-in in their place only keeps the call's arguments: the
content can be looked at, and none of the library's code runs.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any, ClassVar

import numpy as np

# Scalars, arrays, data types and random states, in the modules of numpy 1 and 2.
_NUMPY_DATA = re.compile(
    r"numpy\.("
    r"_?core\.(multiarray\.(scalar|_reconstruct)|numeric\._frombuffer)"
    r"|dtypes\.\w+"
    r"|random\.[\w.]+"
    r"|ma\.(core\.)?\w+"
    r"|ndarray|dtype|matrix|rec\.\w+|_?core\.records\.\w+|_?core\.memmap\.\w+|memmap|void|object_|generic"
    r"|bool|bool_|str_|bytes_|unicode_|string_|datetime64|timedelta64|(u?int|float|complex)(\d+|_|c|p)?"
    r"|u?(byte|short|intc|intp|long|longlong|int_)|half|single|double|longdouble|csingle|cdouble|clongdouble"
    r")"
)
_NUMBER_TYPE = re.compile(r"(b1|[iu][1248]|f[248])")


class StandIn:
    """An object that a pickle wants called or made.

    Attributes:
        name: module and name.
        arguments: those that the pickle gives it.
        state: the state that the pickle gives it.
    """

    name: ClassVar[str]
    arguments: tuple[Any, ...]
    state: object

    def __new__(cls, *arguments: object) -> "StandIn":
        """Keep what a pickle calls this with."""
        made = super().__new__(cls)
        made.arguments, made.state = arguments, None
        return made

    def __setstate__(self, state: object) -> None:
        self.state = state


def stand_in(name: str) -> type[StandIn]:
    """Return a class that stands for one name, such as "numpy.dtype"."""
    return type("StandIn", (StandIn,), {"name": name})


def is_numpy_data(name: str) -> bool:
    """Return whether numpy pickles scalars, arrays, data types or random states by this name."""
    return _NUMPY_DATA.fullmatch(name) is not None


def plain(content: object) -> object:
    """Return the content with numpy's numbers as Python's; only dicts and lists are changed, in place."""
    for held in _everything(content):
        if not isinstance(held, (dict, list)):
            continue
        for key, value in list(held.items() if isinstance(held, dict) else enumerate(held)):
            number = _number(value)
            if number is not None:
                held[key] = number
    return content


def places_of(names: Collection[str], content: object) -> list[object]:
    """Return the keys of the outermost dict under which there are stand-ins for some names."""
    if not isinstance(content, dict):
        return []
    return [key for key, value in content.items() if any(name in names for name in _names_in(value))]


def _names_in(content: object) -> Iterator[str]:
    for value in _everything(content):
        if isinstance(value, StandIn) or (isinstance(value, type) and issubclass(value, StandIn)):
            yield value.name


def _everything(content: object) -> Iterator[object]:
    """Yield each object in the content once."""
    seen: set[int] = set()
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set)):
            waiting += value
        elif isinstance(value, StandIn):
            waiting += [*value.arguments, value.state]


def _number(value: object) -> bool | int | float | None:
    """Return a numpy scalar's number, None for anything else."""
    if not isinstance(value, StandIn) or not value.name.endswith(".scalar") or len(value.arguments) != 2:
        return None
    kind, data = value.arguments
    if not (isinstance(kind, StandIn) and kind.arguments and isinstance(data, bytes)):
        return None
    code = kind.arguments[0]
    if not (isinstance(code, str) and _NUMBER_TYPE.fullmatch(code)) or len(data) != int(code[1]):
        return None
    order = kind.state[1] if isinstance(kind.state, tuple) and len(kind.state) > 1 else "<"
    number = np.frombuffer(data, (">" if order == ">" else "<") + code)[0].item()
    return number if isinstance(number, bool | int | float) else None
