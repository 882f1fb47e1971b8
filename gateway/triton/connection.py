"""The connection to Triton: one gRPC channel for all models, and the errors that its calls end with."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import grpc
from tritonclient.grpc import service_pb2_grpc

from gateway.errors import DeadlineError, ModelError, NotServedError, ServerError, TritonUnavailableError

logger = logging.getLogger(__name__)

# Calls never use wait_for_ready: without Triton they fail at once, and the client gets its error reply.
CHANNEL_OPTIONS: tuple[tuple[str, Any], ...] = (
    # Requests grow with the model's context (K x 192 KiB); answers are small, and gRPC's 4 MiB is plenty.
    ("grpc.max_send_message_length", -1),
    # Triton is found again within half a second of its return; the minimum also bounds one attempt.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
    # A container that comes back may have another address; gRPC's own pause between look-ups is 30 s.
    ("grpc.dns_min_time_between_resolutions_ms", 500),
    # A peer that has fallen silent is noticed while calls wait for it. Not more often, for Triton's default
    # policy takes frequent pings for abuse and closes the connection.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # The connection stays open through a night without players.
    ("grpc.client_idle_timeout_ms", 2**31 - 1),
    # A failed call becomes an error reply: repeated in silence it could reach a Triton with another model.
    ("grpc.enable_retries", 0),
    # Triton is a neighbour: a proxy meant for the web is not the way to it.
    ("grpc.enable_http_proxy", 0),
    # A connection of its own, also beside another gateway in this process.
    ("grpc.use_local_subchannel_pool", 1),
)

_MAX_DETAIL_CHARACTERS = 300
# How Triton begins its refusal of a model, or a version of one, that it does not serve.
_NOT_SERVED = "Request for unknown model"


class TritonConnection:
    """One gRPC channel to one Triton.

    `endpoint`: HOST:PORT of its gRPC service. `start` and `close` run in the event loop that uses it.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        # Grows whenever the channel has left READY: what answers from then on may be another Triton.
        self.epoch = 0

    async def start(self) -> None:
        """Open the channel; does not wait for Triton."""
        self._channel = grpc.aio.insecure_channel(self.endpoint, options=CHANNEL_OPTIONS)
        self.stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._watcher = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Cancel the calls in flight and close the channel."""
        self._watcher.cancel()
        await asyncio.gather(self._watcher, return_exceptions=True)
        await self._channel.close()

    async def call(self, method: Callable[..., Any], request: object, timeout_s: float, subject: str) -> Any:  # noqa: ANN401 - the stub is untyped
        """Return the response to a request; `method` is one of the stub's, `subject` what it is about.

        Raises:
            TritonUnavailableError: Triton cannot be reached; NotServedError: it can, but has no such subject.
            DeadlineError: no answer within `timeout_s` seconds.
            ModelError: Triton failed.
        """
        try:
            return await method(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise self._error(error, timeout_s, subject) from error
        except grpc.aio.UsageError as error:
            raise TritonUnavailableError("the gateway is stopping: send the request again") from error

    def _error(self, error: grpc.aio.AioRpcError, timeout_s: float, subject: str) -> ServerError:
        lines = (error.details() or "no details").strip().splitlines()
        # A TorchScript traceback says what happened in its last line, everything else in its first.
        line = lines[-1] if "Traceback" in lines[0] else lines[0]
        detail = line.rpartition("last error: ")[2][:_MAX_DETAIL_CHARACTERS]
        where = f"Triton at {self.endpoint}"
        code = error.code()
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineError(f"{where} gave no answer within {timeout_s:.1f} s: send the request again")
        # A version that was swapped for another is UNAVAILABLE, as is a Triton that has gone.
        if code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED) or (
            code is grpc.StatusCode.UNAVAILABLE and detail.startswith(_NOT_SERVED)
        ):
            return NotServedError(f"{where} does not serve {subject} ({detail})")
        if code is grpc.StatusCode.UNAVAILABLE:
            return TritonUnavailableError(f"{where} is unavailable ({detail}): check that it runs there")
        if code is grpc.StatusCode.CANCELLED:
            return TritonUnavailableError(f"the call to {where} was cancelled: send the request again")
        return ModelError(f"{where} failed on {subject} ({code.name}: {detail})")

    async def _watch(self) -> None:
        """Open a new epoch whenever the channel leaves READY, and keep it connecting."""
        while True:
            state = self._channel.get_state(try_to_connect=True)
            await self._channel.wait_for_state_change(state)
            # Every return is a change, even when the channel is READY again by now.
            if state is grpc.ChannelConnectivity.READY:
                logger.warning("the connection to Triton at %s is lost", self.endpoint)
                self.epoch += 1
