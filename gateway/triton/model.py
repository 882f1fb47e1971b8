"""One model in Triton: its facts, read from its config, and its inference.

Facts are stale when the connection was lost or a call has failed, because another checkpoint may answer next.
A request names the version that its facts describe, so a Triton that has swapped it refuses the request
instead of misreading it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from tritonclient.grpc import service_pb2

from gateway.errors import BusyError, DeadlineError, GatewayError, NotServedError
from gateway.protocol.messages import ActionChunk
from gateway.triton.connection import TritonConnection
from gateway.triton.facts import ModelFacts, facts_from_config
from gateway.triton.failures import SharedMemoryLostError
from gateway.triton.rpc import MODEL_CONFIG, MODEL_INFER, MODEL_READY
from gateway.triton.tensors import ModelInputs, RequestTemplate, ResponseReader

logger = logging.getLogger(__name__)

_FACTS_TIMEOUT_S = 2.0


class TritonModel:
    """One model of the Triton behind a connection.

    `on_new_facts` is called with facts that are new or have changed.
    """

    def __init__(self, connection: TritonConnection, name: str) -> None:
        self.name = name
        self.on_new_facts: Callable[[ModelFacts], None] | None = None
        self._connection = connection
        self._subject = f"the model {name!r}"
        self._facts: ModelFacts | None = None
        # The template and the reader for the last request's facts.
        self._messages: tuple[RequestTemplate, ResponseReader] | None = None
        # Facts are fresh in the connection's epoch in which they were read, until a call fails. Then only a
        # later reading will do, so readings are numbered.
        self._facts_epoch = -1
        self._facts_number = 0
        self._least_number = 1
        self._begun = 0
        self._reading: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Stop reading facts."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    @property
    def is_balanced(self) -> bool:
        """Whether another Triton may answer a request that one refused."""
        return self._connection.is_balanced

    @property
    def known_facts(self) -> ModelFacts | None:
        """The last known facts, maybe of a Triton that has gone; None if they were never read."""
        return self._facts

    async def fresh_facts(self) -> ModelFacts:
        """Return the facts of the Triton that answers now; read them again if they are stale.

        Raises:
            TritonUnavailableError, DeadlineError: Triton did not give them.
            ModelError: the model is not an exported NitroGen model.
        """
        return await self._facts_since(self._least_number)

    async def read_facts(self) -> ModelFacts:
        """Read the facts again and return them; raise the errors of `fresh_facts`."""
        return await self._facts_since(self._begun + 1)

    async def infer(
        self,
        facts: ModelFacts,
        inputs: ModelInputs,
        timeout_s: float,
        request_id: str = "",
    ) -> ActionChunk:
        """Return the action chunk for a client's frames.

        Cancelling the caller cancels the call in Triton, too.

        Args:
            facts: those from `fresh_facts` that the inputs were made for.
            inputs: frames, noise and the rest.
            timeout_s: seconds for the answer.
            request_id: its name in Triton's log.

        Raises:
            TritonUnavailableError: Triton cannot be reached.
            NotServedError: Triton does not serve the model, or no longer the facts' version.
            DeadlineError: no answer within `timeout_s` seconds.
            BusyError: Triton has too many requests waiting.
            ModelError: the model failed, or its output is unusable.
        """
        epoch = self._connection.epoch
        if self._messages is None or self._messages[0].facts is not facts:
            self._messages = RequestTemplate(facts), ResponseReader(facts)
        template, reader = self._messages
        # If Triton does not hear of a cancellation, it still drops the request in time.
        timeout_us = max(1, int(timeout_s * 1e6))
        shared = self._connection.shared_frames
        slot = None if shared is None else shared.take(template.stacked(inputs.frames))
        try:
            response = None
            if slot is not None:
                with contextlib.suppress(SharedMemoryLostError), slot:
                    message = template.message(inputs, request_id, timeout_us, slot)
                    response = await self._call(message, timeout_s, request_id)
            if response is None:
                # Triton has forgotten the region.
                message = template.message(inputs, request_id, timeout_us)
                response = await self._call(message, timeout_s, request_id)
            chunk = reader.chunk(response)
        except (DeadlineError, BusyError):
            raise
        except GatewayError:
            self._least_number = self._begun + 1
            raise
        if epoch != self._connection.epoch and await self.fresh_facts() != facts:
            raise NotServedError("Triton came back with another model: send the request again")
        return chunk

    def _call(
        self, message: bytes, timeout_s: float, request_id: str
    ) -> Awaitable[service_pb2.ModelInferResponse]:
        return self._connection.call(
            MODEL_INFER, message, timeout_s, self._subject, model=self.name, request_id=request_id
        )

    async def ready(self) -> str | None:
        """Return None if Triton's model answers and its facts are usable, else the reason why not."""
        request = service_pb2.ModelReadyRequest(name=self.name)
        try:
            response = await self._connection.call(
                MODEL_READY, request, _FACTS_TIMEOUT_S, self._subject, model=self.name
            )
            if not response.ready:
                return f"Triton at {self._connection.endpoint} has no ready model {self.name!r}"
            await self.fresh_facts()
        except GatewayError as error:
            return str(error)
        return None

    async def _facts_since(self, number: int) -> ModelFacts:
        """Return the facts of the reading with this number, or of a later one."""
        while (
            self._facts is None or self._facts_epoch != self._connection.epoch or self._facts_number < number
        ):
            if self._reading is None:
                self._begun += 1
                self._reading = asyncio.create_task(self._read(self._begun))
                # Mark its error as seen, even if nobody waits for it any more.
                self._reading.add_done_callback(lambda task: task.cancelled() or task.exception())
            # Shielded: others wait for the same reading, so one client's deadline must not cancel it.
            await asyncio.shield(self._reading)
        return self._facts

    async def _read(self, number: int) -> None:
        request = service_pb2.ModelConfigRequest(name=self.name)
        epoch = self._connection.epoch
        try:
            response = await self._connection.call(
                MODEL_CONFIG, request, _FACTS_TIMEOUT_S, self._subject, model=self.name
            )
            facts = facts_from_config(response.config)
        finally:
            self._reading = None
        if facts == self._facts:
            facts = self._facts  # the same object: whatever was made from it stays valid
        else:
            logger.info(
                "Triton at %s serves %s (version %s): checkpoint %s, horizon %d, context of %d, %d games",
                self._connection.endpoint,
                self.name,
                facts.version or "unknown",
                facts.checkpoint_path,
                facts.horizon,
                facts.context_length,
                max(0, len(facts.games) - 1),
            )
            if self.on_new_facts is not None:
                self.on_new_facts(facts)
        self._facts, self._facts_epoch, self._facts_number = facts, epoch, number
