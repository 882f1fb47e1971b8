"""The format of a client of port 5556: its first byte tells."""

from gateway.protocol.tcp.bizhawk_stream import BizHawkStream
from gateway.protocol.tcp.framed_stream import FramedStream
from gateway.protocol.tcp.json_stream import JsonStream


def stream_for(first_byte: int, **limits: int) -> FramedStream:
    """Return a connection's parser by its first byte: BizHawk's for a digit, else the JSON format's."""
    if ord("0") <= first_byte <= ord("9"):
        return BizHawkStream(**limits)
    return JsonStream(**limits)
