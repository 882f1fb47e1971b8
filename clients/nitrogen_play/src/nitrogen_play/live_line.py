"""The one line that is kept up to date while the game is played."""

from types import TracebackType
from typing import Self

import rich.console
import rich.live
import rich.text

from nitrogen_play.meter import Meter

_REFRESHES_PER_S = 4


class LiveLine:
    """Shows a meter's line, and at the end its summary. Where the output is no terminal, only that."""

    def __init__(self, console: rich.console.Console, meter: Meter) -> None:
        self._console = console
        self._meter = meter
        self._live = rich.live.Live(
            console=console,
            refresh_per_second=_REFRESHES_PER_S,
            transient=True,
            get_renderable=lambda: rich.text.Text(
                meter.line(console.width), no_wrap=True, overflow="ellipsis"
            ),
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        self._console.print(rich.text.Text(self._meter.summary()), soft_wrap=True)
