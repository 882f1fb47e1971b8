"""Contexts: what the gateway remembers of each client, its older frames and its noise."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from gateway.client_noise import ClientNoise
from gateway.protocol.messages import Frame

Key = TypeVar("Key", bound=Hashable)
Path = tuple[bytes, ...]

# Frames that a context keeps while the model's context length is unknown.
UNKNOWN_CONTEXT_LENGTH = 4


class Context:
    """One client's frames in order of arrival, and its noise. A model that sees one frame needs none kept.

    Both belong to one model: the first frame for another one clears them. `resets` counts the client's resets
    that have been answered.
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
            # A view would keep its whole message in memory.
            frame = bytes(frame)
        frames = (*self._older, frame)
        if context_length > 1:
            self._older.append(frame)
            if len(self._older) >= context_length:
                self._older.popleft()
        return frames

    @property
    def noise(self) -> ClientNoise:
        """The client's noise, made when it first asks for it."""
        if self._noise is None:
            self._noise = ClientNoise()
        return self._noise

    def reset(self) -> None:
        """Forget all frames, and the noise."""
        self._older.clear()
        self._noise = None


class ContextStore(Generic[Key]):
    """Contexts of clients that leave without saying so: bounded in number and in idle time.

    A client is known by its connection's key and by its path behind that, which is empty without brokers.

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
        """Return the client's context, a new one if it has none, and mark it as just used."""
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
        # They are in the order of last use, so this looks only at those that it drops.
        while self._contexts:
            oldest = next(iter(self._contexts))
            if now - self._contexts[oldest][0] < self._idle_s:
                return
            self.drop(*oldest)
