"""The one line that is kept up to date while the game is played."""

from collections.abc import Iterator
from contextlib import contextmanager

import rich.console
import rich.live
import rich.text

from nitrogen_play.meter import Meter

_REFRESHES_PER_S = 4


@contextmanager
def live_line(console: rich.console.Console, meter: Meter) -> Iterator[None]:
    """Show a meter's line, and at the end its summary. Without a terminal, show only the summary."""
    live = rich.live.Live(
        console=console,
        refresh_per_second=_REFRESHES_PER_S,
        transient=True,
        get_renderable=lambda: rich.text.Text(meter.line(console.width), no_wrap=True, overflow="ellipsis"),
    )
    if console.is_terminal:
        live.start()
    try:
        yield
    finally:
        live.stop()
        console.print(rich.text.Text(meter.summary()), soft_wrap=True)
