"""Progress of long work: a bar on a terminal, whole lines anywhere else, as in a container's log.

Free of torch. `huggingface_hub` takes `progress_class()` for its own bars: both classes have tqdm's `update`
and `close`.
"""

import logging
import sys
import time
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

logger = logging.getLogger(__name__)

LINE_INTERVAL_S = 10.0
_LINE_SHARE = 0.1
_MIN_INTERVAL_S = 1.0


class LineProgress:
    """Logs a line after every tenth of the whole or 10 s, with rate and remaining time, and one at the end.

    Args:
        total: bytes in all.
        initial: bytes that were there before.
        desc: what is done to them.
        delay: work that ends within this many seconds logs nothing.
    """

    def __init__(
        self,
        *,
        total: int | None = None,
        initial: int = 0,
        desc: str = "",
        delay: float = 0.0,
        **_: Any,  # noqa: ANN401 - tqdm's own options
    ) -> None:
        self._total = total
        self._initial = self._done = self._told = initial
        self._what = desc
        self._begun = self._told_at = time.monotonic()
        self._delay = delay

    def update(self, count: int = 1) -> None:
        """Count bytes that are done; negative when a download starts over."""
        self._done += count
        now = time.monotonic()
        since = now - self._told_at
        further = self._total is not None and self._done - self._told >= _LINE_SHARE * self._total
        is_last = self._done == self._total  # `close` tells it
        if not is_last and (since >= LINE_INTERVAL_S or (further and since >= _MIN_INTERVAL_S)):
            self._tell(now)

    def close(self) -> None:
        """Log how far it got."""
        now = time.monotonic()
        if self._done != self._told and now - self._begun >= self._delay:
            self._tell(now)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def _tell(self, now: float) -> None:
        rate = max(self._done - self._initial, 0) / max(now - self._begun, 1e-3)
        self._told, self._told_at = self._done, now
        if not self._total:
            logger.info("%s: %s, %s/s", self._what, size(self._done), size(rate))
            return
        left = self._total - self._done
        rest = "" if left <= 0 else f", {duration(left / rate) if rate else 'an unknown time'} left"
        logger.info(
            "%s: %.0f %% of %s, %s/s%s",
            self._what,
            100 * self._done / self._total,
            size(self._total),
            size(rate),
            rest,
        )


def progress_class() -> type[Any]:
    """Return the class tqdm when standard error is a terminal, else `LineProgress`."""
    return tqdm if sys.stderr.isatty() else LineProgress


def size(count: float) -> str:
    """Return a number of bytes for people."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return (
                f"{count / factor:.3g} {unit}" if count < 1000 * factor else f"{count / factor:,.0f} {unit}"
            )
    return f"{count:.0f} bytes"


def duration(seconds: float) -> str:
    """Return a time for people, roughly."""
    if seconds < 120:
        return f"about {max(round(seconds), 1)} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"
