"""Asking the server in a thread of its own, so that the game goes on and Ctrl-C is heard."""

import logging
import queue
import re
import threading
import time
from dataclasses import dataclass
from typing import Any, Self

import nitrogen_client

from nitrogen_play.conditioning import Previous
from nitrogen_play.errors import PlayError, ServerError
from nitrogen_play.frames import model_frame
from nitrogen_play.interfaces import Picture
from nitrogen_play.noise import FRESH, Noise
from nitrogen_play.pad import PadState, action_arrays, pad_states

logger = logging.getLogger(__name__)

# Errors that may be over in a moment; all others stop the game.
_PASSING = (
    nitrogen_client.ConnectionFailedError,
    nitrogen_client.ReplyTimeoutError,
    nitrogen_client.ServerBusyError,
    nitrogen_client.ServerStoppingError,
    nitrogen_client.ModelTooSlowError,
    nitrogen_client.ModelUnavailableError,
)
_JOIN_S = 2
_WITHOUT_CONDITIONING = (
    "the server has switched to a model without chunk conditioning: the game goes on without it"
)
# The client's messages name its arguments; this program's users know the flags.
_FLAGS = {"timeout_s": "--timeout", "client_key": "--client-key", "server_key": "--server-key"}


def in_flags(error: nitrogen_client.NitrogenError) -> str:
    """Return the client's sentence with this program's flags in it."""
    sentence = str(error)
    for argument, flag in _FLAGS.items():
        sentence = re.sub(rf"\b{argument}\b", flag, sentence)
    return sentence


def requested_game(flag: str | None) -> Any:  # noqa: ANN401 - UNSET has no public type
    """Return the `game` of each predict: `--game` as a name or an id, `UNSET` without it."""
    if flag is None:
        return nitrogen_client.UNSET
    return int(flag) if flag.isdecimal() else flag


@dataclass(frozen=True)
class Answer:
    """The end of a question.

    Attributes:
        tick: that of the picture.
        seen_s: when the picture was taken, of `time.monotonic`.
        states: the chunk's steps; None if the server could not answer now.
        problem: why it could not, as a sentence; None if it did.
        server_s: seconds that the server took, None if it does not say.
        network_s: seconds of the way there and back; with the server's if that does not say.
        is_conditioned: whether the chunk continues the one before it.
        note: a sentence that the player should see once, if any.
    """

    tick: int
    seen_s: float
    states: tuple[PadState, ...] | None
    problem: str | None
    server_s: float | None
    network_s: float
    is_conditioned: bool = False
    note: str | None = None


@dataclass(frozen=True)
class _Told:
    """Rows that were played, from a tick on."""

    tick: int
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class _Question:
    frame: Picture
    tick: int
    seen_s: float
    previous: Previous | None
    resets: int


class Asker:
    """One question at a time, answered in a thread, which closes the client at the end.

    Args:
        client: should not repeat requests by itself: the newest picture is better than an old one.
        allow_menu: whether BACK, GUIDE and START may be pressed.
        resize_mode: how pictures are made square.
        noise: what chunks begin from.
        ticks_per_step: ticks of a row.
        tells_ticks: whether the server keeps the pictures' ticks.
    """

    def __init__(
        self,
        client: nitrogen_client.ModelClient,
        *,
        allow_menu: bool,
        resize_mode: str,
        noise: Noise = FRESH,
        ticks_per_step: int = 1,
        tells_ticks: bool = False,
    ) -> None:
        self._client = client
        self._allow_menu = allow_menu
        self._resize_mode = resize_mode
        self._noise = noise
        self._ticks_per_step = ticks_per_step
        self._tells_ticks = tells_ticks
        self._with_timing = True
        self.takes_previous = True
        self._note: str | None = None
        # Whether the server takes what was played, and was there when it was last asked.
        self._is_told = True
        self._is_there = True
        self._questions: queue.SimpleQueue[_Question | _Told | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[int, Answer | PlayError]] = queue.SimpleQueue()
        self._resets = 0
        self._resets_done = 0
        self._pending = 0
        self._thread = threading.Thread(target=self._work, name="asking", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether a question has no answer yet."""
        return self._pending > 0

    def ask(self, frame: Picture, tick: int, seen_s: float, previous: Previous | None = None) -> None:
        """Ask for the chunk that answers a picture.

        Args:
            frame: (256, 256, 3) uint8 RGB.
            tick: that of the frame.
            seen_s: when the picture was taken, of `time.monotonic`.
            previous: the rows that the chunk continues.
        """
        self._pending += 1
        self._questions.put(_Question(frame, tick, seen_s, previous, self._resets))

    def tell(self, tick: int, rows: list[dict[str, Any]]) -> None:
        """Tell the server what was played from a tick on, behind what was asked; nobody waits for it."""
        self._questions.put(_Told(tick, rows))

    def answer(self, timeout_s: float) -> Answer | None:
        """Return the answer, None if there is none yet.

        Args:
            timeout_s: how long to wait for it; 0 not to wait.

        Raises:
            ServerError: the server refuses, and will not change its mind.
        """
        deadline = time.monotonic() + timeout_s
        while self._pending:
            try:
                resets, answer = self._answers.get(timeout=max(0.0, deadline - time.monotonic()) or 1e-6)
            except queue.Empty:
                return None
            self._pending -= 1
            if isinstance(answer, PlayError):
                raise answer
            if resets == self._resets:
                return answer
        return None

    def forget(self) -> None:
        """Have the server forget the pictures so far, and drop the answer that is on its way."""
        self._resets += 1

    def close(self) -> None:
        """End the thread; one that waits for the server is left behind."""
        self._questions.put(None)
        self._thread.join(_JOIN_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self) -> None:
        with self._client:
            while (question := self._questions.get()) is not None:
                if isinstance(question, _Told):
                    self._tell(question)
                    continue
                answer = self._answered(question)
                self._is_there = isinstance(answer, Answer) and answer.states is not None
                self._answers.put((question.resets, answer))

    def _tell(self, told: _Told) -> None:
        if not (self._is_told and self._is_there):
            return
        try:
            self._client.played(told.tick, told.rows)
        except (nitrogen_client.BadRequestError, nitrogen_client.UnsupportedError):
            # An older gateway, or a server of the older kind.
            self._is_told = False
        except nitrogen_client.NitrogenError as error:
            logger.info("the server was not told what was played: %s", error)

    def _answered(self, question: _Question) -> Answer | PlayError:
        began = time.monotonic()
        try:
            if question.resets != self._resets_done:
                self._client.reset()
                self._resets_done = question.resets
            began = time.monotonic()
            prediction, is_conditioned = self._predict(question)
            took_s = time.monotonic() - began
            states = pad_states(prediction, allow_menu=self._allow_menu)
        except nitrogen_client.AccessRefusedError as error:
            return ServerError(in_flags(error))
        except _PASSING as error:
            problem, lost_s = in_flags(error), time.monotonic() - began
            return Answer(question.tick, question.seen_s, None, problem, None, lost_s)
        except nitrogen_client.NitrogenError as error:
            return ServerError(in_flags(error))
        except PlayError as error:
            return error
        except Exception as error:  # the thread's edge: the game must hear of it, whatever it is
            return ServerError(f"asking the server failed: {type(error).__name__}: {error}")
        server_s = None if prediction.timing is None else min(took_s, prediction.timing.total_ms / 1000)
        network_s = took_s - (server_s or 0.0)
        note, self._note = self._note, None
        return Answer(question.tick, question.seen_s, states, None, server_s, network_s, is_conditioned, note)

    def _predict(self, question: _Question) -> tuple[nitrogen_client.Prediction, bool]:
        """Return the answer, and whether it continues the chunk before it."""
        frame = model_frame(question.frame, self._resize_mode)
        fields: dict[str, Any] = {}
        if self._tells_ticks:
            # `played` has it, too: recordings can then pair pictures with what was pressed.
            fields["tick"] = question.tick
        noise = self._noise.field(question.tick // self._ticks_per_step)
        if noise is not None:
            fields["noise"] = noise
        previous = question.previous
        if previous is None or not self.takes_previous:
            return self._timed(frame, fields), False
        try:
            continued = {"previous": action_arrays(previous.states), "delay": previous.delay}
            return self._timed(frame, fields | continued), True
        except nitrogen_client.BadRequestError:
            # Another model's chunks may be shorter, or it has no chunk conditioning.
            prediction = self._timed(frame, fields)
            if not self._client.info().get("conditioning", False):
                self.takes_previous = False
                self._note = _WITHOUT_CONDITIONING
            return prediction, False

    def _timed(self, frame: Picture, fields: dict[str, Any]) -> nitrogen_client.Prediction:
        try:
            return self._client.predict(frame, timing=self._with_timing, **fields)
        except nitrogen_client.UnsupportedError:
            if not self._with_timing:
                raise
            # A server of the older kind, which tells no times.
            self._with_timing = False
            return self._client.predict(frame, timing=False, **fields)
