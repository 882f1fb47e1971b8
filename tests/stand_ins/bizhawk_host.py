"""A stand-in for EmuHawk as its Lua scripts see it: Lua 5.4, frame by frame, with real sockets.

As EmuHawk since BizHawk 2.9: `emu.frameadvance` gives the emulator a frame. `joypad.set` holds for
that frame and leaves buttons that it does not name to the player; `joypad.setanalog` holds until it is given
something that is not a whole number. Names that the controller lacks are passed over in silence. A
connection that `comm.socketServer...` makes, also by itself, forgets the timeout that was set.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import lupa.lua54 as lupa

from tests.paths import ROOT
from tests.pictures import image_file, picture
from tests.stand_ins.emuhawk import EmuHawk

SCRIPT = ROOT / "clients" / "bizhawk" / "nitrogen.lua"


@dataclass(frozen=True)
class Core:
    """A console as one of EmuHawk's cores has it: its id, its picture, and the names of its controllers."""

    system: str
    height: int
    width: int
    buttons: tuple[str, ...]
    axes: Mapping[str, int] = field(default_factory=dict)


def _numbered(*names: str) -> tuple[str, ...]:
    return tuple(f"P{player} {name}" for player in (1, 2) for name in names)


_CROSS = ("Up", "Down", "Left", "Right")
_NES = (*_CROSS, "Start", "Select", "B", "A")
_PSX = ("Select", "Start", "L1", "L2", "R1", "R2")

CORES = {
    "NesHawk": Core("NES", 240, 256, (*_numbered(*_NES), "Reset", "Power")),
    "BSNES": Core("SNES", 224, 256, (*_numbered(*_NES, "X", "Y", "L", "R"), "Reset", "Power")),
    "Gambatte": Core("GB", 144, 160, (*_NES, "Power")),
    "Gambatte, color": Core("GBC", 144, 160, (*_NES, "Power")),
    "GBHawk": Core("GB", 144, 160, (*_numbered(*_NES), "P1 Power")),
    "mGBA": Core("GBA", 160, 240, (*_NES, "L", "R", "Power"), {"Tilt X": 0, "Tilt Y": 0, "Light Sensor": 0}),
    "Genplus-gx": Core(
        "GEN", 224, 320, (*_numbered(*_CROSS, "A", "B", "C", "Start", "X", "Y", "Z", "Mode"), "Reset")
    ),
    "Genplus-gx, 3 buttons": Core("GEN", 224, 320, (*_numbered(*_CROSS, "A", "B", "C", "Start"), "Reset")),
    "Mupen64Plus": Core(
        "N64",
        240,
        320,
        _numbered(
            *("A Up", "A Down", "A Left", "A Right", "DPad U", "DPad D", "DPad L", "DPad R", "Start", "Z"),
            *("B", "A", "C Up", "C Down", "C Right", "C Left", "L", "R"),
        ),
        {"P1 X Axis": 0, "P1 Y Axis": 0, "P2 X Axis": 0, "P2 Y Axis": 0},
    ),
    "Nymashock": Core(
        "PSX",
        240,
        320,
        _numbered(
            *(f"D-Pad {name}" for name in _CROSS),
            *("△", "X", "□", "○", "Left Stick, Button", "Right Stick, Button", "Analog"),
            *_PSX,
        ),
        {
            f"P1 {stick} Stick {way}": 128
            for stick in ("Left", "Right")
            for way in ("Left / Right", "Up / Down")
        },
    ),
    "Octoshock": Core(
        "PSX",
        240,
        320,
        _numbered(*_CROSS, *_PSX, "Square", "Triangle", "Circle", "Cross", "L3", "R3", "MODE"),
        {f"P1 {stick}Stick {way}": 128 for stick in "LR" for way in "XY"},
    ),
    "Octoshock, digital": Core(
        "PSX", 240, 320, _numbered(*_CROSS, *_PSX, "Square", "Triangle", "Circle", "Cross")
    ),
}


@dataclass(frozen=True)
class Frame:
    """The inputs of one frame: the buttons that were held, the sticks, the texts on the screen."""

    held: frozenset[str]
    axes: Mapping[str, int]
    texts: tuple[str, ...]


class Sockets(EmuHawk):
    """EmuHawk's connection, as far as scripts set it up."""

    def set_port(self, port: int) -> None:
        """Connect again; raises when nobody listens."""
        self.port = port
        self._connect()

    def set_timeout(self, timeout_ms: int) -> None:
        """Give up replies after this, on this connection."""
        if self._socket is not None:
            with suppress(OSError):  # no connection, no timeout
                self._socket.settimeout(timeout_ms / 1000)


class BizHawk:
    """An emulator with one script.

    `sockets`: None for an EmuHawk that was started without `--socket_ip`. `frames` grows with the game.
    `keys` and `player` are what the player holds, as `input.get` and the controller name it. `screen`: the
    number of the picture that the game shows; it changes with each frame, unless it `is_paused`.
    """

    def __init__(self, core: Core, sockets: Sockets | None) -> None:
        self.core = core
        self.sockets = sockets
        self.frames: list[Frame] = []
        self.log: list[str] = []
        self.keys: set[str] = set()
        self.player: set[str] = set()
        self.screen = 0
        self.is_paused = False
        self._texts: list[str] = []
        self._overrides: dict[str, bool] = {}
        self._sticky: dict[str, int] = {}
        self._at_exit: list[Any] = []
        self._script: Any = None
        self.lua = lupa.LuaRuntime(unpack_returned_tuples=True)
        for name, functions in self._libraries().items():
            self.lua.globals()[name] = self.lua.table_from(functions)
        self.lua.execute("emu.frameadvance = coroutine.yield")

    def load(self, script: str) -> None:
        """Take a script; it begins with the next frame."""
        self._script = self.lua.eval("function(text) return assert(load(text)) end")(script).coroutine()

    @property
    def has_ended(self) -> bool:
        """Whether the script has come to its end."""
        return not self._script

    def run(self, frames: int, until: Callable[[], object] = lambda: False) -> None:
        """Let a number of frames pass at most, until something is the case; the script's errors come out."""
        for _ in range(frames):
            if self.has_ended or until():
                return
            with suppress(StopIteration):
                self._script.send(None)
                self._pass_frame()

    def stop(self) -> None:
        """End the script as its player does in the Lua Console."""
        self._script = None
        for function in self._at_exit:
            function()

    def png(self) -> bytes:
        """The game's picture as a file."""
        return image_file(picture(self.screen, self.core.height, self.core.width))

    def _pass_frame(self) -> None:
        held = {name for name in self.core.buttons if self._overrides.get(name, name in self.player)}
        axes = {**self.core.axes, **self._sticky}
        self.frames.append(Frame(frozenset(held), axes, tuple(self._texts)))
        self._overrides.clear()
        self.screen += not self.is_paused

    def _libraries(self) -> dict[str, dict[str, Callable[..., Any]]]:
        table = self.lua.table_from
        return {
            "emu": {"getsystemid": lambda: self.core.system},
            "joypad": {
                "get": lambda: table(dict.fromkeys(self.core.buttons, False) | dict(self.core.axes)),
                "set": self._set,
                "setanalog": self._set_analog,
            },
            "input": {"get": lambda: table(dict.fromkeys(self.keys, True))},
            "gui": {"text": self._text, "drawText": self._text, "cleartext": self._texts.clear},
            "console": {"log": self.log.append, "clear": self.log.clear},
            "event": {"onexit": self._at_exit.append},
            "comm": self._comm(),
        }

    def _comm(self) -> dict[str, Callable[..., Any]]:
        sockets = self.sockets
        if sockets is None:
            return {"socketServerGetIp": lambda: None}
        return {
            "socketServerGetIp": lambda: "127.0.0.1",
            "socketServerGetPort": lambda: sockets.port,
            "socketServerGetInfo": lambda: f"127.0.0.1:{sockets.port}",
            "socketServerSetPort": sockets.set_port,
            "socketServerSetTimeout": sockets.set_timeout,
            "socketServerSend": sockets.socket_server_send,
            "socketServerResponse": sockets.socket_server_response,
            "socketServerScreenShot": lambda: sockets.socket_server_screen_shot(self.png()),
        }

    def _set(self, buttons: Any) -> None:  # noqa: ANN401 - a Lua table
        self._overrides = {name: bool(value) for name, value in buttons.items() if name in self.core.buttons}

    def _set_analog(self, axes: Any) -> None:  # noqa: ANN401 - a Lua table
        for name, value in axes.items():
            if name not in self.core.axes:
                continue
            if str(value).lstrip("-").isdecimal():
                self._sticky[name] = int(value)
            else:
                self._sticky.pop(name, None)

    def _text(self, _x: int, _y: int, text: str, _color: str | None = None) -> None:
        self._texts.append(text)


def with_options(script: str, **options: str) -> str:
    """nitrogen.lua's text as a player has changed it: each option with another value, in Lua's notation.

    Raises:
        ValueError: The script has not this option.
    """
    for name, value in options.items():
        lines = [line for line in script.splitlines() if line.startswith(f"  {name} = ")]
        if len(lines) != 1:
            raise ValueError(f"{len(lines)} lines set {name}")
        script = script.replace(lines[0], f"  {name} = {value},")
    return script
