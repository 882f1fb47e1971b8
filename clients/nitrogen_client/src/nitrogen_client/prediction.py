"""The result of `predict`: the reference's dict of arrays, and the times beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Timing:
    """Where a predict's time went at the server, in milliseconds, from the request's last byte on."""

    decode_ms: float
    infer_ms: float
    total_ms: float


class Prediction(dict[str, NDArray[np.float32]]):
    """One chunk of gamepad actions for T steps: a dict, as the reference's client returns it.

    Keys: `j_left` and `j_right`, (T, 2) float32 in [-1, 1]; `buttons`, (T, 21) float32, 0.0 or 1.0. The
    arrays are the caller's own and can be written to.

    Attributes:
        timing: the server's times, when they were asked for.
        round_trip_s: seconds from the request's sending to its reply, the last time that it was sent.
        times_sent: how often it was sent; above 1 after a lost connection, or a server that was busy.
        is_first_of_connection: whether it is the first predict of its connection, so that the server had no
            earlier frame of this client's.
    """

    timing: Timing | None = None
    round_trip_s: float = 0.0
    times_sent: int = 1
    is_first_of_connection: bool = False

    @property
    def network_s(self) -> float | None:
        """Seconds of the round trip that were not the server's; None without `timing`."""
        if self.timing is None:
            return None
        return max(0.0, self.round_trip_s - self.timing.total_ms / 1000)
