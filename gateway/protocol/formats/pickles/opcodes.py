"""The pickle machine's opcodes: each moves a `Machine` on by one step.

`scalars` has those of single values. The machine knows the opcodes that protocols 0 to 5 write for plain
values, numpy arrays and PIL images. A wrong pickle raises a `RequestError`, or a LookupError, struct.error or
ValueError from plain Python.
"""

import pickle  # for the opcodes' names; nothing is loaded with it
from collections.abc import Callable

from gateway.errors import RequestError
from gateway.protocol.formats.pickles import values
from gateway.protocol.formats.pickles.info import (
    Inert,
    begin_state,
    end_item,
    end_state,
    name_of,
    or_inert,
    plain,
)
from gateway.protocol.formats.pickles.machine import INTEGER, Machine, Step
from gateway.protocol.formats.pickles.scalars import (
    SCALAR_STEPS,
    UINT32,
    UINT64,
    constant,
    counted,
    counted_by_byte,
)
from gateway.protocol.formats.pickles.values import Pending

# An integer below this is its own hash, so keys cannot be chosen to collide.
_MAX_INT_KEY = 2**61 - 1


def _proto(machine: Machine) -> None:
    protocol = machine.raw[machine.advance(1)]
    if protocol > 5:
        raise RequestError(f"the pickle has protocol {protocol}; send protocol 5 or lower")


def _frame(machine: Machine, length: int) -> None:
    if length > machine.size - machine.position:
        raise RequestError("the pickle is torn: a frame is longer than the message")


def _mark(machine: Machine) -> None:
    machine.stacks.append(machine.stack)
    machine.stack = []
    begin_state(machine)


def _pop(machine: Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


def _pop_mark(machine: Machine) -> None:
    machine.pop_mark()


def _duplicate(machine: Machine) -> None:
    machine.stack.append(machine.stack[-1])


def _empty_list(machine: Machine) -> None:
    machine.stack.append([])


def _empty_dict(machine: Machine) -> None:
    machine.stack.append({})


def _tuple(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.stack.append(tuple(map(plain, items)))


def _tuple1(machine: Machine) -> None:
    machine.stack[-1] = (plain(machine.stack[-1]),)


def _tuple2(machine: Machine) -> None:
    last = machine.stack.pop()
    machine.stack[-1] = (plain(machine.stack[-1]), plain(last))


def _tuple3(machine: Machine) -> None:
    last = machine.stack.pop()
    middle = machine.stack.pop()
    machine.stack[-1] = (plain(machine.stack[-1]), plain(middle), plain(last))


def _list(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.stack.append(list(map(plain, items)))


def _dict(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.stack.append({})
    _set_items(machine, items)


def _append(machine: Machine) -> None:
    _extend(machine, [machine.stack.pop()])


def _appends(machine: Machine) -> None:
    ends_state = machine.state_level and machine.state_level == len(machine.stacks)
    _extend(machine, end_state(machine) if ends_state else machine.pop_mark())


def _extend(machine: Machine, items: list[object]) -> None:
    target = machine.stack[-1]
    if type(target) is Inert:
        return
    if type(target) is not list:
        raise RequestError("the pickle is malformed: APPEND to something that is not a list")
    target.extend(map(plain, items))


def _set_item(machine: Machine) -> None:
    value = machine.stack.pop()
    _set_items(machine, [machine.stack.pop(), value])
    end_item(machine)


def _set_items_above_mark(machine: Machine) -> None:
    _set_items(machine, machine.pop_mark())


def _set_items(machine: Machine, items: list[object]) -> None:
    target = machine.stack[-1]
    if type(target) is Inert:
        return
    if type(target) is not dict or len(items) % 2:
        raise RequestError("the pickle is malformed: SETITEM without a dict, or a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if (
            type(key) is str
            or (type(key) is int and abs(key) < _MAX_INT_KEY)
            or key is None
            or type(key) is bool
        ):
            target[key] = plain(value)
        elif not machine.state_level:
            raise RequestError("a dict in the pickle has a key that is not text, a small integer or None")


def _put(machine: Machine, index: int) -> None:
    machine.memo[index] = machine.stack[-1]


def _memoize(machine: Machine) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _put1(machine: Machine) -> None:
    machine.memo[machine.raw[machine.advance(1)]] = machine.stack[-1]


def _memo_index(machine: Machine) -> int:
    line = machine.line(10)
    if not INTEGER.fullmatch(line):
        raise RequestError("the pickle is malformed: a memo index that is not a number")
    return int(line)


def _put_line(machine: Machine) -> None:
    _put(machine, _memo_index(machine))


def _get(machine: Machine, index: int) -> None:
    value = machine.memo[index]
    if type(value) is Pending and value.value is not None:
        value = value.value
    elif type(value) is Inert and not machine.state_level:
        raise value.error()
    machine.stack.append(value)


def _get_line(machine: Machine) -> None:
    _get(machine, _memo_index(machine))


def _global_lines(machine: Machine) -> None:
    module = machine.line().decode("utf-8")
    machine.stack.append(name_of(machine, module, machine.line().decode("utf-8")))


def _stack_global(machine: Machine) -> None:
    name = machine.stack.pop()
    machine.stack[-1] = name_of(machine, machine.stack[-1], name)


def _make(machine: Machine, make: Callable[[object, object], object]) -> None:
    """Replace the two topmost values by what `make` returns for them."""
    last = machine.stack.pop()
    target = machine.stack[-1]
    if type(target) is Inert:
        return
    try:
        machine.stack[-1] = make(target, last)
    except RequestError as problem:
        machine.stack[-1] = or_inert(machine, problem)


def _reduce(machine: Machine) -> None:
    _make(machine, values.call)
    value = machine.stack[-1]
    if type(value) is bytes:
        # A long text that is fetched from the memo and encoded many times would fill the memory.
        machine.encode_budget -= len(value)
        if machine.encode_budget < 0:
            raise RequestError("the pickle is malformed: it encodes more bytes than it has")


def _new_object(machine: Machine) -> None:
    _make(machine, values.new)


def _build(machine: Machine) -> None:
    _make(machine, values.build)


STEPS: list[Step | None] = [None] * 256
"""The functions of opcodes, by their bytes; None for those that are refused."""
for _opcode, _step in {
    **SCALAR_STEPS,
    pickle.PROTO: _proto,
    pickle.FRAME: counted(_frame, UINT64),
    pickle.MARK: _mark,
    pickle.POP: _pop,
    pickle.POP_MARK: _pop_mark,
    pickle.DUP: _duplicate,
    pickle.EMPTY_TUPLE: constant(()),
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
    pickle.LONG_BINPUT: counted(_put, UINT32),
    pickle.GET: _get_line,
    pickle.BINGET: counted_by_byte(_get),
    pickle.LONG_BINGET: counted(_get, UINT32),
    pickle.GLOBAL: _global_lines,
    pickle.STACK_GLOBAL: _stack_global,
    pickle.REDUCE: _reduce,
    pickle.NEWOBJ: _new_object,
    pickle.BUILD: _build,
}.items():
    STEPS[_opcode[0]] = _step
