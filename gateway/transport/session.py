"""One client's requests: frames in order of arrival, inference at once, replies in order of the requests.

A session is the same for a TCP connection and a ZeroMQ identity. Whatever a request holds, it gets exactly
one reply: this is the edge where every exception becomes one.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from gateway.contexts import FrameContext
from gateway.data_plane import DataPlane, frame_at_hand
from gateway.errors import DeadlineError, GatewayError
from gateway.protocol.messages import Reply, Request, Timing
from gateway.telemetry.metrics import PortMetrics

logger = logging.getLogger(__name__)

Send = Callable[[bytes], None]
Decoder = Callable[[], Request]

# Replies sent in one go, so that a long queue of refusals leaves the event loop to others.
_REPLIES_AT_ONCE = 64


class _Entry:
    """One request on its way; times are of `time.perf_counter`, finer than the event loop's clock."""

    __slots__ = ("accepted", "arrival", "frames", "problem", "reply", "request", "send", "task")

    def __init__(self, send: Send, arrival: float) -> None:
        self.send = send
        self.arrival = arrival
        self.accepted = arrival
        self.request: Request | None = None
        self.frames: tuple[bytes, ...] = ()
        self.problem: Exception | None = None
        self.reply: bytes | None = None
        self.task: asyncio.Task[None] | None = None


class Session:
    """The requests of one client.

    `encode`: a reply's bytes on this port. `deadline_s`: seconds from a request's arrival to its reply, at
    the latest. `on_progress` is called after replies were sent, and when the session may have become idle.
    """

    def __init__(
        self,
        plane: DataPlane,
        context: FrameContext,
        metrics: PortMetrics,
        *,
        encode: Callable[[Reply], bytes],
        deadline_s: float,
        on_progress: Callable[[], None],
    ) -> None:
        self._plane = plane
        self._context = context
        self._metrics = metrics
        self._encode = encode
        self._deadline_s = deadline_s
        self._on_progress = on_progress
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Entry] = deque()
        # The newest request that is still being decoded; it acts on the context after all earlier ones.
        self._preparing: asyncio.Task[None] | None = None
        self._preparations = 0

    @property
    def in_flight(self) -> int:
        """Requests that wait for their reply; decoding that outlives its deadline counts as well."""
        return max(len(self._queue), self._preparations)

    def submit(
        self,
        incoming: Request | GatewayError | Decoder,
        send: Send,
        *,
        arrival: float | None = None,
        beside: bool = False,
    ) -> None:
        """Take the client's next request; `send` will be called once, with the bytes of its reply.

        `incoming`: the request, what was wrong with it, or the call that decodes it. `arrival`: when its last
        byte came, by `time.perf_counter`; now by default. `beside`: whether decoding takes long enough to run
        beside the event loop.
        """
        entry = _Entry(send, time.perf_counter() if arrival is None else arrival)
        self._queue.append(entry)
        self._metrics.begun()
        taken: Request | Decoder | Exception = incoming
        if not beside and not isinstance(incoming, Request | GatewayError):
            try:
                taken = incoming()
            except Exception as problem:
                taken = problem
        if isinstance(taken, Exception):
            self._settle(entry, *_failure(taken))
            self._flush()
            return
        preparation = None
        if not self._accept_at_once(entry, taken):
            preparation = asyncio.create_task(self._prepare(entry, taken, self._preparing))
            self._preparing = preparation
            self._preparations += 1
        entry.task = asyncio.create_task(self._serve(entry, preparation))

    async def drain(self) -> None:
        """Wait until every request has got its reply."""
        while self._queue:
            tasks = [entry.task for entry in self._queue if entry.task is not None and not entry.task.done()]
            await (asyncio.wait(tasks) if tasks else asyncio.sleep(0))

    def abandon(self, reason: GatewayError) -> None:
        """Answer every request that still waits with `reason`, and cancel the work for it."""
        for entry in self._queue:
            if entry.reply is None:
                self._settle(entry, Reply(error=str(reason)), reason.outcome)
                if entry.task is not None:
                    entry.task.cancel()
        while self._queue:
            self._flush()

    def close(self) -> None:
        """Drop everything: the client has gone."""
        for entry in self._queue:
            if entry.task is not None:
                entry.task.cancel()
            if entry.reply is None:
                self._metrics.dropped()
        self._queue.clear()

    def _accept_at_once(self, entry: _Entry, incoming: Request | Decoder) -> bool:
        """Let a request that needs no decoding act on the context, unless earlier ones are not that far."""
        if self._preparing is not None or not isinstance(incoming, Request):
            return False
        frame = None if incoming.image is None else frame_at_hand(incoming.image)
        if frame is None and incoming.image is not None:
            return False
        self._accept(entry, incoming, frame)
        return True

    def _accept(self, entry: _Entry, request: Request, frame: bytes | None) -> None:
        entry.request = request
        entry.frames = self._plane.accept(request, frame, self._context)
        entry.accepted = time.perf_counter()

    async def _prepare(
        self, entry: _Entry, incoming: Request | Decoder, earlier: asyncio.Task[None] | None
    ) -> None:
        """Decode beside the event loop, then act on the context when all earlier requests have."""
        frame = None
        try:
            request = incoming if isinstance(incoming, Request) else await self._plane.in_thread(incoming)
            entry.request = request
            if request.image is not None:
                frame = frame_at_hand(request.image) or await self._plane.frame(request.image)
        except Exception as problem:
            # _serve, at the request's edge, raises it again.
            entry.problem = problem
        if earlier is not None:
            await asyncio.wait((earlier,))
        if entry.problem is None:
            self._accept(entry, request, frame)
        self._preparations -= 1
        if self._preparing is asyncio.current_task():
            self._preparing = None
        if not self._queue:
            self._on_progress()

    async def _serve(self, entry: _Entry, preparation: asyncio.Task[None] | None) -> None:
        """Bring a request to its reply; here every exception becomes one."""
        deadline = self._loop.time() + self._deadline_s - (time.perf_counter() - entry.arrival)
        outcome = "ok"
        try:
            async with asyncio.timeout_at(deadline):
                if preparation is not None:
                    # Waited for, never cancelled: a valid frame counts even when its reply comes too late.
                    await asyncio.wait((preparation,))
                if entry.problem is not None:
                    raise entry.problem
                assert entry.request is not None  # noqa: S101 - for the type checker
                reply = await self._plane.answer(entry.request, entry.frames, deadline)
        except TimeoutError:
            late = DeadlineError(f"no answer within {self._deadline_s:g} s: Triton is slow or overloaded")
            reply, outcome = _failure(late)
        except Exception as problem:
            reply, outcome = _failure(problem)
        self._settle(entry, reply, outcome)
        self._flush()

    def _settle(self, entry: _Entry, reply: Reply, outcome: str) -> None:
        """Encode a request's reply and count it."""
        now = time.perf_counter()
        decode_s, infer_s, total_s = entry.accepted - entry.arrival, now - entry.accepted, now - entry.arrival
        request = entry.request
        if request is not None and request.timing:
            reply = replace(reply, timing=Timing(decode_s * 1000, infer_s * 1000, total_s * 1000))
        try:
            entry.reply = self._encode(reply)
        except Exception as problem:
            reply, outcome = _failure(problem)
            entry.reply = self._encode(reply)
        entry.frames = ()
        if outcome == "ok" and reply.chunk is not None:
            self._metrics.predicted(decode_s, infer_s)
        if request is not None and request.type == "predict":
            self._metrics.model_answered(self._plane.counted_as(request.model), outcome)
        self._metrics.answered("unknown" if request is None else request.type, outcome, total_s)

    def _flush(self) -> None:
        """Send the replies whose turn it is."""
        for _ in range(_REPLIES_AT_ONCE):
            if not self._queue or self._queue[0].reply is None:
                break
            entry = self._queue.popleft()
            entry.send(entry.reply or b"")
        else:
            self._loop.call_soon(self._flush)
        self._on_progress()


def _failure(problem: Exception) -> tuple[Reply, str]:
    """Return the reply for a request that failed, and the metrics' outcome; log what was not foreseen."""
    if isinstance(problem, GatewayError):
        return Reply(error=str(problem)), problem.outcome
    logger.error("a request failed in a way that was not foreseen", exc_info=problem)
    return Reply(error="internal error"), "internal"
