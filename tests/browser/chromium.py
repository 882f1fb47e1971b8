"""Pages in a Chromium that Playwright drives, and what they said in its console."""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Error, Page, sync_playwright

from tests.patience import WITHIN_S

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Instead of the picker of windows and tabs, which wants a player: a screen with a moving picture.
_SHARES_A_SCREEN = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
# A name for this machine that is not its own, as another one's player has it: browsers trust it less.
LAN_NAME = "games.local"
# The error of every request in Chromium when a network interface comes or goes.
_NETWORK_CHANGED = "ERR_NETWORK_CHANGED"
_TRIES = 10


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A Chromium without a window."""
    with sync_playwright() as playwright:
        names = f"--host-resolver-rules=MAP {LAN_NAME} 127.0.0.1"
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", names, *_SHARES_A_SCREEN]
        )
        yield browser
        browser.close()


@dataclass
class OpenPage:
    """A page, and what it said: messages of its console, errors, violations of its policy."""

    page: Page
    said: list[str] = field(default_factory=list)
    _has_network_changed: bool = False

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self._hear(message.text))
        self.page.on("pageerror", lambda error: self._hear(str(error)))

    def goto(self, url: str) -> None:
        """Open a URL, again where the machine's network interfaces changed meanwhile: a container's, say."""
        for _ in range(_TRIES):
            self._has_network_changed = False
            try:
                self.page.goto(url, wait_until="load")
            except Error as error:
                self._hear(str(error))
                if not self._has_network_changed:
                    raise
            if not self._has_network_changed:
                return
            self.said.clear()

    def _hear(self, text: str) -> None:
        if _NETWORK_CHANGED in text:
            self._has_network_changed = True
        else:
            self.said.append(text)

    def text(self, selector: str) -> str:
        """The text of an element as it is shown."""
        return self.page.locator(selector).inner_text()

    def wait_for_text(self, selector: str, pattern: str) -> None:
        """Wait until an element's text is what a pattern matches."""
        script = (
            "([selector, pattern]) => new RegExp(pattern).test(document.querySelector(selector).innerText)"
        )
        self.page.wait_for_function(script, arg=[selector, pattern])

    def picture(self, selector: str = "#screen") -> str:
        """Return a canvas's picture as a text to compare."""
        shown: str = self.page.eval_on_selector(selector, "canvas => canvas.toDataURL()")
        return shown

    def wait_until_picture_changes(self, selector: str = "#screen") -> None:
        """Wait until a canvas shows something else than now."""
        script = "([selector, before]) => document.querySelector(selector).toDataURL() !== before"
        self.page.wait_for_function(script, arg=[selector, self.picture(selector)])

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Poll a condition until it is true; what the page does meanwhile is noticed."""
        deadline = time.monotonic() + WITHIN_S
        while not condition():
            assert time.monotonic() < deadline, f"not within {WITHIN_S} s: {what}"
            self.page.wait_for_timeout(20)


@contextmanager
def open_page(browser: Browser, context: dict[str, Any] | None = None) -> Iterator[OpenPage]:
    """An empty page in a context of its own; `context`: Playwright's options, such as `color_scheme`."""
    with browser.new_context(**(context or {})) as own:
        own.set_default_timeout(WITHIN_S * 1000)
        yield OpenPage(own.new_page())


def without_lost_connections(said: list[str]) -> list[str]:
    """Messages of a console, without the browser's own about a server that could not be reached."""
    unreached = "WebSocket connection to .* failed|Failed to load resource: net::ERR_CONNECTION"
    return [text for text in said if not re.match(unreached, text)]
