"""Which dialect a client of port 5556 speaks: its first byte tells."""

from typing import Unpack

from gateway.protocol.bizhawk_dialect import BizHawkDialect
from gateway.protocol.framed_stream import FramedStream, Limits
from gateway.protocol.json_dialect import JsonDialect

Dialect = FramedStream


def dialect_for(first_byte: int, **limits: Unpack[Limits]) -> Dialect:
    """The parser for a connection whose first byte this is: BizHawk's for a digit, else the JSON dialect."""
    if ord("0") <= first_byte <= ord("9"):
        return BizHawkDialect(**limits)
    return JsonDialect(**limits)
