"""Reading msgpack from strangers: plain values only, and a bounded number of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgpack

from gateway.errors import RequestError


@dataclass(frozen=True, slots=True)
class MsgpackLimits:
    """`containers`: maps and arrays in a message; `items`: in each of them; `text_bytes`: of each text.

    An empty array takes 56 bytes of memory and 1 of the message, so their number is bounded too: what remains
    is the data itself.
    """

    containers: int
    items: int
    text_bytes: int


def read_msgpack(
    data: bytes | memoryview,
    limits: MsgpackLimits,
    what: str,
    wanted: str,
    of_map: Callable[[dict[Any, Any]], object] = lambda fields: fields,
) -> object:
    """Return the value in a message.

    Args:
        data: the whole message.
        limits: what it may hold.
        what: the message's name, for the error.
        wanted: what to send instead, for the error.
        of_map: converts each map, the inner ones first.

    Raises:
        RequestError: the message is torn or malformed, has an extension type, or more than it may.
    """
    containers = 0

    def count(container: Any) -> Any:  # noqa: ANN401 - whatever the message holds
        nonlocal containers
        containers += 1
        if containers > limits.containers:
            raise ValueError(f"more than {limits.containers} maps and arrays")
        return container

    try:
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            object_hook=lambda fields: of_map(count(fields)),
            list_hook=count,
            ext_hook=_refuse_extension,
            max_bin_len=len(data),
            max_str_len=limits.text_bytes,
            max_array_len=limits.items,
            max_map_len=limits.items,
            max_ext_len=0,
        )
    except ValueError as error:  # msgpack's own errors, and text that is not UTF-8
        shown = str(error)[:200] or type(error).__name__
        raise RequestError(f"{what} is not msgpack that the gateway reads ({shown}); {wanted}") from error


def _refuse_extension(code: int, data: bytes) -> object:
    raise ValueError(f"an extension type ({code}, {len(data)} bytes)")
