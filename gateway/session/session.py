"""One client's requests: frames in order of arrival, inference at once, replies in order of the requests.

TCP connections, WebSockets and ZeroMQ identities have the same sessions. Whatever a request holds, it gets
exactly one reply: every exception becomes one here.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gateway.contexts import Context
from gateway.data_plane import DataPlane
from gateway.errors import BusyError, DeadlineError, ForeignError, GatewayError
from gateway.protocol.messages import Reply, Request
from gateway.session.admission import Admission
from gateway.session.pending_request import PendingRequest
from gateway.session.preparations import Decoder, Preparations
from gateway.telemetry.live import Live
from gateway.telemetry.port_metrics import PortMetrics
from gateway.telemetry.recording_format import Exchange

logger = logging.getLogger(__name__)

_LATE_CAUSES = {
    "decode": "the gateway's image decoders were busy: send smaller images, or raw 256x256 RGB",
    "queue": "earlier requests of this client were still at Triton: wait for a reply before the next one",
    "infer": "Triton is slow or overloaded",
}
# Replies per turn, so that a long queue of refusals leaves the event loop to others.
_REPLIES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class PortService:
    """The parts that the sessions of one port share.

    Attributes:
        admission: the limit of all clients together.
        deadline_s: most seconds from a request's arrival to its reply.
        at_triton: most requests of one client at Triton at once.
        record: takes each predict and `played` for a recording.
        live: what the live page shows, None without the page.
    """

    plane: DataPlane
    metrics: PortMetrics
    admission: Admission
    deadline_s: float
    at_triton: int
    record: Callable[[Exchange], None] | None = None
    live: Live | None = None


class Session:
    """The requests of one client; each enters by `submit`, `decode`, `answer` or `refuse`.

    Args:
        service: the port's.
        context: the client's.
        address: the client's machine.
        client: its name in logs and recordings.
        on_progress: called after replies were sent, and when the session may have become idle.

    Attributes:
        metrics: where its requests count.
        admitted: its requests in flight, without refusals that wait for their turn.
    """

    def __init__(
        self,
        service: PortService,
        context: Context,
        *,
        address: str,
        client: str,
        on_progress: Callable[[], None],
    ) -> None:
        self.client = client
        self.metrics = service.metrics
        self.admitted = 0
        self._service = service
        self._plane = service.plane
        self._address = address
        self._on_progress = on_progress
        self._loop = asyncio.get_running_loop()
        self._queue: deque[PendingRequest] = deque()
        self._context = context
        self._preparations = Preparations(service.plane, context, self._prepared)
        self._turns = asyncio.Semaphore(service.at_triton)

    @property
    def in_flight(self) -> int:
        """Requests that wait for their reply, or are still being decoded after their deadline."""
        return max(len(self._queue), len(self._preparations))

    def submit(self, pending: PendingRequest, request: Request) -> None:
        """Take the client's next request."""
        self._enqueue(pending)
        if self._admit(pending):
            self._begin(pending, request)

    def decode(self, pending: PendingRequest, decoder: Decoder, *, beside: bool = False) -> None:
        """Take the client's next request, and decode it once it is admitted.

        Args:
            pending: the request's own record.
            decoder: returns the request.
            beside: whether decoding takes so long that it needs a thread.
        """
        self._enqueue(pending)
        if self._admit(pending):
            try:
                incoming = decoder if beside else decoder()
            except Exception as problem:
                self._fail(pending, problem)
            else:
                self._begin(pending, incoming)

    def answer(self, pending: PendingRequest, reply: Reply) -> None:
        """Take a request whose reply is known, and only waits for its turn."""
        self._enqueue(pending)
        self._settle(pending, reply, "ok")
        self._flush()

    def refuse(self, pending: PendingRequest, problem: GatewayError) -> None:
        """Take a request whose reply is an error, and only waits for its turn."""
        self._enqueue(pending)
        self._fail(pending, problem)

    async def drain(self) -> None:
        """Wait until every request has its reply."""
        while self._queue:
            tasks = [one.task for one in self._queue if one.task is not None and not one.task.done()]
            await (asyncio.wait(tasks) if tasks else asyncio.sleep(0))

    def abandon(self, reason: GatewayError) -> None:
        """Answer every request that still waits with `reason`, and cancel the work for it."""
        for pending in self._queue:
            if pending.reply is None:
                self._settle(pending, _error_reply(reason), reason.outcome)
                if pending.task is not None:
                    pending.task.cancel()
        while self._queue:
            self._flush()

    def close(self) -> None:
        """Drop everything, because the client has left."""
        for pending in self._queue:
            if pending.task is not None:
                pending.task.cancel()
            self._release(pending)
            self.metrics.dropped()
        self._queue.clear()
        self._preparations.cancel()
        if self._service.live is not None:
            self._service.live.left(self.metrics.port, self.client)

    def _enqueue(self, pending: PendingRequest) -> None:
        self._queue.append(pending)
        self.metrics.begun()

    def _admit(self, pending: PendingRequest) -> bool:
        """Return whether there is room for a request; if so, count it, else fail it."""
        pending.is_admitted = self._service.admission.admits(self._address, self.admitted, pending.size)
        if pending.is_admitted:
            self.admitted += 1
        else:
            busy = BusyError("the gateway is busy with as many requests as it takes: try again soon")
            self._fail(pending, busy)
        return pending.is_admitted

    def _begin(self, pending: PendingRequest, incoming: Request | Decoder) -> None:
        self._preparations.begin(pending, incoming)
        pending.task = asyncio.create_task(self._serve(pending))

    def _prepared(self) -> None:
        if not self._queue:
            self._on_progress()

    async def _serve(self, pending: PendingRequest) -> None:
        """Bring a request to its reply; every exception becomes one here."""
        left_s = self._service.deadline_s - (time.perf_counter() - pending.arrival)
        deadline = self._loop.time() + left_s
        # asyncio.timeout would cost each request twice as much.
        timer = self._loop.call_at(deadline, self._cancel_late, pending)
        outcome = "ok"
        try:
            reply = await self._reply(pending, deadline)
        except (TimeoutError, DeadlineError) as problem:
            reply, outcome = self._failure(pending, self._late(pending, problem))
        except asyncio.CancelledError as cancelled:
            # Its timer cancelled it, unless somebody else did, too.
            if not pending.is_late or (pending.task is not None and pending.task.uncancel()):
                raise
            reply, outcome = self._failure(pending, self._late(pending, cancelled))
        except Exception as problem:
            reply, outcome = self._failure(pending, problem)
        finally:
            timer.cancel()
        self._settle(pending, reply, outcome)
        self._flush()

    async def _reply(self, pending: PendingRequest, deadline: float) -> Reply:
        """Return a request's reply, once it is decoded and its turn at Triton has come."""
        if pending.preparation is not None:
            # Never cancelled: a valid frame counts even if its reply comes too late.
            await asyncio.wait((pending.preparation,))
        if pending.problem is not None:
            raise pending.problem
        assert pending.request is not None  # noqa: S101 - for the type checker
        predicts = pending.request.type == "predict"
        async with self._turns if predicts else contextlib.nullcontext():
            pending.dispatched = time.perf_counter()
            return await self._plane.answer(pending.request, pending.seen, deadline, request_id=pending.id)

    def _cancel_late(self, pending: PendingRequest) -> None:
        """Stop work on a request whose time is over."""
        if pending.task is not None:
            pending.is_late = True
            pending.task.cancel()

    def _late(self, pending: PendingRequest, problem: BaseException) -> DeadlineError:
        """Return the error for a request whose time is over, with the stage that took most of it."""
        cause = _LATE_CAUSES[pending.longest_wait()]
        if isinstance(problem, DeadlineError) and cause == _LATE_CAUSES["infer"]:
            return problem
        return DeadlineError(f"no answer within {self._service.deadline_s:g} s: {cause}")

    def _fail(self, pending: PendingRequest, problem: Exception) -> None:
        self._settle(pending, *self._failure(pending, problem))
        self._flush()

    def _settle(self, pending: PendingRequest, reply: Reply, outcome: str) -> None:
        """Encode a request's reply; from now on it can get no other."""
        try:
            pending.settle(reply, outcome)
        except Exception as problem:
            pending.settle(*self._failure(pending, problem))
        self._release(pending)

    def _release(self, pending: PendingRequest) -> None:
        """Count a request as done, once its decoding is over, too."""
        if pending.preparation is not None and not pending.preparation.done():
            pending.preparation.add_done_callback(lambda _: self._release(pending))
        elif pending.is_admitted:
            pending.is_admitted = False
            self.admitted -= 1
            self._service.admission.release(self._address, pending.size)

    def _flush(self) -> None:
        """Send the replies that are next in order."""
        for _ in range(_REPLIES_AT_ONCE):
            if not self._queue or self._queue[0].reply is None:
                break
            pending = self._queue.popleft()
            pending.send(pending.reply or b"")
            self._count(pending)
        else:
            self._loop.call_soon(self._flush)
        self._on_progress()

    def _count(self, pending: PendingRequest) -> None:
        """Count an answered request, and show it on the live page; the client does not wait for that."""
        now = time.perf_counter()
        kind, outcome, request = pending.kind, pending.outcome, pending.request
        self.metrics.answered(kind, outcome, now - pending.arrival)
        live = self._service.live
        if request is not None and request.type == "predict":
            self.metrics.played(self.client)
            self.metrics.model_answered(*self._plane.metric_labels(request.model), outcome)
            if outcome == "ok":
                self.metrics.stages(pending.stages(now))
        if live is not None and live.is_watched and request is not None:
            self._show(live, pending, request, now)
        if self._service.record is not None and kind in ("predict", "played"):
            self._service.record(pending.exchange(self.metrics.port, self.client, self._context.resets))
        self._context.resets += kind == "reset"
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s: %s", kind, outcome, extra=pending.tags(self.client))

    def _show(self, live: Live, pending: PendingRequest, request: Request, now: float) -> None:
        """Show a request's result to onlookers."""
        if request.played is not None:
            live.played(self.metrics.port, self.client, request.played.rows)
        elif request.type == "predict":
            live.answered(
                self.metrics.port,
                self.client,
                request,
                model=self._plane.metric_labels(request.model)[0],
                frame=pending.frame,
                chunk=pending.answer.chunk,
                stages=pending.stages(now),
            )

    def _show_error(self, cause: str, sentence: str) -> None:
        if self._service.live is not None:
            self._service.live.failed(cause, sentence, self.client)

    def _failure(self, pending: PendingRequest, problem: Exception) -> tuple[Reply, str]:
        """Return a failed request's reply and the metrics' outcome, and log the problem."""
        tags = pending.tags(self.client)
        if isinstance(problem, GatewayError):
            # A client at the wrong port comes back at once, and is logged elsewhere, once a minute.
            level = logging.DEBUG if isinstance(problem, ForeignError) else logging.INFO
            logger.log(level, "%s gets an error: %s", self.client, problem, extra=tags)
            self._show_error(problem.cause, str(problem))
            return _error_reply(problem), problem.outcome
        logger.error("a request failed unexpectedly", exc_info=problem, extra=tags)
        text = f"internal error; the gateway's log has more about request {pending.id}"
        self._show_error("internal", text)
        return Reply(error=text, cause="internal"), "internal"


def _error_reply(problem: GatewayError) -> Reply:
    return Reply(error=str(problem), cause=problem.cause)
