"""How a connection of port 5556 ends: its last reply must arrive, and its client must notice the end."""

import asyncio
import contextlib

from gateway.ports.sockets import end_by_reset

# Seconds for which a connection is read after an error: unread bytes would reset it before the error arrives.
_DISCARD_S = 2.0
_DISCARD_WHEN_STOPPING_S = 0.3
# EmuHawk is blocked in the meantime.
_DISCARD_BIZHAWK_S = 0.5


class Closing:
    """The end of one connection: a reset for EmuHawk, the usual end for others."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._is_bizhawk = False
        self._client_has_ended = False
        self._discard_s = _DISCARD_S
        # No reply is pending, so a reset is safe; a silent client may be EmuHawk.
        self._end_by_reset(wanted=True)

    def client_is_known(self, *, is_bizhawk: bool) -> None:
        """Note which format the client uses."""
        self._is_bizhawk = is_bizhawk
        self._end_by_reset(wanted=is_bizhawk)

    def client_ended(self) -> None:
        """Note that the client sends no more: its replies must still arrive."""
        self._client_has_ended = True
        self._end_by_reset(wanted=False)

    def hurry(self) -> None:
        """Wait less for a client that still sends, because the gateway is stopping."""
        self._discard_s = _DISCARD_WHEN_STOPPING_S

    def close(self, *, read_paused: bool) -> None:
        """Close after the last reply; first read and discard what the client still sends."""
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
        """Choose the end now: if the gateway is killed, the kernel ends the connection."""
        if not self._transport.is_closing():
            end_by_reset(self._transport.get_extra_info("socket"), wanted=wanted)
