"""The order of one client's frames: requests reach its context as they arrived, however long they decode."""

import asyncio
from collections.abc import Callable

from gateway.contexts import Context
from gateway.data_plane import DataPlane
from gateway.images import as_frame, is_frame
from gateway.protocol.messages import Frame, Request
from gateway.session.pending_request import PendingRequest

Decoder = Callable[[], Request]


class Preparations:
    """Decodes one client's requests and applies them to its context; a task calls `on_done` at its end."""

    def __init__(self, plane: DataPlane, context: Context, on_done: Callable[[], None]) -> None:
        self._plane = plane
        self._context = context
        self._on_done = on_done
        # The newest request that is still being decoded; earlier ones reach the context before it.
        self._newest: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        # One at a time, so that a client's images take turns with other clients'.
        self._decoder = asyncio.Semaphore(1)

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, pending: PendingRequest, incoming: Request | Decoder) -> None:
        """Apply a request to the context: at once, or in a task if it, or an earlier one, must be decoded."""
        if self._newest is None and isinstance(incoming, Request):
            image = incoming.image
            if image is None or is_frame(image):
                self._accept(pending, incoming, None if image is None else as_frame(image))
                return
        task = asyncio.create_task(self._prepare(pending, incoming, self._newest))
        self._newest = pending.preparation = task
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def cancel(self) -> None:
        """Stop all of them, because the client has left."""
        for task in self._tasks:
            task.cancel()

    def _accept(self, pending: PendingRequest, request: Request, frame: Frame | None) -> None:
        pending.accept(request, frame, self._plane.accept(request, frame, self._context))

    async def _prepare(
        self, pending: PendingRequest, incoming: Request | Decoder, earlier: asyncio.Task[None] | None
    ) -> None:
        """Decode in a thread, then apply the request to the context after all earlier ones."""
        frame = None
        try:
            async with self._decoder:
                if isinstance(incoming, Request):
                    request = incoming
                else:
                    request = await self._plane.decoders.run(incoming)
                pending.request = request
                if request.image is not None:
                    frame = await self._plane.frame(request.image)
        except Exception as problem:
            # The session raises it again.
            pending.problem = problem
        if earlier is not None:
            await asyncio.wait((earlier,))
        if pending.problem is None:
            self._accept(pending, request, frame)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._newest is task:
            self._newest = None
        self._on_done()
