"""The Triton client: one gRPC channel to one model, whose facts are kept up to date.

Facts are read from the model's config. They are stale whenever the channel has left READY or a call has
failed, for what comes back may serve another checkpoint; whoever needs fresh facts reads them first.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from gateway.errors import DeadlineError, GatewayError, ModelError, ServerError, TritonUnavailableError
from gateway.facts import ModelFacts, facts_from_config
from gateway.messages import ActionChunk
from gateway.tensors import action_chunk, infer_request

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

_RETRY_S = 0.5
_FACTS_TIMEOUT_S = 2.0
_MAX_DETAIL_CHARACTERS = 300


class TritonModel:
    """One model of one Triton server.

    `endpoint`: HOST:PORT of its gRPC service. `start` and `close` run in the event loop that uses it.
    """

    def __init__(self, endpoint: str, model: str) -> None:
        self.endpoint = endpoint
        self.model = model
        self._facts: ModelFacts | None = None
        # Each change of the connection opens a new epoch; facts are fresh in the epoch of their reading.
        self._epoch = 0
        self._facts_epoch = -1
        self._stale = asyncio.Event()
        self._stale.set()
        self._reading: asyncio.Task[ModelFacts] | None = None
        self._watchers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the channel and begin to keep the facts up to date; does not wait for Triton."""
        self._channel = grpc.aio.insecure_channel(self.endpoint, options=CHANNEL_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._watchers = [asyncio.create_task(self._watch_channel()), asyncio.create_task(self._keep_facts())]

    async def close(self) -> None:
        """Cancel the calls in flight and close the channel."""
        tasks = [*self._watchers, *([self._reading] if self._reading else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._channel.close()

    @property
    def known_facts(self) -> ModelFacts | None:
        """The last known facts, perhaps of a Triton that has gone; None when they were never read."""
        return self._facts

    async def fresh_facts(self) -> ModelFacts:
        """Return the facts of the Triton that answers now; they are read again when they are stale.

        Raises:
            TritonUnavailableError, DeadlineError: Triton did not tell them.
            ModelError: the model is no exported NitroGen model.
        """
        while self._facts is None or self._facts_epoch != self._epoch:
            if self._reading is None:
                self._reading = asyncio.create_task(self._read_facts())
                # Also when nobody waits for it any more, its error counts as seen.
                self._reading.add_done_callback(lambda task: task.cancelled() or task.exception())
            # Shielded: others wait for the same reading, so one client's deadline must not cancel it.
            await asyncio.shield(self._reading)
        return self._facts

    async def infer(
        self,
        facts: ModelFacts,
        frames: Sequence[bytes],
        game_id: int,
        noise: NDArray[np.float32],
        timeout_s: float,
    ) -> ActionChunk:
        """Return the action chunk for a client's frames.

        `facts`: what `fresh_facts` returned just now. `frames`: 1 to K frames as (256, 256, 3) uint8 bytes,
        newest last. `noise`: (H, 25) float32. Cancelling the caller cancels the call in Triton too.

        Raises:
            TritonUnavailableError: Triton cannot be reached, does not serve the model, or now serves another.
            DeadlineError: no answer within `timeout_s` seconds.
            ModelError: the model failed, or gave an output that is unusable.
        """
        epoch = self._epoch
        request = infer_request(facts, frames, game_id, noise)
        response = await self._call(self._stub.ModelInfer, request, timeout_s)
        try:
            chunk = action_chunk(facts, response)
        except ModelError:
            self._mark_stale()
            raise
        if epoch != self._epoch and await self.fresh_facts() != facts:
            raise TritonUnavailableError(
                "Triton came back with another model meanwhile: send the request again"
            )
        return chunk

    async def ready(self) -> str | None:
        """Return None when Triton's model answers and its facts are usable, else the reason why not."""
        request = service_pb2.ModelReadyRequest(name=self.model)
        try:
            response = await self._call(self._stub.ModelReady, request, _FACTS_TIMEOUT_S)
            if not response.ready:
                return f"Triton at {self.endpoint} has no ready model {self.model!r}"
            await self.fresh_facts()
        except GatewayError as error:
            return str(error)
        return None

    def _mark_stale(self) -> None:
        self._epoch += 1
        self._stale.set()

    async def _call(self, method: Callable[..., Any], request: object, timeout_s: float) -> Any:  # noqa: ANN401 - the stub is untyped
        """Return a call's response, or raise the gateway's error for what went wrong."""
        try:
            return await method(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise self._error(error, timeout_s) from error
        except grpc.aio.UsageError as error:
            raise TritonUnavailableError("the gateway is stopping: send the request again") from error

    def _error(self, error: grpc.aio.AioRpcError, timeout_s: float) -> ServerError:
        lines = (error.details() or "no details").strip().splitlines()
        # A TorchScript traceback says what happened in its last line, everything else in its first.
        line = lines[-1] if "Traceback" in lines[0] else lines[0]
        detail = line.rpartition("last error: ")[2][:_MAX_DETAIL_CHARACTERS]
        where = f"Triton at {self.endpoint}"
        code = error.code()
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineError(f"{where} gave no answer within {timeout_s:.1f} s: send the request again")
        self._mark_stale()
        if code is grpc.StatusCode.UNAVAILABLE:
            return TritonUnavailableError(f"{where} is unavailable ({detail}): check that it runs there")
        if code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED):
            return TritonUnavailableError(f"{where} does not serve the model {self.model!r} ({detail})")
        if code is grpc.StatusCode.CANCELLED:
            return TritonUnavailableError(f"the call to {where} was cancelled: send the request again")
        return ModelError(f"{where} failed to run the model {self.model!r} ({code.name}: {detail})")

    async def _read_facts(self) -> ModelFacts:
        """Read the facts, again when the connection changed meanwhile."""
        try:
            request = service_pb2.ModelConfigRequest(name=self.model)
            while True:
                epoch = self._epoch
                response = await self._call(self._stub.ModelConfig, request, _FACTS_TIMEOUT_S)
                facts = facts_from_config(response.config)
                if epoch == self._epoch:
                    break
        finally:
            self._reading = None
        if facts != self._facts:
            logger.info(
                "Triton at %s serves %s: checkpoint %s, horizon %d, context of %d frames, %d games",
                self.endpoint,
                self.model,
                facts.checkpoint_path,
                facts.horizon,
                facts.context_length,
                max(0, len(facts.games) - 1),
            )
        self._facts, self._facts_epoch = facts, epoch
        self._stale.clear()
        return facts

    async def _watch_channel(self) -> None:
        """Mark the facts stale whenever the channel leaves READY, and keep it connecting."""
        while True:
            state = self._channel.get_state(try_to_connect=True)
            await self._channel.wait_for_state_change(state)
            # Every return is a change, even when the channel is READY again by now.
            if state is grpc.ChannelConnectivity.READY:
                logger.warning("the connection to Triton at %s is lost", self.endpoint)
                self._mark_stale()

    async def _keep_facts(self) -> None:
        """Read stale facts until it succeeds, so that `info` knows them soon after a start."""
        reported = ""
        while True:
            await self._stale.wait()
            try:
                await self.fresh_facts()
                if reported:
                    logger.info("Triton at %s is back", self.endpoint)
                reported = ""
            except GatewayError as error:
                if str(error) != reported:
                    reported = str(error)
                    logger.warning("%s", reported)
                await asyncio.sleep(_RETRY_S)
