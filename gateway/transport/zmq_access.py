"""Who may come in on port 5555: each handshake is decided by the address and, with CURVE, the client's key.

libzmq asks by its authentication protocol (ZAP, RFC 27); pyzmq's own authenticator speaks it.
"""

import asyncio
import contextlib
import itertools
import logging

import zmq
from zmq.auth import Authenticator

from gateway.telemetry.port_metrics import PortMetrics
from gateway.transport.networks import Networks
from gateway.transport.zmq_keys import CurveKeys

logger = logging.getLogger(__name__)

# libzmq asks nobody about clients without CURVE unless the socket has a domain.
DOMAIN = "nitrogen"

_ACCEPTED = b"200"
_REFUSED = b"400"
_FAILED = b"500"


class AccessControl(Authenticator):
    """Answers libzmq's questions about new connections, on the event loop.

    Every message of an accepted connection carries the user id that it got here: `NUMBER ADDRESS USER`, in
    which the number is the connection's alone and USER is the CURVE key, or "anonymous".

    `context`: that of the socket. `keys`: None when clients need none.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        networks: Networks,
        keys: CurveKeys | None,
        metrics: PortMetrics,
    ) -> None:
        super().__init__(context, log=logger)
        self._networks = networks
        self._metrics = metrics
        self._numbers = itertools.count(1)
        self._address = ""
        self._loop = asyncio.get_running_loop()
        self._readable = asyncio.Event()
        if keys is not None:
            self.configure_curve_callback(DOMAIN, keys)

    def start(self) -> None:
        """Begin to answer; before the socket is bound."""
        super().start()
        self._loop.add_reader(self.zap_socket.FD, self._readable.set)
        self._task = asyncio.create_task(self._answer_all())

    def stop(self) -> None:
        """Answer no more; after the socket is closed."""
        self._task.cancel()
        self._loop.remove_reader(self.zap_socket.FD)
        super().stop()

    async def handle_zap_message(self, msg: list[bytes]) -> None:
        """Answer one question: by the address first, then as pyzmq does."""
        if len(msg) < 6:
            return await super().handle_zap_message(msg)
        self._address = msg[3].decode("ascii", "replace")
        if not self._networks.allows(self._address):
            return self._refuse(msg[1], "network")
        return await super().handle_zap_message(msg)

    async def _answer_all(self) -> None:
        while True:
            try:
                message = self.zap_socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                # The descriptor tells of what comes from now on.
                self._readable.clear()
                await self._readable.wait()
                continue
            try:
                await self.handle_zap_message(message)
            except Exception:
                logger.exception("a handshake failed in a way that was not foreseen")
                with contextlib.suppress(zmq.ZMQError):
                    self._send_zap_reply(message[1], _FAILED, b"internal error")
            # A crowd at the door holds nobody up who is inside.
            await asyncio.sleep(0)

    def _refuse(self, request_id: bytes, reason: str) -> None:
        self._metrics.refused(reason)
        logger.info("a connection from %s is refused: %s", self._address, reason)
        super()._send_zap_reply(request_id, _REFUSED, b"NO ACCESS")

    def _send_zap_reply(
        self, request_id: bytes, status_code: bytes, status_text: bytes, user_id: str = "anonymous"
    ) -> None:
        """Send an answer of pyzmq's: with the user id that tells the connection, or counted as a refusal."""
        if status_code == _REFUSED:
            return self._refuse(request_id, "key")
        numbered = f"{next(self._numbers)} {self._address} {user_id}"
        return super()._send_zap_reply(request_id, status_code, status_text, numbered)
