"""Ask a NitroGen gateway for the actions for one picture. Python 3.8 or newer, nothing to install.

    python predict.py FILE [HOST [PORT]]

FILE: a PNG, JPEG, BMP or WebP picture, or 196,608 bytes of raw RGB (256x256, row by row).
"""

import json
import socket
import sys
import time
from pathlib import Path

# fmt: off
BUTTONS = [
    "BACK", "DPAD_DOWN", "DPAD_LEFT", "DPAD_RIGHT", "DPAD_UP", "EAST", "GUIDE", "LEFT_SHOULDER",
    "LEFT_THUMB", "LEFT_TRIGGER", "NORTH", "RIGHT_BOTTOM", "RIGHT_LEFT", "RIGHT_RIGHT", "RIGHT_SHOULDER",
    "RIGHT_THUMB", "RIGHT_TRIGGER", "RIGHT_UP", "SOUTH", "START", "WEST",
]
# fmt: on
TIMEOUT_S = 10  # the gateway answers within 4 s, if need be with an error
TRIES = 3
MAX_REPLY = 65_536  # bytes; a gateway's are much shorter


def connect(host: str, port: int) -> socket.socket:
    """Connect. A game keeps its connection, to which the model's memory belongs."""
    return socket.create_connection((host, port), timeout=TIMEOUT_S)


def ask(connection: socket.socket, image: bytes) -> bytes:
    """Send one picture, and return the reply's line. Raises OSError if none comes."""
    header = json.dumps({"type": "predict", "len": len(image)})
    connection.sendall(header.encode() + b"\n" + image)
    line, deadline = b"", time.monotonic() + TIMEOUT_S
    while b"\n" not in line and len(line) < MAX_REPLY:
        if time.monotonic() > deadline:
            raise TimeoutError("timed out")
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionError("the connection was closed")
        line += piece
    return line.partition(b"\n")[0]  # a gateway sends nothing after it


def first_step(pred: dict) -> str:
    """Return the first step of a chunk of actions as text."""
    pressed = [BUTTONS[column] for column, value in enumerate(pred["buttons"][0]) if value]
    lines = [
        f"{len(pred['buttons'])} steps; the first:",
        f"  buttons       {' '.join(pressed) or 'none'}",
        "  left stick    x {:.3f}, y {:.3f}".format(*pred["j_left"][0]),
        "  right stick   x {:.3f}, y {:.3f}".format(*pred["j_right"][0]),
    ]
    return "\n".join(lines)


def show(line: bytes, server: str) -> int:
    """Print what a reply's line says, and return the exit status."""
    try:
        reply = json.loads(line)
        if reply["status"] == "ok":
            print(first_step(reply["pred"]))
            return 0
        print("the gateway says: " + reply["message"], file=sys.stderr)
    except (ValueError, LookupError, TypeError, RecursionError):
        begins = "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in line[:60].rstrip())
        print(f'{server} is not a NitroGen gateway\'s TCP port: it answers "{begins}"', file=sys.stderr)
        return 2
    return 1


def main(file: str, host: str = "127.0.0.1", port: str = "5556") -> int:
    """Ask, and try again if the connection is lost; return the exit status."""
    try:
        image = Path(file).read_bytes()
    except OSError as error:
        print(f"the picture {file} cannot be read: {error.strerror}", file=sys.stderr)
        return 2
    for number in range(1, TRIES + 1):
        try:
            with connect(host, int(port)) as connection:
                line = ask(connection, image)
        except OSError as error:
            print(f"no answer from {host}:{port}, try {number} of {TRIES}: {error}", file=sys.stderr)
            time.sleep(1 if number < TRIES else 0)
            continue
        return show(line, f"{host}:{port}")
    return 2


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4 or not "".join(sys.argv[3:] or "0").isdecimal():
        sys.exit("usage: python predict.py FILE [HOST [PORT]]")
    sys.exit(main(*sys.argv[1:]))
