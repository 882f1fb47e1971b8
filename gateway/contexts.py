"""Contexts: what is remembered of each client, its older frames and its noise."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from gateway.client_noise import ClientNoise
from gateway.protocol.messages import Frame

Key = TypeVar("Key", bound=Hashable)
Path = tuple[bytes, ...]

# How many frames a context keeps while Triton has never told the model's context length.
UNKNOWN_CONTEXT_LENGTH = 4


class Context:
    """One client's frames in order of arrival, and its noise; holds no frame for a model that sees only one.

    Both are those of one model: the first frame for another one begins a fresh context. `resets` counts those
    that the client has got a reply to.
    """

    __slots__ = ("_model", "_noise", "_older", "resets")

    def __init__(self) -> None:
        self.resets = 0
        self._model = ""
        self._older: deque[Frame] = deque()
        self._noise: ClientNoise | None = None

    def __len__(self) -> int:
        return len(self._older)

    def append(self, model: str, frame: Frame, context_length: int) -> tuple[Frame, ...]:
        """Add a frame for a model; return its last `context_length` frames or fewer, newest last.

        At most `context_length - 1` frames stay here.
        """
        if model != self._model:
            self._model = model
            self.reset()
        while len(self._older) >= context_length:
            self._older.popleft()
        if context_length > 1 and isinstance(frame, memoryview):
            # A view would keep the message that it is part of, however large that is.
            frame = bytes(frame)
        frames = (*self._older, frame)
        if context_length > 1:
            self._older.append(frame)
            if len(self._older) >= context_length:
                self._older.popleft()
        return frames

    @property
    def noise(self) -> ClientNoise:
        """The client's noise; a client that never asks for it has none."""
        if self._noise is None:
            self._noise = ClientNoise()
        return self._noise

    def reset(self) -> None:
        """Forget all frames, and the noise."""
        self._older.clear()
        self._noise = None


class ContextStore(Generic[Key]):
    """Contexts of clients that leave without a word: bounded in number and in idle time.

    A client is known by its connection's key and its path behind it, which is empty unless brokers are
    between.

    Args:
        max_contexts: beyond it the least recently used is dropped.
        idle_s: seconds without a request after which a context is dropped.
        clock: monotonic seconds.
        max_per_key: as `max_contexts`, for the clients behind one connection.
    """

    def __init__(
        self, max_contexts: int, idle_s: float, clock: Callable[[], float], max_per_key: int = 1
    ) -> None:
        self._max_contexts = max_contexts
        self._max_per_key = max_per_key
        self._idle_s = idle_s
        self._clock = clock
        self._contexts: OrderedDict[tuple[Key, Path], tuple[float, Context]] = OrderedDict()
        # In the order of last use.
        self._paths: dict[Key, dict[Path, None]] = {}

    def __len__(self) -> int:
        return len(self._contexts)

    def get(self, key: Key, path: Path = ()) -> Context:
        """Return the client's context, a new one for a client not seen for long, and mark it as just used."""
        now = self._clock()
        self._drop_idle(now)
        _, context = self._contexts.pop((key, path), (now, None))
        if context is None:
            context = Context()
        self._contexts[key, path] = (now, context)
        paths = self._paths.setdefault(key, {})
        paths.pop(path, None)
        paths[path] = None
        if len(paths) > self._max_per_key:
            self.drop(key, next(iter(paths)))
        if len(self._contexts) > self._max_contexts:
            self.drop(*next(iter(self._contexts)))
        return context

    def paths(self, key: Key) -> list[Path]:
        """Return the paths of the clients behind a key that have a context."""
        return list(self._paths.get(key, ()))

    def drop(self, key: Key, path: Path = ()) -> None:
        """Drop the context of a client that cannot come back."""
        if self._contexts.pop((key, path), None) is None:
            return
        paths = self._paths[key]
        del paths[path]
        if not paths:
            del self._paths[key]

    def _drop_idle(self, now: float) -> None:
        # The order is that of last use, so only what is dropped is looked at.
        while self._contexts:
            oldest = next(iter(self._contexts))
            if now - self._contexts[oldest][0] < self._idle_s:
                return
            self.drop(*oldest)
