"""Messages that only differ in the frame's bytes from one that was read before.

A player's messages are the same but for the frame. A format takes a frame's bytes as they are, so a message
with the same bytes before and after them is the same request.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from contract.tensors import FRAME_BYTES
from gateway.protocol.messages import Image, Request

# Clients of one kind write the same. The first half of these forms came more than once; messages that come
# once, such as those with a seed each, only push out the second half.
_MAX_FORMS = 8
_PROVEN_FORMS = 4
# Bytes around the frame; clients' messages have some 200.
MAX_BYTES = 1024


@dataclass(frozen=True, slots=True)
class _Form:
    """The bytes before and after a frame, and the request that they make."""

    before: bytes
    behind: bytes
    request: Request


class KnownMessages:
    """Remembers a few forms of messages.

    Args:
        image_of: makes an image from a frame's bytes, as reading a message does.
    """

    def __init__(self, image_of: Callable[[memoryview], Image]) -> None:
        self._image_of = image_of
        self._forms: tuple[_Form, ...] = ()

    def request(self, message: bytes | bytearray | memoryview) -> Request | None:
        """Return the request in a message of a known form, its image a view of `message`; else None."""
        around = len(message) - FRAME_BYTES
        for number, form in enumerate(self._forms):
            begin = len(form.before)
            if (
                begin + len(form.behind) == around
                and message[:begin] == form.before
                and message[begin + FRAME_BYTES :] == form.behind
            ):
                if number >= _PROVEN_FORMS:
                    self._forms = (form, *(other for other in self._forms if other is not form))
                frame = memoryview(message)[begin : begin + FRAME_BYTES]
                return replace(form.request, image=self._image_of(frame))
        return None

    def learn(self, message: bytes | bytearray | memoryview, frame_at: int, request: Request) -> None:
        """Remember the form of a message that was read; `frame_at` is where its frame's bytes begin."""
        if not 0 <= frame_at <= len(message) - FRAME_BYTES <= MAX_BYTES:
            return
        before, behind = bytes(message[:frame_at]), bytes(message[frame_at + FRAME_BYTES :])
        form = _Form(before, behind, replace(request, image=None))
        forms = self._forms
        self._forms = (*forms[:_PROVEN_FORMS], form, *forms[_PROVEN_FORMS : _MAX_FORMS - 1])
