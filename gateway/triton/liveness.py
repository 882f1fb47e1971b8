"""Whether each Triton is alive: asked every few seconds, over separate connections, for the metrics.

No request waits for it; gRPC sends requests to the Tritons that it is connected to.
"""

import asyncio
import logging
from collections.abc import Callable

import grpc
from tritonclient.grpc import service_pb2

from gateway.triton.rpc import SERVER_LIVE
from gateway.triton.target import Addresses, Options
from gateway.triton.tracing import Metadata

logger = logging.getLogger(__name__)

_PERIOD_S = 2.0
_TIMEOUT_S = 1.0

OpenChannel = Callable[[str, Options], grpc.aio.Channel]
# An endpoint as in the setting, and one of its addresses.
Place = tuple[str, str]


class Liveness:
    """Whether each address of each endpoint is alive.

    Args:
        options: those of each address's channel.
        open_channel: opens a channel to a target with options.
        metadata: returns the next call's metadata.
        on_lost: called when an address's connection is lost.
    """

    def __init__(
        self,
        options: Options,
        open_channel: OpenChannel,
        metadata: Callable[[], Metadata | None],
        on_lost: Callable[[], None],
    ) -> None:
        self._options = options
        self._open_channel = open_channel
        self._metadata = metadata
        self._on_lost = on_lost
        # None: not asked yet.
        self._up: dict[Place, bool | None] = {}
        self._watched: dict[Place, tuple[grpc.aio.Channel, tuple[asyncio.Task[None], ...]]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        # Addresses that have ever answered.
        self._lived: set[Place] = set()

    def follow(self, addresses: Addresses) -> None:
        """Ask at these addresses from now on; for a name without addresses, gRPC looks it up."""
        places = {
            (str(endpoint), str(address))
            for endpoint, found in addresses.items()
            for address in found or (endpoint,)
        }
        for place in self._watched.keys() - places:
            self._stop(place)
        for place in places - self._watched.keys():
            channel = self._open_channel(f"dns:///{place[1]}", self._options)
            self._up[place] = None
            tasks = (self._ask(place, channel), watch(channel, self._on_lost))
            self._watched[place] = channel, tuple(map(asyncio.create_task, tasks))

    async def close(self) -> None:
        """Stop asking."""
        for place in tuple(self._watched):
            self._stop(place)
        await asyncio.gather(*self._closing)

    @property
    def count(self) -> int:
        """The number of addresses that are asked."""
        return len(self._watched)

    def up(self) -> dict[Place, bool]:
        """Return whether each address answered when it was last asked; False before that.

        An address that has never answered is left out if another of its endpoint has: names often have an
        IPv6 address, on which Triton does not listen, or that of a container that is still loading.
        """
        lived = {endpoint for endpoint, _ in self._lived}
        return {
            place: bool(is_up)
            for place, is_up in sorted(self._up.items())
            if place in self._lived or place[0] not in lived
        }

    def _stop(self, place: Place) -> None:
        channel, tasks = self._watched.pop(place)
        del self._up[place]
        self._lived.discard(place)
        for task in tasks:
            task.cancel()
        closing = asyncio.create_task(_closed(channel, tasks))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _ask(self, place: Place, channel: grpc.aio.Channel) -> None:
        server_live = SERVER_LIVE.on(channel)
        request = service_pb2.ServerLiveRequest()
        while True:
            try:
                response = await server_live(request, timeout=_TIMEOUT_S, metadata=self._metadata())
                live = response.live
            except grpc.aio.AioRpcError:
                live = False
            if live is not self._up[place] and len(self._watched) > 1:
                # For a single Triton the registry logs this, and the reason, too.
                logger.log(
                    logging.INFO if live else logging.WARNING,
                    "Triton at %s %s",
                    place[1],
                    "answers" if live else "does not answer",
                )
            self._up[place] = live
            if live:
                self._lived.add(place)
            await asyncio.sleep(_PERIOD_S)


async def watch(channel: grpc.aio.Channel, on_lost: Callable[[], None]) -> None:
    """Keep a channel connecting, and call `on_lost` whenever it leaves READY; run until cancelled."""
    while True:
        state = channel.get_state(try_to_connect=True)
        await channel.wait_for_state_change(state)
        # Every return is a change, even if the channel is READY again.
        if state is grpc.ChannelConnectivity.READY:
            on_lost()


async def _closed(channel: grpc.aio.Channel, tasks: tuple[asyncio.Task[None], ...]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
    await channel.close()
