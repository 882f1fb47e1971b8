"""The connection to Triton: one gRPC channel for all models and all Tritons, and its calls.

The channel balances between the Tritons, see `target`. When host names get other addresses, a new channel
replaces it; calls on the old channel end there.
"""

import asyncio
import contextlib
import logging
from typing import Any, Self

import grpc

from contract.endpoint import Endpoint
from contract.triton_key import TritonKey
from gateway.errors import StoppingError, TritonUnavailableError
from gateway.settings import GatewaySettings
from gateway.triton.credentials import TlsFiles
from gateway.triton.failures import KeyRefusedError, failure
from gateway.triton.key import KeyFile
from gateway.triton.liveness import Liveness, watch
from gateway.triton.look_up import LookUp
from gateway.triton.rpc import RequestT, ResponseT, Rpc
from gateway.triton.shared_memory import SharedFrames
from gateway.triton.target import Options, channel_options, is_address, target_of
from gateway.triton.this_host import may_share, require_local
from gateway.triton.tracing import Metadata, start_tracing

logger = logging.getLogger(__name__)

# How often host names are looked up, how soon without a connection, and how long the start waits for them.
_LOOK_UP_PERIOD_S = 2.0
_LOOK_UP_PAUSE_S = 0.5
_LOOK_UP_TIMEOUT_S = 2.0
# How long a replaced channel stays open for its calls: beyond the longest deadline.
_REPLACED_S = 30.0


class TritonConnection:
    """The calls to one Triton, or to several that serve the same models.

    `start` and `close` run in the event loop that uses it.

    Args:
        endpoints: those of the gRPC services.
        tls: the files for TLS.
        key_file: for restricted protocols.
        otlp_endpoint: HOST:PORT of a collector of traces.
        shared_slots: how many requests' frames may be in shared memory at once; 0 for none.
        must_share: whether it is an error if there is no shared memory.

    Raises:
        StartError: the settings for TLS, tracing or shared memory cannot be used.
    """

    def __init__(
        self,
        *endpoints: Endpoint,
        tls: TlsFiles | None = None,
        key_file: KeyFile | None = None,
        otlp_endpoint: str | None = None,
        shared_slots: int = 0,
        must_share: bool = True,
    ) -> None:
        self.endpoint = ",".join(map(str, endpoints))
        # Whether another Triton may answer a call that one refused: a single address has no other.
        self.is_balanced = len(endpoints) > 1 or not is_address(endpoints[0])
        # Grows when a connection is lost: later answers may come from another Triton.
        self.epoch = 0
        self._endpoints = endpoints
        self._credentials = None if tls is None else tls.credentials()
        self._options = channel_options(endpoints, with_tls=tls is not None)
        self._names = LookUp(endpoints)
        self._key_file = key_file
        self._liveness = Liveness(self._options, self._channel_to, self._key_metadata, self._one_lost)
        self._lost = asyncio.Event()
        self._tracer = None if otlp_endpoint is None else start_tracing(otlp_endpoint)
        self.shared_frames: SharedFrames | None = None
        self._must_share = must_share
        if shared_slots and must_share:
            require_local(endpoints)
        if shared_slots and (must_share or may_share(endpoints)):
            self.shared_frames = SharedFrames(self.call, shared_slots, is_required=must_share)

    @classmethod
    def from_settings(cls, settings: GatewaySettings) -> Self:
        """Return the connection that the settings describe, not yet started; raise StartError as above."""
        files = TlsFiles(settings.triton_tls_ca, settings.triton_tls_cert, settings.triton_tls_key)
        return cls(
            *settings.triton_endpoints,
            tls=files if settings.triton_tls else None,
            key_file=None if settings.triton_key_file is None else KeyFile(settings.triton_key_file),
            otlp_endpoint=settings.otlp_endpoint,
            shared_slots=0 if settings.triton_shared_memory is False else settings.max_in_flight,
            must_share=settings.triton_shared_memory is True,
        )

    async def start(self) -> None:
        """Open the channel, without waiting for Triton.

        Raises:
            StartError: there is no room for the shared memory.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_UP_TIMEOUT_S):
                await self._names.refresh()
        if self.shared_frames is not None and self._must_share:
            self.shared_frames.open()
        self._open()
        self._closing: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        if not all(map(is_address, self._endpoints)):
            self._tasks.append(asyncio.create_task(self._follow_names()))
        if self.shared_frames is not None:
            self._tasks.append(asyncio.create_task(self.shared_frames.keep_registered()))
        self._liveness.follow(self._names.addresses)

    async def close(self) -> None:
        """Cancel the calls in flight and close the channel."""
        tasks = (*self._tasks, *self._closing, self._watcher)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        closing = [self._liveness.close()]
        if self.shared_frames is not None:
            closing.append(self.shared_frames.close())
        if self._tracer is not None:
            closing.append(asyncio.to_thread(self._tracer.close))
        await asyncio.gather(*closing)
        await self._channel.close()

    def endpoints_up(self) -> dict[tuple[str, str], bool]:
        """Return whether each address of each endpoint answered within the last few seconds."""
        return self._liveness.up()

    async def call(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        timeout_s: float,
        subject: str,
        *,
        model: str = "",
        request_id: str = "",
    ) -> ResponseT:
        """Return the response to a request.

        Args:
            rpc: the method.
            request: the method's message.
            timeout_s: seconds for the answer.
            subject: what the request is about, in words for an error.
            model: for the trace.
            request_id: for the trace.

        Raises:
            TritonUnavailableError: Triton cannot be reached.
            NotServedError: Triton does not have the subject.
            DeadlineError: no answer within `timeout_s` seconds.
            BusyError: Triton has too many requests waiting.
            ModelError: Triton failed.
        """
        method = self._method(rpc)
        key = self._key_metadata() if rpc.shows_key else None
        try:
            if self._tracer is None:
                return await method(request, timeout=timeout_s, metadata=key)
            with self._tracer.span(rpc.name, model, request_id) as trace:
                return await method(request, timeout=timeout_s, metadata=trace + (key or ()))
        except grpc.aio.AioRpcError as error:
            problem = failure(
                error, self.endpoint, timeout_s, subject, key=self._key, shows_key=rpc.shows_key
            )
            if isinstance(problem, KeyRefusedError) and self._key_file is not None:
                self._key_file.read_again()
            raise problem from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # The caller did not cancel it: the channel was replaced or closed.
            raise TritonUnavailableError("the call to Triton was cut off: send the request again") from None
        except grpc.aio.UsageError as error:
            raise StoppingError("the gateway is stopping: send the request again") from error

    @property
    def _key(self) -> TritonKey | None:
        return None if self._key_file is None else self._key_file.key

    def _key_metadata(self) -> Metadata | None:
        return None if self._key is None else self._key.metadata

    def _open(self) -> None:
        self._channel = self._channel_to(self._target(), self._options)
        self._methods: dict[Rpc[Any, Any], Any] = {}
        self._watcher = asyncio.create_task(watch(self._channel, self._own_lost))

    def _method(
        self, rpc: Rpc[RequestT, ResponseT]
    ) -> "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]":
        if rpc not in self._methods:
            self._methods[rpc] = rpc.on(self._channel)
        method: grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT] = self._methods[rpc]
        return method

    def _target(self) -> str:
        return target_of(self._endpoints, self._names.addresses)

    def _channel_to(self, target: str, options: Options) -> grpc.aio.Channel:
        if self._credentials is None:
            return grpc.aio.insecure_channel(target, options=options)
        return grpc.aio.secure_channel(target, self._credentials, options=options)

    def _own_lost(self) -> None:
        logger.warning("lost the connection to Triton at %s", self.endpoint)
        self._lost.set()
        self._new_epoch()

    def _one_lost(self) -> None:
        """Begin a new epoch when one of several Tritons is lost; a single one's channel notices itself."""
        if self._liveness.count > 1:
            self._new_epoch()

    def _new_epoch(self) -> None:
        self.epoch += 1
        if self.shared_frames is not None:
            self.shared_frames.lost()

    async def _follow_names(self) -> None:
        """Open a new channel when host names have got other addresses."""
        while True:
            await self._wait_before_looking_up()
            if not await self._names.refresh():
                continue
            logger.info("Triton at %s has new addresses: %s", self.endpoint, self._target())
            self._liveness.follow(self._names.addresses)
            replaced = self._channel
            self._watcher.cancel()
            self._open()
            self._new_epoch()
            closing = asyncio.create_task(replaced.close(_REPLACED_S))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _wait_before_looking_up(self) -> None:
        """Wait for the period, or less without a connection: Triton may come back at another address."""
        await asyncio.sleep(_LOOK_UP_PAUSE_S)
        if self._channel.get_state() is grpc.ChannelConnectivity.READY:
            self._lost.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_UP_PERIOD_S - _LOOK_UP_PAUSE_S):
                    await self._lost.wait()
