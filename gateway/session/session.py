"""One client's requests: frames in order of arrival, inference at once, replies in order of the requests.

A session is the same for a TCP connection and a ZeroMQ identity. Whatever a request holds, it gets exactly
one reply: this is the edge where every exception becomes one.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gateway.contexts import FrameContext
from gateway.data_plane import DataPlane, frame_at_hand
from gateway.errors import BusyError, DeadlineError, ForeignError, GatewayError
from gateway.protocol.messages import Frame, Reply, Request
from gateway.session.admission import Admission
from gateway.session.pending_request import PendingRequest, next_request_id
from gateway.telemetry.exchange import Exchange
from gateway.telemetry.port_metrics import Port, PortMetrics

logger = logging.getLogger(__name__)

Send = Callable[[bytes], None]
Encode = Callable[[Reply], bytes]
Decoder = Callable[[], Request]

_LATE_CAUSES = {
    "decode": "the gateway's image decoders were busy: send smaller pictures, or 256x256 RGB as it is",
    "queue": "earlier requests of this client were still at Triton: wait for a reply before the next one",
    "infer": "Triton is slow or overloaded",
}
# Replies sent in one go, so that a long queue of refusals leaves the event loop to others.
_REPLIES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one client may ask for.

    `deadline_s`: seconds from a request's arrival to its reply, at the latest. `at_triton`: its requests that
    are at Triton at once. `admission`: the limit of all clients together.
    """

    deadline_s: float
    at_triton: int
    admission: Admission


class Session:
    """The requests of one client.

    `port`, `client`: their names in logs and recordings. `address`: the client's machine. `on_progress` is
    called after replies were sent, and when the session may have become idle. `record`: takes what a
    recording holds of each predict.
    """

    def __init__(
        self,
        plane: DataPlane,
        context: FrameContext,
        metrics: PortMetrics,
        limits: SessionLimits,
        *,
        port: Port,
        address: str,
        client: str,
        on_progress: Callable[[], None],
        record: Callable[[Exchange], None] | None = None,
    ) -> None:
        self.metrics = metrics
        self._plane = plane
        self._context = context
        self._limits = limits
        self._port = port
        self._address = address
        self.client = client
        self._on_progress = on_progress
        self._record = record
        self._loop = asyncio.get_running_loop()
        self._queue: deque[PendingRequest] = deque()
        self._admitted = 0
        self._turns = asyncio.Semaphore(limits.at_triton)
        # The newest request that is still being decoded; it acts on the context after all earlier ones.
        self._preparing: asyncio.Task[None] | None = None
        self._preparations: set[asyncio.Task[None]] = set()
        # One at a time, so that a client's images take turns with the others' at the decoders.
        self._decoder = asyncio.Semaphore(1)

    @property
    def in_flight(self) -> int:
        """Requests that wait for their reply; decoding that outlives its deadline counts as well."""
        return max(len(self._queue), len(self._preparations))

    @property
    def admitted(self) -> int:
        """Requests that wait for their reply and are worked on; refusals that wait for their turn are not."""
        return self._admitted

    def submit(
        self,
        incoming: Request | Reply | GatewayError | Decoder,
        send: Send,
        encode: Encode,
        *,
        arrival: float | None = None,
        receive_s: float = 0.0,
        size: int = 0,
        beside: bool = False,
    ) -> None:
        """Take the client's next request; `send` will be called once, with the bytes of its reply.

        `incoming`: the request, its reply where that is known already, what was wrong with it, or the call
        that decodes it. `encode`: a reply's bytes
        in the request's own format. `arrival`: when its last byte came, by `time.perf_counter`; now by
        default; `receive_s`: how long it took to come. `size`: its bytes. `beside`: whether decoding takes
        long enough to run beside the event loop.
        """
        arrival = time.perf_counter() if arrival is None else arrival
        record = PendingRequest(next_request_id(), send, encode, arrival, receive_s, size)
        self._queue.append(record)
        self.metrics.begun()
        if isinstance(incoming, Reply):
            self._settle(record, incoming, "ok")
            self._flush()
            return
        taken: Request | Decoder | Exception = incoming
        if not isinstance(incoming, GatewayError):
            record.is_admitted = self._limits.admission.admits(self._address, self._admitted, size)
            if not record.is_admitted:
                taken = BusyError("the gateway is busy with as many requests as it takes: try again soon")
            else:
                self._admitted += 1
                if not beside and not isinstance(incoming, Request):
                    try:
                        taken = incoming()
                    except Exception as problem:
                        taken = problem
        if isinstance(taken, Exception):
            self._settle(record, *self._failure(record, taken))
            self._flush()
            return
        preparation = None
        if not self._accept_at_once(record, taken):
            preparation = asyncio.create_task(self._prepare(record, taken, self._preparing))
            self._preparing = preparation
            self._preparations.add(preparation)
            preparation.add_done_callback(self._prepared)
            record.preparation = preparation
        record.task = asyncio.create_task(self._serve(record, preparation))

    async def drain(self) -> None:
        """Wait until every request has got its reply."""
        while self._queue:
            tasks = [one.task for one in self._queue if one.task is not None and not one.task.done()]
            await (asyncio.wait(tasks) if tasks else asyncio.sleep(0))

    def abandon(self, reason: GatewayError) -> None:
        """Answer every request that still waits with `reason`, and cancel the work for it."""
        for record in self._queue:
            if record.reply is None:
                self._settle(record, _error_reply(reason), reason.outcome)
                if record.task is not None:
                    record.task.cancel()
        while self._queue:
            self._flush()

    def close(self) -> None:
        """Drop everything: the client has gone."""
        for record in self._queue:
            if record.task is not None:
                record.task.cancel()
            self._release(record)
            self.metrics.dropped()
        self._queue.clear()
        for preparation in self._preparations:
            preparation.cancel()

    def _accept_at_once(self, record: PendingRequest, incoming: Request | Decoder) -> bool:
        """Let a request that needs no decoding act on the context, unless earlier ones are not that far."""
        if self._preparing is not None or not isinstance(incoming, Request):
            return False
        frame = None if incoming.image is None else frame_at_hand(incoming.image)
        if frame is None and incoming.image is not None:
            return False
        self._accept(record, incoming, frame)
        return True

    def _accept(self, record: PendingRequest, request: Request, frame: Frame | None) -> None:
        record.request = request
        record.frame = frame
        record.frames = self._plane.accept(request, frame, self._context)
        record.accepted = time.perf_counter()

    async def _prepare(
        self, record: PendingRequest, incoming: Request | Decoder, earlier: asyncio.Task[None] | None
    ) -> None:
        """Decode beside the event loop, then act on the context when all earlier requests have."""
        frame = None
        try:
            async with self._decoder:
                request = incoming if isinstance(incoming, Request) else await self._plane.in_thread(incoming)
                record.request = request
                if request.image is not None:
                    frame = frame_at_hand(request.image) or await self._plane.frame(request.image)
        except Exception as problem:
            # _serve, at the request's edge, raises it again.
            record.problem = problem
        if earlier is not None:
            await asyncio.wait((earlier,))
        if record.problem is None:
            self._accept(record, request, frame)

    def _prepared(self, preparation: asyncio.Task[None]) -> None:
        self._preparations.discard(preparation)
        if self._preparing is preparation:
            self._preparing = None
        if not self._queue:
            self._on_progress()

    async def _serve(self, record: PendingRequest, preparation: asyncio.Task[None] | None) -> None:
        """Bring a request to its reply; here every exception becomes one."""
        deadline = self._loop.time() + self._limits.deadline_s - (time.perf_counter() - record.arrival)
        outcome = "ok"
        try:
            async with asyncio.timeout_at(deadline):
                if preparation is not None:
                    # Waited for, never cancelled: a valid frame counts even when its reply comes too late.
                    await asyncio.wait((preparation,))
                if record.problem is not None:
                    raise record.problem
                assert record.request is not None  # noqa: S101 - for the type checker
                predicts = record.request.type == "predict"
                async with self._turns if predicts else contextlib.nullcontext():
                    record.dispatched = time.perf_counter()
                    reply = await self._plane.answer(
                        record.request, record.frames, deadline, request_id=record.id
                    )
        except (TimeoutError, DeadlineError) as problem:
            reply, outcome = self._failure(record, self._late(record, problem))
        except Exception as problem:
            reply, outcome = self._failure(record, problem)
        self._settle(record, reply, outcome)
        self._flush()

    def _late(self, record: PendingRequest, problem: Exception) -> DeadlineError:
        """The error of a request whose time is over, with what took most of it."""
        cause = _LATE_CAUSES[record.longest_wait()]
        if isinstance(problem, DeadlineError) and cause == _LATE_CAUSES["infer"]:
            return problem
        return DeadlineError(f"no answer within {self._limits.deadline_s:g} s: {cause}")

    def _settle(self, record: PendingRequest, reply: Reply, outcome: str) -> None:
        """Encode a request's reply; from now on nothing else is sent for it."""
        reply = record.with_timing(reply, time.perf_counter())
        try:
            record.encode_reply(reply)
        except Exception as problem:
            reply, outcome = self._failure(record, problem)
            record.encode_reply(reply)
        record.outcome = outcome
        record.answer = reply
        self._release(record)
        record.frames = ()

    def _release(self, record: PendingRequest) -> None:
        """Count a request as no longer worked on, once its decoding is over as well."""
        if record.preparation is not None and not record.preparation.done():
            record.preparation.add_done_callback(lambda _: self._release(record))
        elif record.is_admitted:
            record.is_admitted = False
            self._admitted -= 1
            self._limits.admission.release(self._address, record.size)

    def _flush(self) -> None:
        """Send the replies whose turn it is."""
        for _ in range(_REPLIES_AT_ONCE):
            if not self._queue or self._queue[0].reply is None:
                break
            record = self._queue.popleft()
            record.send(record.reply or b"")
            self._count(record)
        else:
            self._loop.call_soon(self._flush)
        self._on_progress()

    def _count(self, record: PendingRequest) -> None:
        """Show a request that has got its reply; the client does not wait for that."""
        now = time.perf_counter()
        kind, outcome, request = record.kind, record.outcome, record.request
        self.metrics.answered(kind, outcome, now - record.arrival)
        if request is not None and request.type == "predict":
            self.metrics.played(self.client)
            self.metrics.model_answered(*self._plane.counted_as(request.model), outcome)
            if outcome == "ok":
                self.metrics.stages(record.stages(now))
            if self._record is not None:
                self._record(record.exchange(self._port, self.client))
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s: %s", kind, outcome, extra=record.tags(self.client))

    def _failure(self, record: PendingRequest, problem: Exception) -> tuple[Reply, str]:
        """Return the reply for a request that failed, and the metrics' outcome; log what was wrong."""
        tags = record.tags(self.client)
        if isinstance(problem, GatewayError):
            # Whoever came to the wrong port comes again at once, and is told of elsewhere, once a minute.
            level = logging.DEBUG if isinstance(problem, ForeignError) else logging.INFO
            logger.log(level, "%s gets an error: %s", self.client, problem, extra=tags)
            return _error_reply(problem), problem.outcome
        logger.error("a request failed in a way that was not foreseen", exc_info=problem, extra=tags)
        text = f"internal error; the gateway's log has more of request {record.id}"
        return Reply(error=text, cause="internal"), "internal"


def _error_reply(problem: GatewayError) -> Reply:
    return Reply(error=str(problem), cause=problem.cause)
