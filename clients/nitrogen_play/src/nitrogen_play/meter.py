"""How the game goes: actions per second, and whose time it takes."""

import time
from collections import deque

from nitrogen_play.ages import Ages, Distribution

_WINDOW_S = 5.0
# After this time without an action, the line says that the game waits.
_WAITING_AFTER_S = 1.0


class Meter:
    """Counts what happens; `line` says it while it goes on, `summary` at the end."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._times: deque[float] = deque()
        self._last_server_s: float | None = None
        self._last_network_s = 0.0
        self.actions = 0
        self.predicts = 0
        self.held_steps = 0
        self.late_steps = 0
        self.dropped_frames = 0
        self.server_s = 0.0
        self.network_s = 0.0
        self.problem: str | None = None
        self.ages = Ages(Distribution(), Distribution())
        self.conditioned_chunks = 0
        self.human_steps = 0
        self.is_human = False

    @property
    def played_steps(self) -> int:
        """The steps so far: the model's at their time, those held because no chunk was there, a human's."""
        return self.actions + self.held_steps + self.human_steps

    def count_action(self) -> None:
        """Count a step that was played."""
        self.actions += 1
        now = time.monotonic()
        self._times.append(now)
        while now - self._times[0] > _WINDOW_S:
            self._times.popleft()

    def count_answer(self, server_s: float | None, network_s: float) -> None:
        """Count an answer and its seconds; `server_s` is None if the server does not say."""
        self.predicts += 1
        self.problem = None
        self._last_server_s, self._last_network_s = server_s, network_s
        self.server_s += server_s or 0.0
        self.network_s += network_s

    def actions_per_s(self) -> float:
        """Return the actions per second of the last seconds."""
        times = self._times
        if len(times) < 2:
            return 0.0
        # While nothing is played, the rate falls.
        span_s = max(times[-1] - times[0], time.monotonic() - times[0] - 1.0)
        return (len(times) - 1) / span_s if span_s > 0 else 0.0

    def line(self, width: int) -> str:
        """Return how it goes now, in one line.

        A problem comes first; its text alone may exceed the width. Shares that do not fit are left out.

        Args:
            width: in columns.
        """
        counted = ((self.late_steps, "late"), (self.held_steps, "held"), (self.dropped_frames, "not filmed"))
        parts = ["you play"] if self.is_human else []
        parts += [f"{self.actions} actions, {self.actions_per_s():.1f}/s"]
        parts += [f"{count} {what}" for count, what in counted if count]
        waiting_s = time.monotonic() - (self._times[-1] if self._times else self._began)
        if self.problem is not None or (waiting_s > _WAITING_AFTER_S and not self.is_human):
            parts.append(f"waiting {waiting_s:.0f} s" + (f": {self.problem}" if self.problem else ""))
        line = " | ".join(parts)
        for share in (*self._shares(""), *self._age(short=True)):
            if len(line) + len(" | ") + len(share) > width:
                break
            line += f" | {share}"
        return line

    def summary(self) -> str:
        """Return how the whole game went, in one line."""
        elapsed_s = time.monotonic() - self._began
        rate = self.actions / elapsed_s if elapsed_s > 0 else 0.0
        chunks = f" of {_counted(self.predicts, 'chunk')}" if self.predicts else ""
        played = f"played {_counted(self.actions, 'action')}{chunks} in {elapsed_s:.1f} s"
        whole = f"{played}: {rate:.1f} actions/s"
        parts = [*self._shares(" of the time"), *self._age(short=False), *self._faults()]
        return " | ".join([whole, *parts])

    def figures(self) -> dict[str, object]:
        """Return the summary's figures with their names, for programs."""
        return {
            "seconds": round(time.monotonic() - self._began, 3),
            "actions": self.actions,
            "chunks": self.predicts,
            "conditioned_chunks": self.conditioned_chunks,
            "late_steps": self.late_steps,
            "held_steps": self.held_steps,
            "human_steps": self.human_steps,
            "pictures_not_recorded": self.dropped_frames,
            "server_s": round(self.server_s, 3),
            "network_s": round(self.network_s, 3),
            "picture_to_button": self.ages.fields(),
        }

    def _age(self, *, short: bool) -> list[str]:
        ms, ticks = self.ages.ms, self.ages.ticks
        if not (self.predicts and self.actions):
            return []
        if short:
            return [f"age {ms.median} ms"]
        return [
            f"picture to button {ms.median} ms ({_counted(ticks.median, 'tick')}), "
            f"at most {ms.largest} ms ({_counted(ticks.largest, 'tick')})"
        ]

    def _shares(self, of_what: str) -> list[str]:
        elapsed_s = time.monotonic() - self._began
        if not self.predicts or elapsed_s <= 0:
            return []
        network = f"{self.network_s / elapsed_s:.0%}{of_what} ({1000 * self._last_network_s:.0f} ms)"
        if self._last_server_s is None:
            return [f"server and network {network}"]
        server = f"{self.server_s / elapsed_s:.0%}{of_what} ({1000 * self._last_server_s:.0f} ms)"
        return [f"server {server}", f"network {network}"]

    def _faults(self) -> list[str]:
        counted = (
            (self.late_steps, "late step", "dropped"),
            (self.held_steps, "step", "held because no chunk was there"),
            (self.dropped_frames, "picture", "not recorded"),
            (self.human_steps, "step", "played by you"),
        )
        return [f"{_counted(count, noun)} {what}" for count, noun, what in counted if count]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
