"""Finding a game's window and reading its part of the screen, by stand-ins for what only a desktop has."""

import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nitrogen_play.errors import DeviceError, GameLostError, GameNotFoundError
from nitrogen_play.games.speed import executable_architecture
from nitrogen_play.games.windows_list import OpenWindow, choose_window
from nitrogen_play.games.windows_process import DxcamScreen, Region, visible_part

from tests.paths import ROOT

PLAY = ROOT / "clients" / "play.py"
WINDOWS = [
    OpenWindow(1, "D3DProxyWindow", 10, "Celeste.exe"),
    OpenWindow(2, "Celeste", 10, "Celeste.exe"),
    OpenWindow(3, "Mails: Celeste tips", 11, "mail.exe"),
]


def test_a_process_name_is_found_in_any_case_and_its_helpers_are_passed_over() -> None:
    assert choose_window(WINDOWS, "celeste.EXE", None).handle == 2


def test_a_helper_is_taken_where_there_is_nothing_else() -> None:
    assert choose_window(WINDOWS[:1], "celeste.exe", None).handle == 1


def test_process_and_title_are_both_looked_at() -> None:
    assert choose_window(WINDOWS, None, "celeste").handle == 2
    assert choose_window(WINDOWS, "mail.exe", "celeste").handle == 3


def test_who_is_not_found_is_told_what_is_running() -> None:
    with pytest.raises(GameNotFoundError) as caught:
        choose_window(WINDOWS, "hades.exe", None)
    message = str(caught.value)
    assert "no window of a process named 'hades.exe' is open" in message
    assert "Celeste.exe: 'Celeste'" in message
    assert "mail.exe: 'Mails: Celeste tips'" in message


def test_where_nothing_is_open_the_message_says_so() -> None:
    with pytest.raises(GameNotFoundError, match="with 'x' in its title is open; no window is"):
        choose_window([], None, "x")


@pytest.mark.parametrize(
    ("region", "part"),
    [
        ((10, 20, 110, 220), (10, 20, 110, 220)),
        ((-50, -5, 100, 100), (0, 0, 100, 100)),
        ((1900, 1000, 2500, 1500), (1900, 1000, 1920, 1080)),
        ((1920, 0, 2500, 100), None),
        ((5, 5, 5, 5), None),
    ],
)
def test_only_what_is_on_the_screen_is_read(region: Region, part: Region | None) -> None:
    assert visible_part(region, 1920, 1080) == part


class StandInCamera:
    """Gives a picture when something has changed, else None, as dxcam's camera does."""

    width, height = 1920, 1080

    def __init__(self, changes: list[bool]) -> None:
        self._changes = iter(changes)

    def grab(self, region: Region) -> Any:  # noqa: ANN401
        left, top, right, bottom = region
        return np.full((bottom - top, right - left, 3), 77, np.uint8) if next(self._changes) else None


def screen(region: Region, changes: list[bool]) -> DxcamScreen:
    desktop: Any = SimpleNamespace(region=lambda _: region)
    return DxcamScreen(desktop, WINDOWS[1], StandInCamera(changes))


def test_the_last_picture_stays_while_nothing_changes() -> None:
    window = screen((10, 10, 50, 40), [False, True, False])
    first, second, third = (window.capture() for _ in range(3))
    assert (first == 0).all()
    assert (second == 77).all()
    assert first.shape == second.shape == (30, 40, 3)
    assert third is second


def test_a_minimised_window_is_lost() -> None:
    # Windows puts these there.
    with pytest.raises(GameLostError, match="minimised"):
        screen((-32_000, -32_000, -31_840, -31_972), []).capture()


@pytest.mark.parametrize(("machine", "name"), [(0x8664, "x64"), (0x014C, "x86")])
def test_an_executables_head_says_for_which_machine_it_is(tmp_path: Path, machine: int, name: str) -> None:
    path = tmp_path / "game.exe"
    path.write_bytes(
        b"MZ" + bytes(58) + struct.pack("<I", 128) + bytes(64) + b"PE\0\0" + struct.pack("<H", machine)
    )
    assert executable_architecture(path) == name


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"", "not a Windows executable"),
        (b"\x7fELF" + bytes(200), "not a Windows executable"),
        (b"MZ" + bytes(58) + struct.pack("<I", 4_000_000), "not a Windows executable"),
        (b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0\x64\xaa", "machine 0xaa64"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, head: bytes, said: str) -> None:
    path = tmp_path / "game.exe"
    path.write_bytes(head)
    with pytest.raises(DeviceError, match=said):
        executable_architecture(path)


def test_a_missing_executable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cannot be read"):
        executable_architecture(tmp_path / "game.exe")


@pytest.mark.parametrize("package", ["zmq", "rich", "PIL"])
def test_starting_from_a_clone_names_the_command_for_a_missing_package(package: str) -> None:
    # None in sys.modules is how Python remembers that a module cannot be imported.
    code = f"import sys, runpy; sys.modules[{package!r}] = None; "
    code += f"runpy.run_path({str(PLAY)!r}, run_name='__main__')"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    assert package in result.stderr
    assert "-m pip install" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_kind_of_game_names_the_command_for_its_missing_package() -> None:
    code = (
        "import sys; sys.modules['Xlib'] = None\n"
        "from nitrogen_play.games.x11_window import X11Windows\n"
        "from nitrogen_play.errors import MissingPackageError\n"
        "try: X11Windows()\n"
        "except MissingPackageError as error: print(error)"
    )
    environment = {
        "PYTHONPATH": ":".join(
            str(PLAY.parent / name / "src") for name in ("nitrogen_client", "nitrogen_play")
        )
    }
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, env=environment
    )
    assert "needs the package python-xlib" in result.stdout
    assert 'pip install ./clients/nitrogen_client "./clients/nitrogen_play[linux]"' in result.stdout


def test_without_a_display_the_message_says_so() -> None:
    code = (
        "from nitrogen_play.games.x11_window import X11Windows\n"
        "from nitrogen_play.errors import DeviceError\n"
        "try: X11Windows()\n"
        "except DeviceError as error: print(error)"
    )
    environment = {
        "PYTHONPATH": ":".join(
            str(PLAY.parent / name / "src") for name in ("nitrogen_client", "nitrogen_play")
        )
    }
    for display, said in (({}, "DISPLAY is not set"), ({"DISPLAY": ":9999"}, ":9999 cannot be opened")):
        result = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=environment | display,
        )
        assert said in result.stdout
