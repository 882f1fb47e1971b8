"""The play page in a real Chromium, in front of the real chain."""

import os
import re
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np
import pytest
from nitrogen_play.conditioning import Conditioning
from nitrogen_play.pad import PadState
from nitrogen_play.schedule import ChunkSchedule

from contract.gamepad import BUTTONS
from tests.browser.chromium import LAN_NAME, Browser, OpenPage, open_page, without_lost_connections
from tests.browser.square_rom import crashing_rom, square_rom
from tests.browser.traffic import MENU, WATCH_PAD, Traffic, pressed, shown_pads
from tests.gateways import gateway_process
from tests.paths import ROOT
from tests.stack import JsonClient, Stack, free_port

pytestmark = pytest.mark.slow

PAGES = ROOT / "gateway" / "pages"
TEN_PICTURES_LATER = """() => new Promise((resolve) => {
    let left = 10;
    const next = () => (left-- > 0 ? requestAnimationFrame(next) : resolve());
    next();
})"""
SMALL = {"viewport": {"width": 360, "height": 740}}


@pytest.fixture(scope="module", autouse=True)
def emulator() -> None:
    """The NES emulator, where it has not been fetched yet."""
    subprocess.run(["make", "--silent", "web"], cwd=ROOT, check=True, timeout=120)


@contextmanager
def playing(
    browser: Browser, port: int, query: str = "", context: dict[str, Any] | None = None
) -> Iterator[tuple[OpenPage, Traffic]]:
    """The page, once the model has answered, and what it and the server say to each other."""
    with open_page(browser, context) as opened:
        opened.page.add_init_script(WATCH_PAD)
        traffic = Traffic(opened.page)
        opened.goto(f"http://127.0.0.1:{port}/{query}")
        opened.wait_for_text("#model-ms", r"\d ms")
        yield opened, traffic


def check_against_port_5556(stack: Stack, traffic: Traffic, request: int) -> None:
    """Check that one of the page's requests got what port 5556 answers to the same fields and picture."""
    rgba = np.frombuffer(traffic.pictures[request], np.uint8).reshape(256, 256, 4)
    asked = traffic.predicts[request]
    header = {"type": "predict"} | {
        name: asked[name] for name in ("seed", "previous", "delay") if name in asked
    }
    with JsonClient(stack.tcp_port) as client:
        wanted = client.request(header, rgba[..., :3].tobytes())["pred"]
    chunk = traffic.chunks[request]
    assert chunk["buttons"] == wanted["buttons"]
    for stick in ("j_left", "j_right"):
        # Replies have three decimals, and the last may differ in another batch.
        np.testing.assert_allclose(chunk[stick], wanted[stick], atol=1.5e-3)


def test_sample_game_is_played_without_a_word_in_the_console(browser: Browser, stack: Stack) -> None:
    with playing(browser, stack.web_port) as (opened, _):
        opened.wait_until_picture_changes()
        opened.wait_until_picture_changes("#seen")
        opened.wait_for_text("#connection", "^Connected$")
        assert opened.text("#by") == "The model plays"
        opened.wait_for_text("#problem", "^$")
        opened.wait_for_text("#facts", "Game")
        facts = opened.text("#facts").splitlines()
        told = dict(zip(facts[::2], facts[1::2], strict=True))
        assert (told["Model"], told["Precision"], told["Chunk"]) == (
            "nitrogen, version 1",
            "fp32",
            "16 actions",
        )
        # Answers within milliseconds: there is no need for turns.
        opened.wait_for_text("#pace", "^real time$")
        assert opened.said == []


def test_a_player_of_the_local_network_sees_the_same(browser: Browser, stack: Stack) -> None:
    with open_page(browser) as opened:
        opened.goto(f"http://{LAN_NAME}:{stack.web_port}/")
        opened.wait_for_text("#model-ms", r"\d ms")
        assert opened.said == []


def test_pad_and_every_row_follow_what_the_server_answered(browser: Browser, stack: Stack) -> None:
    with playing(browser, stack.web_port, "?seed=7") as (opened, traffic):
        opened.wait_until(lambda: len(shown_pads(opened.page)) > 3, "the pad follows the model")
        shown = shown_pads(opened.page)
        answered = traffic.pads()
        assert shown <= answered | {"[]"}
        check_against_port_5556(stack, traffic, min(traffic.chunks))


def test_eight_pages_get_their_own_answers(browser: Browser, stack: Stack) -> None:
    with ExitStack() as pages:
        all_traffic = [
            pages.enter_context(playing(browser, stack.web_port, f"?seed={seed}", SMALL)) for seed in range(8)
        ]
        for opened, traffic in all_traffic:
            opened.wait_until(lambda traffic=traffic: len(traffic.chunks) > 1, "an answer")
        for opened, traffic in all_traffic:
            check_against_port_5556(stack, traffic, max(traffic.chunks))
            assert opened.said == []


def test_player_takes_over_with_a_key_and_gives_back_with_another(browser: Browser, stack: Stack) -> None:
    with playing(browser, stack.web_port) as (opened, traffic):
        opened.page.keyboard.down("ArrowRight")
        opened.wait_for_text("#by", "You play")
        assert opened.page.locator("[data-button].pressed").get_attribute("data-button") == "DPAD_RIGHT"
        opened.page.keyboard.up("ArrowRight")
        opened.wait_until(traffic.pictures_by_hand, "the server is told what the player pressed at a picture")
        assert all("previous" not in predict for predict in traffic.pictures_by_hand())
        opened.page.keyboard.press("Escape")
        opened.wait_for_text("#by", "The model plays")
        row = next(row for row in traffic.played if row["by"] == "human")
        assert pressed(row["buttons"]) == ["DPAD_RIGHT"]
        opened.wait_until_picture_changes()
        assert opened.said == []
        assert traffic.errors == []


def test_a_key_that_is_up_again_before_the_next_picture_counts(browser: Browser, stack: Stack) -> None:
    script = """() => ["keydown", "keyup"].forEach((type) =>
        document.body.dispatchEvent(new KeyboardEvent(type, { code: "KeyJ", bubbles: true })))"""
    with playing(browser, stack.web_port) as (opened, traffic):
        opened.page.evaluate(script)
        opened.wait_for_text("#by", "You play")
        opened.wait_until(
            lambda: any(row["by"] == "human" for row in traffic.played), "the server is told of the key"
        )
        by_hand = [pressed(row["buttons"]) for row in traffic.played if row["by"] == "human"]
        assert (by_hand[0], by_hand[-1]) == (["WEST"], [])


def test_a_button_is_held_as_long_as_one_of_its_keys_is(browser: Browser, stack: Stack) -> None:
    with playing(browser, stack.web_port) as (opened, traffic):
        keyboard = opened.page.keyboard
        for key in ("ArrowRight", "KeyD", "KeyK"):
            keyboard.down(key)
        keyboard.up("KeyD")
        keyboard.up("KeyK")
        opened.wait_until(
            lambda: traffic.played and pressed(traffic.played[-1]["buttons"]) == ["DPAD_RIGHT"],
            "the arrow key still holds the button",
        )
        keyboard.up("ArrowRight")
        opened.wait_until(lambda: pressed(traffic.played[-1]["buttons"]) == [], "both are up")


def test_the_keys_are_the_games_after_a_button_was_clicked(browser: Browser, stack: Stack) -> None:
    with playing(browser, stack.web_port) as (opened, _):
        opened.page.click("#pause")
        opened.wait_for_text("#pause", "Resume")
        opened.page.click("#pause")
        opened.page.keyboard.down("Space")
        opened.wait_for_text("#by", "You play")
        assert opened.text("#pause") == "Pause"
        opened.page.keyboard.up("Space")


def test_a_gamepad_that_lies_still_leaves_the_sticks_to_the_other(browser: Browser, stack: Stack) -> None:
    still = "{connected: true, mapping: 'standard', buttons: [], axes: [0, 0.1]}"
    pushed = still.replace("[0, 0.1]", "[1.01, 0, 0, -0.75]")
    with playing(browser, stack.web_port) as (opened, traffic):
        opened.page.evaluate(f"() => {{ navigator.getGamepads = () => [null, {pushed}, {still}]; }}")
        opened.wait_for_text("#by", "You play")
        opened.wait_until(
            lambda: traffic.played and traffic.played[-1]["by"] == "human",
            "the server is told what the player pressed",
        )
        assert (traffic.played[-1]["j_left"], traffic.played[-1]["j_right"]) == ([1, 0], [0, -0.75])
        assert traffic.errors == []


def test_what_was_pressed_until_a_restart_is_told(browser: Browser, stack: Stack) -> None:
    with playing(browser, stack.web_port) as (opened, traffic):
        opened.page.keyboard.down("ArrowRight")
        opened.wait_for_text("#by", "You play")
        opened.page.click("#restart")
        opened.wait_until(lambda: traffic.asked.count("reset") > 1, "the game has begun again")
        last = len(traffic.asked) - traffic.asked[::-1].index("reset") - 1
        assert traffic.asked[last - 1] == "played"
        assert traffic.errors == []


def test_menu_buttons_are_pressed_only_where_they_are_switched_on(browser: Browser, stack: Stack) -> None:
    with playing(browser, stack.web_port) as (opened, traffic):

        def menus() -> set[str]:
            rows = [row["buttons"] for row in traffic.played]
            return {name for row in rows for name, value in zip(BUTTONS, row, strict=True) if value} & MENU

        def wished() -> bool:
            rows = [row for pred in traffic.chunks.values() for row in pred["buttons"]]
            return any(row[BUTTONS.index(name)] for row in rows for name in MENU)

        opened.wait_until(wished, "the model would press one")
        assert menus() == set()
        opened.page.check("#menu")
        opened.wait_until(menus, "the model presses one")


def square_at(opened: OpenPage) -> list[int]:
    """Where the test ROM's white square is on the game's screen."""
    found: list[int] = opened.page.evaluate(
        """() => {
            const canvas = new OffscreenCanvas(256, 240);
            const context = canvas.getContext("2d", { willReadFrequently: true });
            context.drawImage(document.getElementById("screen"), 0, 0);
            const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
            for (let pixel = 0; pixel < data.length; pixel += 4) {
                if (data[pixel] > 200) return [(pixel / 4) % 256, Math.floor(pixel / 1024)];
            }
            return [-1, -1];
        }"""
    )
    return found


def test_a_rom_from_a_file_is_played_by_the_model_and_by_the_player(
    browser: Browser, stack: Stack, tmp_path: Path
) -> None:
    rom = tmp_path / "square.nes"
    rom.write_bytes(square_rom())
    with playing(browser, stack.web_port) as (opened, _):
        opened.page.select_option("#game", "nes")
        opened.page.set_input_files("#rom", rom)
        opened.wait_for_text("#game-title", "square.nes")
        opened.wait_until_picture_changes()
        opened.page.focus("#stage")
        opened.page.keyboard.down("ArrowLeft")
        opened.wait_for_text("#by", "You play")
        x, y = square_at(opened)
        assert (x, y) != (-1, -1)
        opened.wait_until(lambda: square_at(opened)[0] < x, "it moves left")
        opened.page.keyboard.up("ArrowLeft")
        assert square_at(opened)[1] == y
        assert opened.text("#sound") == "Sound on"
        assert opened.said == []


def test_a_rom_that_is_dropped_on_the_page_is_played(browser: Browser, stack: Stack) -> None:
    script = """bytes => {
        const dropped = new DataTransfer();
        dropped.items.add(new File([new Uint8Array(bytes)], "dropped.nes"));
        return dropped;
    }"""
    with playing(browser, stack.web_port) as (opened, _):
        dropped = opened.page.evaluate_handle(script, list(square_rom()))
        opened.page.dispatch_event("#strip", "drop", {"dataTransfer": dropped})
        opened.wait_for_text("#game-title", "dropped.nes")
        assert opened.page.input_value("#game") == "nes"
        opened.wait_until_picture_changes()
        assert opened.said == []


def test_a_file_that_is_no_rom_is_told_and_the_game_goes_on(
    browser: Browser, stack: Stack, tmp_path: Path
) -> None:
    text = tmp_path / "<b>notes.nes"
    text.write_text("shopping list")
    with playing(browser, stack.web_port) as (opened, _):
        opened.page.select_option("#game", "nes")
        opened.page.set_input_files("#rom", text)
        opened.wait_for_text("#problem", "notes.*Not a valid NES ROM.*another file")
        assert opened.page.locator("#problem b").count() == 0
        opened.wait_until_picture_changes()


def test_a_game_that_crashes_is_told_and_another_can_be_played(
    browser: Browser, stack: Stack, tmp_path: Path
) -> None:
    rom = tmp_path / "crash.nes"
    rom.write_bytes(crashing_rom())
    with playing(browser, stack.web_port) as (opened, _):
        opened.page.select_option("#game", "nes")
        opened.page.set_input_files("#rom", rom)
        opened.wait_for_text("#problem", "crash.nes has stopped: .*Restart it, or choose another game")
        opened.page.select_option("#game", "runner")
        opened.wait_for_text("#problem", "^$")
        opened.wait_until_picture_changes()


def test_a_server_without_the_emulator_says_how_to_get_it(browser: Browser, stack: Stack) -> None:
    with playing(browser, stack.web_port) as (opened, _):
        opened.page.route("**/emulator/*", lambda route: route.abort())
        opened.page.select_option("#game", "nes")
        opened.wait_for_text("#problem", "make web")
        opened.wait_until_picture_changes()


def test_a_shared_screen_shows_what_the_model_would_press(browser: Browser, stack: Stack) -> None:
    with playing(browser, stack.web_port) as (opened, _):
        opened.page.select_option("#game", "window")
        opened.page.click("#share")
        opened.page.wait_for_function("() => document.getElementById('hand').hidden")
        opened.wait_until_picture_changes("#seen")
        opened.page.keyboard.press("ArrowRight")
        assert opened.text("#by") == "The model only watches"
        assert opened.said == []


def test_triton_killed_and_back_is_told_and_the_page_goes_on(browser: Browser, stack: Stack) -> None:
    with playing(browser, stack.web_port) as (opened, _):
        opened.page.select_option("#time", "turns")
        os.kill(stack.triton_pid(), signal.SIGKILL)
        opened.wait_for_text("#problem", "The server says: .*Trying again")
        stands = opened.picture()
        opened.page.evaluate(TEN_PICTURES_LATER)
        assert opened.picture() == stands
        opened.wait_for_text("#problem", "^$")
        opened.wait_until_picture_changes()
        assert opened.said == []


def test_a_model_that_takes_longer_than_usual_is_told(browser: Browser, stack: Stack) -> None:
    with playing(browser, stack.web_port) as (opened, _):
        triton = stack.triton_pid()
        os.kill(triton, signal.SIGSTOP)
        try:
            opened.wait_for_text("#problem", "The model is taking longer than usual to answer")
        finally:
            os.kill(triton, signal.SIGCONT)
        opened.wait_for_text("#problem", "^$")
        opened.wait_until_picture_changes()
        assert opened.said == []


def test_a_gateway_that_restarts_is_told_and_the_page_goes_on(browser: Browser, stack: Stack) -> None:
    port = free_port()
    with ExitStack() as first:
        gateway = first.enter_context(gateway_process(stack.triton_endpoint, web=port))
        opened, _ = first.enter_context(playing(browser, port))
        gateway.kill()
        opened.wait_for_text("#problem", r"No connection to 127\.0\.0\.1:\d+\. Trying again\.")
        assert opened.text("#connection") == "Not connected"
        with gateway_process(stack.triton_endpoint, web=port):
            opened.wait_for_text("#problem", "^$")
            opened.wait_for_text("#connection", "^Connected$")
            opened.wait_until_picture_changes()
            opened.wait_until_picture_changes("#seen")
        assert without_lost_connections(opened.said) == []


def test_a_page_without_the_token_says_so_and_one_with_it_plays(
    browser: Browser, stack: Stack, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("sesame opens")
    with (
        gateway_process(stack.triton_endpoint, f"--web-token-file={token}") as gateway,
        open_page(browser) as opened,
    ):
        opened.goto(f"http://127.0.0.1:{gateway.web}/")
        opened.wait_for_text("#problem", r"The server says: .*wants a token.*Trying again\.")
        opened.goto(f"http://127.0.0.1:{gateway.web}/?token=sesame+opens")
        opened.wait_for_text("#model-ms", r"\d ms")
        opened.wait_for_text("#problem", "^$")


def test_a_page_of_another_origin_is_refused(browser: Browser, stack: Stack) -> None:
    script = """port => new Promise((resolve) => {
        const socket = new WebSocket(`ws://127.0.0.1:${port}/play`);
        socket.onopen = () => resolve("opened");
        socket.onerror = () => resolve("refused");
    })"""
    with open_page(browser) as opened:
        opened.goto(f"http://127.0.0.1:{stack.http_port}/healthz")
        assert opened.page.evaluate(script, stack.web_port) == "refused"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, stack: Stack, axe: str, scheme: str) -> None:
    with playing(browser, stack.web_port, context={"color_scheme": scheme}) as (opened, _):
        opened.page.evaluate(axe)
        found = opened.page.evaluate("axe.run().then(({ violations }) => violations)")
        assert [f"{one['id']}: {one['nodes'][0]['html']}" for one in found] == []


def test_page_fits_a_narrow_screen(browser: Browser, stack: Stack) -> None:
    with playing(browser, stack.web_port, context=SMALL) as (opened, _):
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
        assert opened.page.locator("#screen").bounding_box()["width"] > 280  # type: ignore[index]  # it is shown


def test_who_comes_back_to_the_page_finds_its_controls_as_they_are_in_force(
    browser: Browser, stack: Stack
) -> None:
    with playing(browser, stack.web_port) as (opened, _):
        opened.page.select_option("#time", "turns")
        opened.page.check("#menu")
        opened.goto(f"http://127.0.0.1:{stack.web_port}/healthz")
        opened.page.go_back()
        opened.wait_for_text("#connection", "^Connected$")
        assert opened.page.input_value("#time") == "auto"
        assert not opened.page.is_checked("#menu")


def test_noise_is_chosen_by_keyboard_and_sent_with_each_picture(browser: Browser, stack: Stack) -> None:
    with playing(browser, stack.web_port) as (opened, traffic):

        def last(field: str) -> object:
            return traffic.predicts[max(traffic.chunks)].get(field)

        assert last("noise") is None
        opened.page.focus("#noise")
        opened.page.keyboard.press("ArrowDown")
        opened.wait_for_text("#noise-hint", "carries over to the next chunk")
        opened.wait_until(lambda: last("noise") == {"memory": 0.9}, "the noise has a memory")
        opened.page.focus("#memory")
        opened.page.keyboard.press("End")
        opened.wait_for_text("#memory-value", "1.00")
        opened.wait_until(lambda: last("noise") == {"memory": 1}, "all of the noise is kept")
        opened.page.focus("#noise")
        opened.page.keyboard.press("ArrowDown")
        opened.wait_until(lambda: last("noise") == {"tick": last("tick")}, "the noise is that of the tick")
        opened.page.reload()
        opened.wait_for_text("#model-ms", r"\d ms")
        assert opened.page.input_value("#noise") == "tick"
        opened.wait_until(lambda: last("noise") == {"tick": last("tick")}, "the reload has kept it")
        assert opened.said == []
        assert traffic.errors == []


def test_in_real_time_a_chunk_carries_on_from_what_is_pressed(browser: Browser, stack: Stack) -> None:
    with playing(browser, stack.web_port) as (opened, traffic):
        opened.page.select_option("#time", "real")
        opened.wait_until(lambda: len(traffic.followed()) > 5, "chunks follow one another")
        pressed_at = {tick + row: pad for tick, rows in traffic.told for row, pad in enumerate(rows)}
        for number in traffic.followed()[:5]:
            asked, chunk = traffic.predicts[number], traffic.chunks[number]
            previous, delay = asked["previous"], asked["delay"]
            first = pressed_at[asked["tick"]]
            for part, rows in previous.items():
                assert rows[0] == first[part]
                # Replies have three decimals, and the last may be rounded either way.
                kept = chunk[part][: min(delay, len(rows))]
                np.testing.assert_allclose(kept, rows[: len(kept)], atol=1.5e-3)
        assert traffic.errors == []
        for selector in ("#pause", "#hand"):
            opened.page.click(selector)
            opened.page.evaluate(TEN_PICTURES_LATER)
            before = max(traffic.predicts)
            opened.page.click(selector)
            opened.wait_until(lambda before=before: traffic.followed()[-1] > before, "chunks follow again")
            assert "previous" not in traffic.predicts[min(key for key in traffic.predicts if key > before)]
        opened.page.click("#restart")
        opened.wait_until(lambda: len(traffic.restarted()) == 1, "the game has begun again")
        assert "previous" not in traffic.restarted()[0]


def test_chunks_are_on_their_own_where_the_player_wants_it(browser: Browser, stack: Stack) -> None:
    with playing(browser, stack.web_port) as (opened, traffic):
        opened.page.select_option("#time", "real")
        opened.wait_until(traffic.followed, "chunks follow one another")
        opened.page.focus("#conditioning")
        opened.page.keyboard.press("Space")
        before = max(traffic.predicts)
        opened.wait_until(lambda: max(traffic.predicts) > before + 20, "some more chunks")
        assert max(traffic.followed()) <= before
        opened.page.reload()
        opened.wait_for_text("#conditioning-hint", "carries on from what is being pressed")
        assert not opened.page.is_checked("#conditioning")
        assert opened.said == []


def test_every_control_is_reached_by_keyboard(browser: Browser, stack: Stack) -> None:
    with playing(browser, stack.web_port) as (opened, _):
        keyboard = opened.page.keyboard
        reached = []
        for _ in range(8):
            reached.append(opened.page.evaluate("document.activeElement.id"))
            keyboard.press("Tab")
        assert reached[:7] == ["stage", "hand", "pause", "restart", "game", "time", "menu"]
        opened.page.focus("#pause")
        keyboard.press("Space")
        opened.wait_for_text("#pause", "^Resume$")
        assert opened.text("#by") == "The model plays"
        opened.page.focus("#game")
        keyboard.press("ArrowDown")
        opened.page.wait_for_selector("#rom", state="visible")
        assert opened.text("#by") == "The model plays"


def test_pages_tables_are_those_of_the_rest(browser: Browser, stack: Stack) -> None:
    consoles = tomllib.loads((ROOT / "clients" / "consoles.toml").read_text())
    with playing(browser, stack.web_port) as (opened, _):
        assert opened.page.evaluate("import('/common/gamepad.js').then((found) => found.BUTTONS)") == [
            *BUTTONS
        ]
        nes = opened.page.evaluate(
            """import('/games/nes.js').then(({ BUTTONS }) => Object.fromEntries(
                BUTTONS.map(([name, number, held]) => [name, held])))"""
        )
        assert nes == {name: button["pad"] for name, button in consoles["nes"]["buttons"].items()}


@pytest.mark.parametrize("ticks_per_row", [1, 3])
def test_rows_are_due_as_they_are_for_nitrogen_play(
    browser: Browser, stack: Stack, ticks_per_row: int
) -> None:
    random = np.random.default_rng(7)
    # Chunks of four rows that arrive now and then, some of them later than all of their rows.
    arrivals = {tick: tick - int(random.integers(0, min(tick, 18) + 1)) for tick in (0, 2, 7, 9, 20, 22, 60)}
    schedule, conditioning = ChunkSchedule(ticks_per_row, None), Conditioning(ticks_per_row)
    expected = []
    for tick in range(100):
        wants = schedule.wants_chunk(tick)
        if tick in arrivals:
            rows = [PadState(frozenset(), (tick, row), (0, 0)) for row in range(4)]
            schedule.take(rows, arrivals[tick], tick)
            conditioning.count_delay(tick - arrivals[tick])
        due = schedule.due(tick)
        previous = conditioning.previous(schedule.remaining(tick), schedule.picture_tick)
        follows = [len(previous.states), previous.delay] if previous else [0, 0]
        expected.append([wants, *due.state.left, due.index if due.is_fresh else -1, *follows])
    script = """async ([arrivals, ticksPerRow]) => {
        const { ChunkSchedule } = await import("/schedule.js");
        const schedule = new ChunkSchedule(ticksPerRow);
        return Array.from({ length: 100 }, (_, tick) => {
            const wants = schedule.wantsChunk(tick);
            const rows = [0, 1, 2, 3].map((row) => ({ j_left: [tick, row] }));
            if (tick in arrivals) schedule.take(rows, arrivals[tick], tick);
            const { pad, index } = schedule.due(tick);
            const { rows: left, delay } = schedule.toFollow(tick) ?? { rows: [], delay: 0 };
            return [wants, ...pad.j_left, index, left.length, Math.min(delay, left.length)];
        });
    }"""
    with playing(browser, stack.web_port) as (opened, _):
        assert opened.page.evaluate(script, [arrivals, ticks_per_row]) == expected


def test_delays_of_seconds_fit_beside_their_chart(browser: Browser, stack: Stack) -> None:
    script = """() => import("/common/chart.js").then(({ axisLabel }) => [
        axisLabel(200, 400), axisLabel(500, 1000), axisLabel(20_000, 40_000),
    ])"""
    with open_page(browser) as opened:
        opened.goto(f"http://127.0.0.1:{stack.web_port}/")
        assert opened.page.evaluate(script) == ["200 ms", "0.5 s", "20 s"]


def test_page_is_small() -> None:
    files = [path for folder in ("play", "common") for path in (PAGES / folder).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files if "emulator" not in path.parts) < 150_000


def test_its_parts_are_found_where_a_proxy_serves_it_below_a_path() -> None:
    files = {
        f"{prefix}{path.relative_to(PAGES / folder)}": path
        for folder, prefix in (("play", ""), ("common", "common/"))
        for path in (PAGES / folder).rglob("*.*")
    }
    asked = [
        urljoin(f"/games/nitrogen/{name}", link)
        for name, path in files.items()
        if path.suffix in {".js", ".html"} and "emulator" not in path.parts
        for link in re.findall(r'(?: from |src=|href=)"([^"]+)"', path.read_text())
    ]
    assert {"/games/nitrogen/main.js", "/games/nitrogen/common/pad.js"} <= set(asked)
    assert set(asked) <= {f"/games/nitrogen/{name}" for name in files}
