"""Whether each Triton lives: asked every few seconds, over connections of its own, for the metrics.

Nothing in a request's way waits for it; gRPC sends requests where it is connected.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from gateway.triton.target import Options

logger = logging.getLogger(__name__)

_PERIOD_S = 2.0
_TIMEOUT_S = 1.0

OpenChannel = Callable[[str, Options], grpc.aio.Channel]


class Liveness:
    """The life of each endpoint; `on_lost` is called whenever one's connection was lost.

    `open_channel`: opens a channel to a target with options; `options`: those of each endpoint's.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        options: Options,
        open_channel: OpenChannel,
        on_lost: Callable[[], None],
    ) -> None:
        self._endpoints = endpoints
        self._options = options
        self._open_channel = open_channel
        self._on_lost = on_lost
        self._up = dict.fromkeys(endpoints, False)

    def start(self) -> None:
        """Begin to ask; runs in the event loop that uses it."""
        self._channels = {
            endpoint: self._open_channel(f"dns:///{endpoint}", self._options) for endpoint in self._endpoints
        }
        self._tasks = [
            asyncio.create_task(task)
            for endpoint, channel in self._channels.items()
            for task in (self._ask(endpoint, channel), self._watch(channel))
        ]

    async def close(self) -> None:
        """Stop asking."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for channel in self._channels.values():
            await channel.close()

    def up(self) -> dict[str, bool]:
        """Return whether each endpoint answered when it was last asked; False until it was."""
        return dict(self._up)

    async def _ask(self, endpoint: str, channel: grpc.aio.Channel) -> None:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        known: bool | None = None
        while True:
            try:
                live = (await stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=_TIMEOUT_S)).live
            except grpc.aio.AioRpcError:
                live = False
            if live is not known and len(self._endpoints) > 1:
                # One Triton alone is reported on by the registry, which says also why not.
                logger.log(
                    logging.INFO if live else logging.WARNING,
                    "Triton at %s %s",
                    endpoint,
                    "lives" if live else "does not answer",
                )
            known = self._up[endpoint] = live
            await asyncio.sleep(_PERIOD_S)

    async def _watch(self, channel: grpc.aio.Channel) -> None:
        while True:
            state = channel.get_state(try_to_connect=True)
            await channel.wait_for_state_change(state)
            if state is grpc.ChannelConnectivity.READY:
                self._on_lost()
