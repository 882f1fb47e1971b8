"""Port 5556's BizHawk format: any bytes are events, and the same events in whatever pieces they come."""

from functools import partial

from gateway.protocol.tcp.bizhawk_stream import BizHawkStream
from tests.fuzz.pieces import check_pieces

MAX_BYTES = 1024

check = partial(
    check_pieces, partial(BizHawkStream, max_header_bytes=200, max_header_depth=4, max_image_bytes=400)
)
