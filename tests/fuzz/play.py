"""Port 5557's messages of browsers: each text gets one answer, whatever comes before and after it."""

from gateway.errors import RequestError
from gateway.protocol.messages import Reply
from gateway.protocol.web.play import PlayMessages

MAX_BYTES = 1024
# The byte between two messages; a binary one begins with the other byte.
_BETWEEN = b"\xff"
_BINARY = b"\xfe"

SEEDS = tuple(
    _BETWEEN.join(messages)
    for messages in (
        [b'{"type":"predict","format":"rgba","id":7}', _BINARY + b"RGBA"],
        [b'{"type":"predict","len":4,"resize_mode":"crop","seed":1,"game":null}', _BINARY + b"file"],
        [b'{"type":"predict","format":"rgb"}', b'{"type":"info","id":"x"}'],
        [b'{"type":"played","tick":3,"rows":[{"by":"human","buttons":[],"j_left":[0,0]}]}'],
        [b'{"type":"hello","token":"x"}', _BINARY],
        [b'{"type":"reset","model":"nitrogen","timing":true}', b"[]", b""],
    )
)


def check(data: bytes) -> None:
    """Fail on any exception, on a text without its one answer, and on a refusal that repeats much."""
    messages = PlayMessages(max_header_bytes=300, max_header_depth=4, max_image_bytes=100)
    texts = answers = strays = 0
    for message in data.split(_BETWEEN):
        is_text = not message.startswith(_BINARY)
        found = messages.receive(message, is_text=is_text)
        texts += is_text
        answers += len(found)
        for one in found:
            text = one.encode(Reply(error=str(one.event) if isinstance(one.event, RequestError) else None))
            assert text.data.startswith(b"{")
            assert len(text.data) < 2000
            strays += "came without" in str(one.event)
    assert texts - 1 <= answers - strays <= texts
