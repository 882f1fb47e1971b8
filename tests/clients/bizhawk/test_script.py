"""EmuHawk's script with the real gateway: what the model says is what each console's controller gets."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.bizhawk.expected import Pred, console_of, held_and_axes
from tests.pictures import image_file, picture
from tests.stack import JsonClient, Stack
from tests.stand_ins.bizhawk_host import CORES, SCRIPT, BizHawk, Core, Sockets, with_options

HORIZON = 16

CONSOLE_OF = {
    "NesHawk": "nes",
    "BSNES": "snes",
    "Gambatte": "gameboy",
    "Gambatte, color": "gameboy",
    "GBHawk": "gameboy",
    "mGBA": "gba",
    "Genplus-gx": "megadrive",
    "Genplus-gx, 3 buttons": "megadrive",
    "Mupen64Plus": "n64",
    "Nymashock": "psx",
    "Octoshock": "psx",
    "Octoshock, digital": "psx_digital",
}


@pytest.fixture
def sockets(tiny_stack: Stack) -> Iterator[Sockets]:
    with Sockets(tiny_stack.tcp_port) as sockets:
        yield sockets


def started(core: str, sockets: Sockets, **options: str) -> BizHawk:
    """An emulator that plays by the script, with the same actions for the same picture."""
    bizhawk = BizHawk(CORES[core], sockets)
    bizhawk.load(with_options(SCRIPT.read_text("utf-8"), **{"seed": "3", **options}))
    return bizhawk


def predicted(stack: Stack, core: Core, number: int, resize_mode: str, seed: int = 3) -> Pred:
    """Return the gateway's answer to a JSON client that sends the same picture."""
    png = image_file(picture(number, core.height, core.width))
    header: dict[str, Any] = {"type": "predict", "len": len(png), "resize_mode": resize_mode, "seed": seed}
    with JsonClient(stack.tcp_port) as client:
        pred: Pred = client.request(header, png)["pred"]
    return pred


def played(bizhawk: BizHawk, first: int = 0) -> list[tuple[set[str], dict[str, int]]]:
    return [(set(frame.held), dict(frame.axes)) for frame in bizhawk.frames[first:]]


def test_every_core_has_its_console() -> None:
    assert set(CONSOLE_OF) == set(CORES)


@pytest.mark.parametrize("core", CORES)
def test_each_console_gets_the_models_buttons_frame_by_frame(
    tiny_stack: Stack, sockets: Sockets, core: str
) -> None:
    console = console_of(CONSOLE_OF[core])
    bizhawk = started(core, sockets)
    bizhawk.run(3 * HORIZON)
    expected = [
        step
        for number in range(0, 3 * HORIZON, HORIZON)
        for step in held_and_axes(
            predicted(tiny_stack, CORES[core], number, console["resize_mode"]), CORES[core], console
        )
    ]
    assert played(bizhawk) == expected
    assert len({frozenset(held) for held, _ in expected}) > 3
    assert bizhawk.log == [f"NitroGen: playing {console['title']} through 127.0.0.1:{tiny_stack.tcp_port}"]


@pytest.mark.parametrize("core", CORES)
def test_menu_buttons_are_pressed_only_where_they_are_allowed(
    tiny_stack: Stack, sockets: Sockets, core: str
) -> None:
    console = console_of(CONSOLE_OF[core])
    menus = {f"{prefix}{name}" for name in ("Start", "Select", "Mode") for prefix in ("P1 ", "")} & set(
        CORES[core].buttons
    )
    bizhawk = started(core, sockets, allow_menu="true")
    bizhawk.run(3 * HORIZON)
    expected = [
        step
        for number in range(0, 3 * HORIZON, HORIZON)
        for step in held_and_axes(
            predicted(tiny_stack, CORES[core], number, console["resize_mode"]),
            CORES[core],
            console,
            menus=True,
        )
    ]
    assert played(bizhawk) == expected
    assert any(menus & held for held, _ in expected), "this model and these pictures open no menu"
    bizhawk = started(core, sockets)
    bizhawk.run(3 * HORIZON)
    assert not any(menus & held for held, _ in played(bizhawk))


def test_the_player_can_open_a_menu_while_the_model_plays(sockets: Sockets) -> None:
    bizhawk = started("NesHawk", sockets)
    bizhawk.player = {"P1 Start", "P1 A", "P2 Up"}
    bizhawk.run(2 * HORIZON)
    assert all({"P1 Start", "P2 Up"} <= frame.held for frame in bizhawk.frames)
    assert not all("P1 A" in frame.held for frame in bizhawk.frames)


def test_the_player_takes_over_with_a_key_and_gives_back_with_it(tiny_stack: Stack, sockets: Sockets) -> None:
    core = CORES["Mupen64Plus"]
    bizhawk = started("Mupen64Plus", sockets)
    bizhawk.run(HORIZON + 3)
    assert bizhawk.frames[-1].texts[0] == "NitroGen plays: step 3 of 16, answer 2"
    bizhawk.keys, bizhawk.player = {"Home"}, {"P1 DPad U"}
    bizhawk.run(5)  # held down, it counts once
    bizhawk.keys = {"A", "B"}
    bizhawk.run(30)
    for frame in bizhawk.frames[HORIZON + 3 :]:
        assert (frame.held, frame.axes, frame.texts[0]) == ({"P1 DPad U"}, core.axes, "You play")
    bizhawk.keys, bizhawk.player = {"Home"}, set()
    first, number = len(bizhawk.frames), bizhawk.screen
    bizhawk.run(HORIZON)
    expected = held_and_axes(predicted(tiny_stack, core, number, "pad"), core, console_of("n64"))
    assert played(bizhawk, first) == list(expected)


def test_taking_over_forgets_the_frames_before_it(context_stack: Stack) -> None:
    core = CORES["NesHawk"]
    with Sockets(context_stack.tcp_port) as sockets:
        bizhawk = started("NesHawk", sockets)
        bizhawk.is_paused = True
        bizhawk.run(2 * 18)
        alone = list(held_and_axes(predicted(context_stack, core, 0, "crop"), core, console_of("nes")))
        assert played(bizhawk)[:18] == alone
        assert played(bizhawk)[18:] != alone  # it has seen two frames
        for keys in ({"Home"}, set[str]()):
            bizhawk.keys = keys
            bizhawk.run(1)
        bizhawk.keys = {"Home"}
        bizhawk.run(18)
        assert played(bizhawk)[-18:] == alone


def test_the_script_lets_the_sticks_go_when_it_is_stopped(sockets: Sockets) -> None:
    bizhawk = started("Nymashock", sockets)
    bizhawk.run(5)
    assert bizhawk.frames[-1].axes != CORES["Nymashock"].axes
    bizhawk.stop()
    bizhawk.load("emu.frameadvance()")
    bizhawk.run(1)
    assert bizhawk.frames[-1].axes == CORES["Nymashock"].axes


@pytest.mark.parametrize(
    ("options", "steps", "repeat"),
    [
        ({"frames_per_step": "3"}, 16, 3),
        ({"steps_per_answer": "5"}, 5, 1),
        ({"steps_per_answer": "4", "frames_per_step": "2"}, 4, 2),
        ({"steps_per_answer": "99"}, 16, 1),
    ],
)
def test_steps_are_held_and_answers_are_cut_as_the_options_say(
    tiny_stack: Stack, sockets: Sockets, options: dict[str, str], steps: int, repeat: int
) -> None:
    core = CORES["NesHawk"]
    bizhawk = started("NesHawk", sockets, **options)
    bizhawk.run(2 * steps * repeat)
    expected = [
        step
        for answer in range(2)
        for step in list(
            held_and_axes(
                predicted(tiny_stack, core, answer * steps * repeat, "crop"), core, console_of("nes")
            )
        )[:steps]
        for _ in range(repeat)
    ]
    assert played(bizhawk) == expected


def test_options_reach_the_gateway(tiny_stack: Stack, sockets: Sockets) -> None:
    core = CORES["NesHawk"]
    bizhawk = started("NesHawk", sockets, resize_mode='"stretch"', seed="8")
    bizhawk.run(HORIZON)
    expected = held_and_axes(predicted(tiny_stack, core, 0, "stretch", seed=8), core, console_of("nes"))
    assert played(bizhawk) == list(expected)


def test_noise_with_a_memory_of_1_repeats_an_answer_until_the_player_has_played(sockets: Sockets) -> None:
    bizhawk = started("NesHawk", sockets, seed="nil", noise="{ memory = 1 }")
    bizhawk.is_paused = True
    bizhawk.run(2 * HORIZON)
    assert played(bizhawk)[:HORIZON] == played(bizhawk)[HORIZON:]
    for keys in ({"Home"}, set[str](), {"Home"}):
        bizhawk.keys = keys
        bizhawk.run(1)
    bizhawk.run(HORIZON - 1)
    assert played(bizhawk)[-HORIZON:] != played(bizhawk)[:HORIZON]


@pytest.mark.parametrize("noise", ['"loud"', "{ memory = 2 }", "{ tick = 3 }", "7"])
def test_noise_that_the_gateway_does_not_know_is_shown(sockets: Sockets, noise: str) -> None:
    bizhawk = started("NesHawk", sockets, seed="nil", noise=noise)
    bizhawk.run(5)
    assert "noise" in bizhawk.frames[-1].texts[0]


def test_buttons_can_be_given_others(tiny_stack: Stack, sockets: Sockets) -> None:
    core = CORES["BSNES"]
    bizhawk = started("BSNES", sockets, buttons='{ A = { "SOUTH" }, B = { "EAST" } }')
    bizhawk.run(HORIZON)
    console = console_of("snes")
    swapped = {
        "A": {**console["buttons"]["A"], "pad": ["SOUTH"]},
        "B": {**console["buttons"]["B"], "pad": ["EAST"]},
    }
    console = {**console, "buttons": console["buttons"] | swapped}
    assert played(bizhawk) == list(held_and_axes(predicted(tiny_stack, core, 0, "pad"), core, console))


def test_models_whose_y_is_up_are_turned_round(tiny_stack: Stack, sockets: Sockets) -> None:
    core = CORES["Mupen64Plus"]
    bizhawk = started("Mupen64Plus", sockets, y_is_up="true")
    bizhawk.run(HORIZON)
    pred = predicted(tiny_stack, core, 0, "pad")
    turned = {**pred, **{stick: [[x, -y] for x, y in pred[stick]] for stick in ("j_left", "j_right")}}
    assert played(bizhawk) == list(held_and_axes(turned, core, console_of("n64")))


def test_a_console_can_be_named(tiny_stack: Stack, sockets: Sockets) -> None:
    core = CORES["Nymashock"]
    bizhawk = started("Nymashock", sockets, console='"psx_digital"')
    bizhawk.run(HORIZON)
    expected = list(held_and_axes(predicted(tiny_stack, core, 0, "pad"), core, console_of("psx_digital")))
    assert played(bizhawk) == expected
    assert all(axes == core.axes for _, axes in expected)


def test_another_player_has_another_controller(sockets: Sockets) -> None:
    bizhawk = started("NesHawk", sockets, player="2")
    bizhawk.run(HORIZON)
    held = {name for frame in bizhawk.frames for name in frame.held}
    assert held
    assert all(name.startswith("P2 ") for name in held)


def test_the_screen_says_what_the_script_does(sockets: Sockets) -> None:
    bizhawk = started("NesHawk", sockets)
    bizhawk.run(HORIZON + 1)
    title, times, key = bizhawk.frames[-1].texts
    assert title == "NitroGen plays: step 1 of 16, answer 2"
    words = times.split()
    assert (words[0], words[2:4], words[5]) == ("gateway", ["ms,", "model"], "ms")
    assert float(words[1]) >= float(words[4]) >= 0
    assert key == "Home: play yourself"


@pytest.mark.parametrize(
    ("system", "options", "said"),
    [
        ("NULL", {}, "open a game"),
        ("Lynx", {}, "no console of the table has Lynx's buttons"),
        ("NES", {"console": '"nintendo"'}, "no console of the table has NES's buttons"),
        ("NES", {"buttons": '{ C = { "SOUTH" } }'}, "buttons in OPTIONS: NES has no C"),
        ("NES", {"buttons": '{ A = { "A" } }'}, "buttons in OPTIONS: the model has no A"),
    ],
)
def test_games_that_it_cannot_play_are_the_players(
    sockets: Sockets, system: str, options: dict[str, str], said: str
) -> None:
    bizhawk = BizHawk(Core(system, 10, 10, CORES["NesHawk"].buttons), sockets)
    bizhawk.load(with_options(SCRIPT.read_text("utf-8"), **options))
    bizhawk.player = {"P1 A"}
    bizhawk.run(200)
    assert {frame.held for frame in bizhawk.frames} == {frozenset({"P1 A"})}
    assert all(said in frame.texts[0] for frame in bizhawk.frames)
    assert len(bizhawk.log) == 1


class Altered(Sockets):
    """A connection whose replies with actions come with other ones."""

    pred = ""

    def socket_server_response(self) -> str:
        text = super().socket_server_response()
        return f'{{"status": "ok", "pred": {self.pred}}}' if '"pred"' in text else text


@pytest.mark.parametrize(
    "pred",
    [
        "{}",
        "[]",
        "5",
        '{"j_left": [], "j_right": [], "buttons": []}',
        '{"j_left": [[0, 0]], "j_right": [[0, 0]], "buttons": [[1, 1]]}',
        '{"j_left": [[0, "0"]], "j_right": [[0, 0]], "buttons": [[' + ",".join("0" * 21) + "]]}",
    ],
)
def test_actions_that_cannot_be_played_are_shown_and_the_game_goes_on(tiny_stack: Stack, pred: str) -> None:
    with Altered(tiny_stack.tcp_port) as sockets:
        sockets.pred = pred
        bizhawk = started("NesHawk", sockets)
        bizhawk.run(70)
    assert all("actions cannot be played" in frame.texts[0] for frame in bizhawk.frames)
    assert (len(bizhawk.frames), bizhawk.has_ended) == (70, False)


def test_an_emulator_without_sockets_is_told_how_to_start() -> None:
    bizhawk = BizHawk(CORES["NesHawk"], None)
    bizhawk.load(SCRIPT.read_text("utf-8"))
    bizhawk.run(5)
    assert bizhawk.has_ended
    assert bizhawk.log[0].startswith("NitroGen: start EmuHawk with --socket_ip=GATEWAY --socket_port=5556")
