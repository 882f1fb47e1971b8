"""The button table: whole, free of slips of the pen, and the same in EmuHawk's script."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from clients.bizhawk.embed_table import BEGIN, END, SCRIPT, TABLE, embedded
from contract.gamepad import BUTTONS

CROSSES = [f"{stick}_STICK_{way}" for stick in ("LEFT", "RIGHT") for way in ("UP", "DOWN", "LEFT", "RIGHT")]
MENUS = {"BACK", "START", "GUIDE"}

# The names of stable-retro 1.0.1 for the buttons of its consoles.
RETRO = {
    "Nes": "B SELECT START UP DOWN LEFT RIGHT A",
    "Snes": "B Y SELECT START UP DOWN LEFT RIGHT A X L R",
    "GameBoy": "B SELECT START UP DOWN LEFT RIGHT A",
    "GbColor": "B SELECT START UP DOWN LEFT RIGHT A",
    "GbAdvance": "B SELECT START UP DOWN LEFT RIGHT A L R",
    "Genesis": "B A MODE START UP DOWN LEFT RIGHT C Y X Z",
    "SCD": "B A MODE START UP DOWN LEFT RIGHT C Y X Z",
    "32x": "B A MODE START UP DOWN LEFT RIGHT C Y X Z",
    "N64": "A B START UP DOWN LEFT RIGHT C-RIGHT C-UP L R Z C-MODE L3 R3",
}

TEXT = tomllib.loads(TABLE.read_text("utf-8"))
CONSOLES: dict[str, dict[str, Any]] = {name: it for name, it in TEXT.items() if isinstance(it, dict)}

each_console = pytest.mark.parametrize("console", CONSOLES.values(), ids=CONSOLES)


@each_console
def test_what_is_pressed_is_of_the_models_pad(console: dict[str, Any]) -> None:
    for button in console["buttons"].values():
        assert set(button) <= {"pad", "bizhawk", "retro", "menu"}
        assert button["pad"]
        assert set(button["pad"]) <= {*BUTTONS, *CROSSES}
        assert len(set(button["pad"])) == len(button["pad"])


@each_console
def test_no_two_buttons_are_one(console: dict[str, Any]) -> None:
    buttons = console["buttons"].values()
    for names in (
        [name for it in buttons for name in it["bizhawk"]],
        [it["retro"] for it in buttons if "retro" in it],
    ):
        assert len(set(names)) == len(names)
    presses = [name for button in buttons for name in button["pad"]]
    assert len(set(presses)) == len(presses)


@each_console
def test_the_cross_is_the_cross(console: dict[str, Any]) -> None:
    for way in ("Up", "Down", "Left", "Right"):
        pad = console["buttons"][way]["pad"]
        assert pad[0] == f"DPAD_{way.upper()}"
        assert pad[1:] in ([], [f"LEFT_STICK_{way.upper()}"])


@each_console
def test_menus_are_what_the_pad_opens_menus_with(console: dict[str, Any]) -> None:
    for name, button in console["buttons"].items():
        assert button.get("menu", False) == bool(MENUS & set(button["pad"])), name


@each_console
def test_stable_retro_knows_the_names(console: dict[str, Any]) -> None:
    for system in console["retro"]:
        for name, button in console["buttons"].items():
            assert button["retro"] in RETRO[system].split(), name


@each_console
def test_sticks_rest_between_their_ends(console: dict[str, Any]) -> None:
    for axis in console.get("axes", {}).values():
        assert axis["stick"] in {"LEFT_X", "LEFT_Y", "RIGHT_X", "RIGHT_Y"}
        assert min(axis["low"], axis["high"]) < axis["rest"] < max(axis["low"], axis["high"])
    assert console["resize_mode"] in {"pad", "crop", "stretch"}


def test_each_system_means_one_console() -> None:
    retro = [system for console in CONSOLES.values() for system in console["retro"]]
    assert sorted(retro) == sorted(RETRO)
    digital = [system for it in CONSOLES.values() if "axes" not in it for system in it["bizhawk"]]
    analog = [system for it in CONSOLES.values() if "axes" in it for system in it["bizhawk"]]
    assert len(set(digital)) == len(digital)
    assert len(set(analog)) == len(analog)
    assert {*digital, *analog} == {"NES", "SNES", "GB", "GBC", "SGB", "GBA", "GEN", "32X", "N64", "PSX"}
    assert 0 < TEXT["stick_threshold"] < 1


def test_the_script_carries_this_table() -> None:
    script = SCRIPT.read_text("utf-8")
    assert embedded(script, TEXT) == script, "run: python clients/bizhawk/embed_table.py"


@pytest.mark.parametrize("script", ["", BEGIN, END, BEGIN + BEGIN + END])
def test_a_script_without_its_markers_is_left_alone(script: str) -> None:
    with pytest.raises(ValueError, match="it needs one"):
        embedded(script, TEXT)


def test_the_table_is_where_the_documentation_says() -> None:
    assert Path("clients", "consoles.toml") == TABLE.relative_to(TABLE.parents[1])
