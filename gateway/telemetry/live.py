"""The live page's data: who plays now, what one of them saw and pressed, and what went wrong.

While nobody watches, only the last errors are kept, and a request costs one look at `is_watched`. Onlookers
ask for snapshots; two seconds after the last one, everything else is forgotten.
"""

import asyncio
import base64
import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import cv2
import numpy as np

from contract.gamepad import CHUNK_WIDTHS
from contract.tensors import FRAME_SHAPE
from gateway.protocol.messages import ActionChunk, MemoryNoise, PlayedRow, Request, TickNoise, Unset
from gateway.safe_text import one_line, shortened
from gateway.telemetry.live_snapshots import MAX_SENTENCES, MAX_SHOWN_PLAYERS, Snapshot, Wanted
from gateway.telemetry.port_metrics import Stages

_WATCHED_FOR_S = 2.0
# A player who has sent no request for this time has left without saying so.
_PLAYS_FOR_S = 10.0
_KEPT_SECONDS = 5
_MAX_PLAYERS = 1000
_MAX_CHOSEN = 16
_MAX_CAUSES = 32
_MAX_CHARACTERS = 300
_MAX_NAME_CHARACTERS = 80
_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]


@dataclass(slots=True)
class _Second:
    """The predicts answered within one second of the clock, and sums over them."""

    number: int
    predicts: int = 0
    steps: int = 0
    stages_s: list[float] = field(default_factory=lambda: [0.0] * len(Stages._fields))

    def add(self, steps: int, stages: Stages) -> None:
        self.predicts += 1
        self.steps += steps
        for index, seconds in enumerate(stages):
            self.stages_s[index] += seconds

    def means_ms(self) -> dict[str, float]:
        """Return each stage's mean."""
        return {
            name.removesuffix("_s"): round(1000 * sum_s / self.predicts, 2)
            for name, sum_s in zip(Stages._fields, self.stages_s, strict=True)
        }


@dataclass(slots=True)
class _Player:
    """One client that plays.

    Attributes:
        seconds: the last ones in which it got actions.
    """

    id: str
    port: str
    client: str
    since: float
    seen: float = 0.0
    model: str = ""
    game: str = ""
    fit: str = ""
    errors: int = 0
    seconds: deque[_Second] = field(default_factory=lambda: deque(maxlen=_KEPT_SECONDS))


@dataclass(slots=True)
class _Chosen:
    """The data of a player whom somebody watches.

    Attributes:
        changes: how many there have been.
        pictures: how many have come.
        played: what was really pressed, and the number of the last picture before it.
    """

    until: float
    changes: int = 0
    pictures: int = 0
    frame: bytes | None = None
    chunk: ActionChunk | None = None
    played: tuple[int, tuple[PlayedRow, ...]] = (0, ())
    # The number of the picture that was encoded last, and its text.
    encoded: tuple[int, str] = (0, "")


@dataclass(slots=True)
class _Errors:
    """How many requests failed for one cause; the last ones' times, clients and messages."""

    count: int = 0
    sentences: deque[tuple[float, str, str]] = field(default_factory=lambda: deque(maxlen=MAX_SENTENCES))


class Live:
    """The state of the live page, on the event loop's thread.

    Args:
        default_game: the game of requests that name none.
        clock: monotonic seconds.
    """

    def __init__(self, default_game: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_watched = False
        self._default_game = default_game or ""
        self._clock = clock
        self._players: OrderedDict[tuple[str, str], _Player] = OrderedDict()
        self._chosen: dict[str, _Chosen] = {}
        self._errors: dict[str, _Errors] = {}
        self._end: asyncio.TimerHandle | None = None
        self._is_closed = False
        # It has its own thread, so that no player waits for a picture.
        self._encoder = ThreadPoolExecutor(1, "live")

    def close(self) -> None:
        """Forget everything, and end the thread; later snapshots are empty."""
        self._is_closed = True
        if self._end is not None:
            self._end.cancel()
        self._forget()
        self._encoder.shutdown(wait=False, cancel_futures=True)

    def failed(self, cause: str, sentence: str, client: str) -> None:
        """Note a request that got an error; `cause` is one of a bounded set."""
        errors = self._errors.get(cause)
        if errors is None:
            if len(self._errors) >= _MAX_CAUSES:
                return
            errors = self._errors[cause] = _Errors()
        errors.count += 1
        shown = shortened(one_line(sentence), _MAX_CHARACTERS)
        errors.sentences.append((self._clock(), _short(client), shown))

    def answered(
        self,
        port: str,
        client: str,
        request: Request,
        *,
        model: str,
        frame: bytes | bytearray | memoryview | None,
        chunk: ActionChunk | None,
        stages: Stages,
    ) -> None:
        """Note an answered predict, while somebody watches; `chunk` is None for an error."""
        player = self._player(port, client)
        player.model = model
        player.game = self._game_of(request)
        player.fit = _fit(request)
        if chunk is None:
            player.errors += 1
        else:
            number = int(player.seen)
            if not player.seconds or player.seconds[-1].number != number:
                player.seconds.append(_Second(number))
            player.seconds[-1].add(len(chunk.buttons), stages)
        chosen = self._chosen.get(player.id)
        if chosen is not None and frame is not None:
            chosen.changes += 1
            chosen.pictures += 1
            # Copied: a view would keep its whole message in memory.
            chosen.frame, chosen.chunk = bytes(frame), chunk

    def played(self, port: str, client: str, rows: tuple[PlayedRow, ...]) -> None:
        """Note what a player says was really pressed, while somebody watches."""
        chosen = self._chosen.get(self._player(port, client).id)
        if chosen is not None:
            chosen.changes += 1
            chosen.played = chosen.pictures, rows

    def left(self, port: str, client: str) -> None:
        """Note that a player's connection has ended."""
        self._players.pop((port, client), None)

    async def snapshot(self, wanted: Wanted) -> Snapshot:
        """Return what is known now, as plain values; onlookers must ask again within two seconds."""
        found: Snapshot = {}
        if self._is_closed:
            return found
        self._watch()
        now = self._clock()
        if wanted.has_players:
            self._drop_absent(now)
            players = sorted(self._players.values(), key=lambda one: (one.since, one.id))
            found["players"] = [_line(one, now) for one in players[:MAX_SHOWN_PLAYERS]]
            found["count"] = len(players)
            found["errors"] = {cause: _told(errors, now) for cause, errors in self._errors.items()}
        if wanted.chosen:
            chosen = self._choose(wanted.chosen, now)
            if chosen is not None and chosen.changes != wanted.known_change:
                found["chosen"] = await self._shown(wanted.chosen, chosen)
        return found

    def _watch(self) -> None:
        """Keep what comes in the next seconds."""
        self.is_watched = True
        if self._end is not None:
            self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(_WATCHED_FOR_S, self._forget)

    def _forget(self) -> None:
        self.is_watched = False
        self._players.clear()
        self._chosen.clear()

    def _player(self, port: str, client: str) -> _Player:
        now = self._clock()
        player = self._players.get((port, client))
        if player is None:
            name = hashlib.blake2s(f"{port} {client}".encode(errors="replace"), digest_size=8).hexdigest()
            player = self._players[port, client] = _Player(name, port, _short(client), now)
            if len(self._players) > _MAX_PLAYERS:
                self._players.popitem(last=False)
        else:
            self._players.move_to_end((port, client))
        player.seen = now
        return player

    def _drop_absent(self, now: float) -> None:
        while self._players:
            key, player = next(iter(self._players.items()))
            if now - player.seen <= _PLAYS_FOR_S:
                return
            del self._players[key]

    def _choose(self, player: str, now: float) -> _Chosen | None:
        """Return the data of a player to watch; None if too many are watched already."""
        for other in [one for one, chosen in self._chosen.items() if chosen.until < now]:
            del self._chosen[other]
        chosen = self._chosen.get(player)
        if chosen is None:
            if len(self._chosen) >= _MAX_CHOSEN:
                return None
            chosen = self._chosen[player] = _Chosen(now)
        chosen.until = now + _WATCHED_FOR_S
        return chosen

    async def _shown(self, player: str, chosen: _Chosen) -> Snapshot:
        """Return the data of a player who is watched, as plain values."""
        number, frame, chunk = chosen.pictures, chosen.frame, chosen.chunk
        shown: Snapshot = {"id": player, "change": chosen.changes, "picture": number}
        told_after, rows = chosen.played
        # A player who says what was pressed does so for each picture.
        if number - told_after <= 1:
            shown["played"] = [asdict(row) for row in rows]
        if chunk is not None:
            shown["pred"] = {name: getattr(chunk, name).tolist() for name in CHUNK_WIDTHS}
        if frame is not None:
            if chosen.encoded[0] != number:
                text = await asyncio.get_running_loop().run_in_executor(self._encoder, _png, frame)
                chosen.encoded = number, text
            shown["png"] = chosen.encoded[1]
        return shown

    def _game_of(self, request: Request) -> str:
        if isinstance(request.game, Unset):
            return _short(self._default_game)
        return "none" if request.game is None else _short(str(request.game))


def _fit(request: Request) -> str:
    """Return how a predict's chunk is made to fit the previous one, as in "memory 0.9, conditioned"."""
    words = []
    if isinstance(request.noise, MemoryNoise):
        words.append(f"memory {request.noise.memory:.3g}")
    elif isinstance(request.noise, TickNoise):
        words.append("noise by tick")
    if request.previous is not None:
        words.append("conditioned")
    return ", ".join(words)


def _told(errors: _Errors, now: float) -> dict[str, Any]:
    last = [
        {"ago_s": round(now - when, 1), "client": client, "sentence": sentence}
        for when, client, sentence in reversed(errors.sentences)
    ]
    return {"count": errors.count, "last": last}


def _line(player: _Player, now: float) -> dict[str, Any]:
    """Return a player's line; delay and stages are means over the last whole second with actions."""
    first = int(now) - _KEPT_SECONDS + 1
    lately = [one for one in player.seconds if one.number >= first]
    whole = [one for one in lately if one.number < int(now)] or lately
    over_s = max(1.0, min(now - player.since, now - first))
    stages_ms = whole[-1].means_ms() if whole else None
    return {
        "id": player.id,
        "port": player.port,
        "client": player.client,
        "model": player.model,
        "game": player.game,
        "fit": player.fit,
        "age_s": round(now - player.since, 1),
        "idle_s": round(now - player.seen, 1),
        "errors": player.errors,
        "actions_per_s": round(sum(one.steps for one in lately) / over_s, 1),
        "stages_ms": stages_ms,
    }


def _short(text: str) -> str:
    return shortened(one_line(text), _MAX_NAME_CHARACTERS)


def _png(frame: bytes) -> str:
    """Return a frame as a PNG file's bytes in base64."""
    pixels = np.frombuffer(frame, np.uint8).reshape(FRAME_SHAPE)
    _, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _FAST)
    return base64.b64encode(data.tobytes()).decode()
