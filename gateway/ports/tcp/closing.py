"""How a connection of port 5556 ends, so that its last reply arrives and its client understands the end."""

import asyncio
import contextlib

from gateway.ports.sockets import end_by_reset

# Seconds that a connection is read after an error: unread bytes would reset it before the error arrives.
_DISCARD_S = 2.0
_DISCARD_WHEN_STOPPING_S = 0.3
# EmuHawk stands still meanwhile.
_DISCARD_BIZHAWK_S = 0.5


class Closing:
    """The end of one connection: by a reset for EmuHawk, in order for others; `transport` is its own."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._is_bizhawk = False
        self._client_has_ended = False
        self._discard_s = _DISCARD_S
        # No reply is pending, so a reset is safe; and a silent client may be EmuHawk.
        self._end_by_reset(wanted=True)

    def client_is_known(self, *, is_bizhawk: bool) -> None:
        """Take note of what the client speaks."""
        self._is_bizhawk = is_bizhawk
        self._end_by_reset(wanted=is_bizhawk)

    def client_ended(self) -> None:
        """Note that the client has sent all it will: it asks no more, and its replies are to arrive."""
        self._client_has_ended = True
        self._end_by_reset(wanted=False)

    def hurry(self) -> None:
        """Wait less for a client that still sends: the gateway stops."""
        self._discard_s = _DISCARD_WHEN_STOPPING_S

    def close(self, *, read_paused: bool) -> None:
        """Close, after the last reply; what the client still sends is read and thrown away first."""
        discard_s = self._discard_s
        if self._is_bizhawk:
            discard_s = min(discard_s, _DISCARD_BIZHAWK_S)
        else:
            self._end_by_reset(wanted=False)
        if read_paused and not self._client_has_ended:
            self._transport.resume_reading()
        if self._client_has_ended or self._transport.is_closing():
            self._transport.close()
        elif not self._is_bizhawk and self._transport.can_write_eof():
            with contextlib.suppress(OSError):
                self._transport.write_eof()
        asyncio.get_running_loop().call_later(discard_s, self._transport.abort)

    def _end_by_reset(self, *, wanted: bool) -> None:
        """Choose the end now, because the kernel ends the connections of a gateway that is killed."""
        if not self._transport.is_closing():
            end_by_reset(self._transport.get_extra_info("socket"), wanted=wanted)
