"""The messages between the play page and the gateway, and the buttons that the page shows."""

import json
from itertools import pairwise
from typing import Any

from playwright.sync_api import Page, WebSocket

from contract.gamepad import BUTTONS

MENU = {"BACK", "GUIDE", "START"}
# Collects each set of buttons that the drawn pad shows as pressed.
WATCH_PAD = """
    window.shownPads = new Set();
    const look = () => {
        const pressed = [...document.querySelectorAll("[data-button].pressed")];
        window.shownPads.add(JSON.stringify(pressed.map((button) => button.dataset.button)));
        requestAnimationFrame(look);
    };
    look();
"""


class Traffic:
    """The messages on a page's WebSocket: each `predict` and its picture, chunks, rows of `played`, errors.

    `asked`: the types of all requests but `info`, which comes by the clock.
    """

    def __init__(self, page: Page) -> None:
        self.pictures: dict[int, bytes] = {}
        self.predicts: dict[int, dict[str, Any]] = {}
        self.chunks: dict[int, dict[str, Any]] = {}
        self.played: list[dict[str, Any]] = []
        self.told: list[tuple[int, list[dict[str, Any]]]] = []
        self.errors: list[str] = []
        self.asked: list[str] = []
        self._last = 0
        page.on("websocket", self._watch)

    def _watch(self, socket: WebSocket) -> None:
        socket.on("framesent", self._sent)
        socket.on("framereceived", self._received)

    def _sent(self, payload: str | bytes) -> None:
        if isinstance(payload, bytes):
            self.pictures[self._last] = payload
            return
        fields = json.loads(payload)
        if fields["type"] != "info":
            self.asked.append(fields["type"])
        if fields["type"] == "predict":
            self._last = fields["id"]
            self.predicts[self._last] = fields
        elif fields["type"] == "played":
            self.played += fields["rows"]
            self.told.append((fields["tick"], fields["rows"]))

    def _received(self, payload: str | bytes) -> None:
        reply = json.loads(payload)
        if "pred" in reply:
            self.chunks[reply["id"]] = reply["pred"]
        if reply["status"] != "ok":
            self.errors.append(reply["message"])

    def followed(self) -> list[int]:
        """The answered predicts that carried on from a chunk, by id."""
        return sorted(number for number in self.chunks if "previous" in self.predicts[number])

    def pictures_by_hand(self) -> list[dict[str, Any]]:
        """The predicts whose pictures show the game at a tick that a human played."""
        by_hand = {
            tick + number
            for tick, rows in self.told
            for number, row in enumerate(rows)
            if row["by"] == "human"
        }
        return [predict for predict in self.predicts.values() if predict["tick"] in by_hand]

    def restarted(self) -> list[dict[str, Any]]:
        """The predicts that were the first after the game's ticks began again."""
        return [
            later for earlier, later in pairwise(self.predicts.values()) if later["tick"] < earlier["tick"]
        ]

    def pads(self) -> set[str]:
        """All sets of buttons that the chunks press, without the menu's, as `shown_pads` has them."""
        rows = [row for chunk in self.chunks.values() for row in chunk["buttons"]]
        return {json.dumps(pressed(row), separators=(",", ":")) for row in rows}


def pressed(row: list[int]) -> list[str]:
    """The names of the buttons of a row, without the menu's."""
    return [name for name, value in zip(BUTTONS, row, strict=True) if value and name not in MENU]


def shown_pads(page: Page) -> set[str]:
    """Each set of buttons that the page has shown as pressed."""
    return set(page.evaluate("[...window.shownPads]"))
