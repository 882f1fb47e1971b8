"""The content of a PIL image's `info`: it may be anything, because the gateway drops it.

While the machine reads an image's state, anything not allowed becomes an `Inert`, and so does whatever the
pickle makes from one; a container holds None in its place. The state's end drops the `info`. An `Inert` in
any other place, or one that comes back from the memo, raises the error that it would have been at once.
"""

import pickle  # for the opcodes' names; nothing is loaded with it
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gateway.errors import RequestError, UnsafePickleError
from gateway.protocol.formats.pickles.machine import Machine, Step
from gateway.protocol.formats.pickles.values import ALLOWED_GLOBALS, IMAGE, Pending, find_global, refused_name

_BUILD = pickle.BUILD[0]
# An image's state: info, mode, size, palette, data; the rest is about its file.
_USED = slice(1, 5)


@dataclass(frozen=True, slots=True, eq=False)
class Inert:
    """Something in an image's `info` that is not allowed.

    Attributes:
        error: makes the error for it in another place; a new one each time, because a raised one keeps the
            whole machine in memory.
    """

    error: Callable[[], RequestError]


def plain(value: object) -> object:
    """Return a value as a container may keep it."""
    return None if type(value) is Inert else value


def begin_state(machine: Machine) -> None:
    """Note whether the mark just set begins an image's state."""
    below = machine.stacks[-1]
    if machine.state_level or len(below) < 2 or type(below[-1]) is not list or below[-1]:
        return
    image = below[-2]
    if type(image) is Pending and image.kind is IMAGE and image.value is None:
        machine.state_level = len(machine.stacks)


def end_state(machine: Machine) -> list[object]:
    """Return the parts of an image's state; the first, `info`, is dropped.

    Raises:
        RequestError: an `Inert` is outside `info`, or the state is not an image's.
    """
    machine.state_level = 0
    parts = machine.pop_mark()
    if machine.raw[machine.position] != _BUILD:
        raise RequestError("the pickle is malformed: a PIL image's state is not followed by BUILD")
    problems = [part.error for part in parts[1:] if type(part) is Inert]
    if problems or machine.state_problem is not None:
        raise (machine.state_problem or problems[0])()
    return [None, *parts[_USED]]


def end_item(machine: Machine) -> None:
    """Note that an item was put into a dict: if that is `info`, an `Inert` may be in it."""
    if machine.state_level and machine.state_level == len(machine.stacks) and len(machine.stack) == 1:
        machine.state_problem = None


def _inert(machine: Machine, error: Callable[[], RequestError]) -> Inert:
    """Return an `Inert`, in an image's state."""
    is_outermost = machine.state_level == len(machine.stacks)
    parts = machine.stack if is_outermost else machine.stacks[machine.state_level]
    # On the stack above `info` is the key of one of its items, or the part after it.
    if len(parts) > 1 and machine.state_problem is None:
        machine.state_problem = error
    return Inert(error)


def name_of(machine: Machine, module: object, name: object) -> object:
    """Return the `Global` of a name, or in an image's state maybe an `Inert`."""
    if machine.state_level and type(module) is str and type(name) is str:
        # Catching an error instead would make many names slow.
        found = ALLOWED_GLOBALS.get((module, name))
        return _inert(machine, partial(refused_name, module, name)) if found is None else found
    return find_global(module, name)


def or_inert(machine: Machine, problem: RequestError) -> Inert:
    """Return an `Inert` for a problem in an image's state.

    Raises:
        RequestError: `problem`, outside an image's state.
    """
    if not machine.state_level:
        raise problem
    return _inert(machine, partial(type(problem), str(problem)))


def _set(machine: Machine) -> None:
    error = partial(UnsafePickleError, "the pickle holds a set; send plain values")
    machine.stack.append(_inert(machine, error))


def _add_items(machine: Machine) -> None:
    machine.pop_mark()
    if type(machine.stack[-1]) is not Inert:
        raise RequestError("the pickle is malformed: ADDITEMS to something that is not a set")


def _frozen_set(machine: Machine) -> None:
    machine.pop_mark()
    _set(machine)


def _new_object_with_keywords(machine: Machine) -> None:
    del machine.stack[-2:]
    class_ = machine.stack[-1]
    if type(class_) is not Inert:
        error = partial(UnsafePickleError, "the pickle makes an object with keywords")
        machine.stack[-1] = _inert(machine, error)


INFO_STEPS: dict[int, Step] = {
    pickle.EMPTY_SET[0]: _set,
    pickle.ADDITEMS[0]: _add_items,
    pickle.FROZENSET[0]: _frozen_set,
    pickle.NEWOBJ_EX[0]: _new_object_with_keywords,
}
"""The functions of opcodes that are only allowed in an image's state, by their bytes."""
