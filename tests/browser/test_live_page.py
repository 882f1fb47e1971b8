"""The live page in a real Chromium, beside players of the real chain."""

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from tests.browser.chromium import Browser, OpenPage, open_page
from tests.browser.traffic import WATCH_PAD, shown_pads
from tests.clients.play.runs import GAME, running_play
from tests.gateways import gateway_process
from tests.paths import ROOT
from tests.pictures import picture
from tests.stack import JsonClient, Stack, free_port

pytestmark = pytest.mark.slow

SMALL = {"viewport": {"width": 360, "height": 740}}
HOSTILE = "<img src=x onerror=document.title='taken'>"


class Player:
    """Plays until it is told to stop; `chunks`: what it was answered to each of its two pictures."""

    def __init__(self, port: int, fields: dict[str, Any], rows: list[dict[str, Any]] | None) -> None:
        self.chunks: dict[int, dict[str, Any]] = {}
        self._port = port
        self._fields = fields
        self._rows = rows
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._play)
        self.thread.start()

    def _play(self) -> None:
        with JsonClient(self._port) as client:
            number = 0
            while not self.over.is_set():
                seed = {} if "noise" in self._fields else {"seed": 1}
                header = {"type": "predict", **seed, **self._fields}
                reply = client.request(header, picture(number % 2).tobytes())
                self.chunks[number % 2] = reply.get("pred", {})
                if self._rows is not None:
                    client.request({"type": "played", "tick": 0, "rows": self._rows})
                number += 1
                self.over.wait(0.1)  # a player's pace


@contextmanager
def player(port: int, rows: list[dict[str, Any]] | None = None, **fields: object) -> Iterator[Player]:
    playing = Player(port, fields, rows)
    try:
        yield playing
    finally:
        playing.over.set()
        playing.thread.join()


@contextmanager
def hostile_player(stack: Stack) -> Iterator[None]:
    """One who plays, and one whose game's name is a script."""
    with player(stack.tcp_port), player(stack.tcp_port, game=HOSTILE):
        yield


@contextmanager
def looking(browser: Browser, port: int, context: dict[str, Any] | None = None) -> Iterator[OpenPage]:
    """The page, once it shows a player's picture."""
    with open_page(browser, context) as opened:
        opened.page.add_init_script(WATCH_PAD)
        opened.goto(f"http://127.0.0.1:{port}/live")
        opened.page.wait_for_selector("#seen", state="visible")
        yield opened


def shown_picture(opened: OpenPage) -> bytes:
    """The pixels of the picture that the page shows."""
    source = opened.page.locator("#seen").get_attribute("src") or ""
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))).tobytes()


def test_the_picture_and_the_pad_are_the_players(browser: Browser, tiny_stack: Stack) -> None:
    with player(tiny_stack.tcp_port) as playing, looking(browser, tiny_stack.http_port) as opened:
        seen: set[bytes] = set()

        def both_were_seen() -> bool:
            seen.add(shown_picture(opened))
            return len(seen) == 2 and len(shown_pads(opened.page)) > 5

        opened.wait_until(both_were_seen, "both pictures are seen, and what is pressed")
        assert seen == {picture(0).tobytes(), picture(1).tobytes()}
        rows = [row for chunk in playing.chunks.values() for row in chunk["buttons"]]
        script = (
            "rows => import('/common/gamepad.js').then(({ BUTTONS }) => rows.map((row) => JSON.stringify("
        )
        script += "BUTTONS.filter((name, column) => row[column]).sort())))"
        answered = set(opened.page.evaluate(script, rows))
        sorted_pads = {
            json.dumps(sorted(json.loads(pad)), separators=(",", ":")) for pad in shown_pads(opened.page)
        }
        assert sorted_pads <= answered | {"[]"}
        assert opened.text("#by") == "by the model"
        assert "port tcp · model nitrogen" in opened.text("#players")
        opened.wait_for_text("[data-stage=infer]", r"\d ms")
        assert opened.text("#connection") == "Live"
        assert opened.text("#problem") == ""
        assert opened.said == []


def test_nitrogen_play_is_seen_with_what_it_presses(
    browser: Browser, tiny_stack: Stack, tmp_path: Path
) -> None:
    address = ("--ip", "127.0.0.1", "--port", str(tiny_stack.zmq_port))
    with running_play(tmp_path, "--retro", GAME, *address, "--no-record"), ExitStack() as stack:
        opened = stack.enter_context(looking(browser, tiny_stack.http_port))
        opened.wait_for_text("#players", "port zmq")
        opened.wait_for_text("#by", "by the model")
        assert opened.said == []


def test_a_human_who_has_taken_over_is_shown_as_one(browser: Browser, tiny_stack: Stack) -> None:
    rows = [{"by": "human", "buttons": [0] * 18 + [1, 0, 0], "j_left": [1, 0], "j_right": [0, 0]}] * 16
    with player(tiny_stack.tcp_port, rows), looking(browser, tiny_stack.http_port) as opened:
        opened.wait_for_text("#by", "by a human")
        opened.page.wait_for_selector("[data-button=SOUTH].pressed")
        assert opened.page.locator("svg.pad").get_attribute("data-by") == "human"


def test_a_players_kind_of_noise_is_shown(browser: Browser, tiny_stack: Stack) -> None:
    noisy = player(tiny_stack.tcp_port, noise={"memory": 0.9})
    with noisy, looking(browser, tiny_stack.http_port) as opened:
        opened.wait_for_text("#players", "model nitrogen · memory 0.9 · for")


def test_names_and_errors_are_shown_as_text(browser: Browser, tiny_stack: Stack) -> None:
    with hostile_player(tiny_stack), looking(browser, tiny_stack.http_port) as opened:
        opened.wait_for_text("#players", f"game {HOSTILE[:8]}")
        opened.wait_for_text("#errors", "the game .<img src=x onerror")
        opened.wait_for_text("#players", "failed")
        assert opened.page.locator("#players img, #errors img").count() == 0
        assert opened.page.title() == "NitroGen live"
        assert opened.said == []


def test_another_player_is_chosen_by_keyboard(browser: Browser, tiny_stack: Stack) -> None:
    rows = [{"by": "human", "buttons": [0] * 21, "j_left": [1, 0], "j_right": [0, 0]}] * 16
    with player(tiny_stack.tcp_port), looking(browser, tiny_stack.http_port) as opened:
        opened.wait_until(lambda: opened.page.locator("#players li").count() == 1, "it is the only one")
        with player(tiny_stack.tcp_port, rows):
            opened.page.wait_for_selector("#players li:nth-child(2)")
            assert opened.page.locator("#players li").count() == 2
            assert opened.text("#by") == "by the model"
            opened.page.keyboard.press("Tab")
            opened.page.keyboard.press("Tab")
            opened.page.keyboard.press("Enter")
            opened.wait_for_text("#by", "by a human")
            pressed = opened.page.locator("#players button[aria-pressed=true]")
            assert pressed.count() == 1
            assert opened.page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
        # Who has left makes room for who plays on.
        opened.wait_for_text("#by", "by the model")


def test_a_gateway_that_restarts_is_told_and_the_page_goes_on(browser: Browser, tiny_stack: Stack) -> None:
    ports = {"tcp": free_port(), "http": free_port()}
    with ExitStack() as first:
        gateway = first.enter_context(gateway_process(tiny_stack.triton_endpoint, **ports))
        with player(ports["tcp"]):
            opened = first.enter_context(looking(browser, ports["http"]))
        gateway.kill()
        opened.wait_for_text("#problem", r"The gateway does not answer\. Trying again\.")
        assert opened.text("#connection") == "Not connected"
        with gateway_process(tiny_stack.triton_endpoint, **ports), player(ports["tcp"]):
            opened.wait_for_text("#problem", "^$")
            opened.wait_for_text("#connection", "Live")
            opened.page.wait_for_selector("#players li")
            assert all("ERR_" in text for text in opened.said)


def test_nobody_playing_is_said(browser: Browser, tiny_stack: Stack) -> None:
    with gateway_process(tiny_stack.triton_endpoint) as gateway, open_page(browser) as opened:
        opened.goto(f"http://127.0.0.1:{gateway.http}/live")
        opened.wait_for_text("#connection", "Live")
        assert opened.text("#nobody").startswith("Nobody is playing.")
        assert opened.text("#no-errors") == "None."
        assert not opened.page.locator("#shown").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, tiny_stack: Stack, axe: str, scheme: str) -> None:
    with (
        hostile_player(tiny_stack),
        looking(browser, tiny_stack.http_port, {"color_scheme": scheme}) as opened,
    ):
        opened.page.evaluate(axe)
        found = opened.page.evaluate("axe.run().then(({ violations }) => violations)")
        assert [f"{one['id']}: {one['nodes'][0]['html']}" for one in found] == []


def test_page_fits_a_narrow_screen(browser: Browser, tiny_stack: Stack) -> None:
    with player(tiny_stack.tcp_port), looking(browser, tiny_stack.http_port, SMALL) as opened:
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
        assert opened.page.locator("#seen").bounding_box()["width"] > 280  # type: ignore[index]  # it is shown


def test_page_is_small() -> None:
    folders = (ROOT / "gateway" / "pages" / name for name in ("live", "common"))
    assert sum(path.stat().st_size for folder in folders for path in folder.iterdir()) < 60_000
