"""Ask a NitroGen gateway for the actions to one picture. Python 3.8 or newer, nothing to install.

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


def connect(host: str, port: int) -> socket.socket:
    """Open a connection. A game keeps it: what the model has seen before belongs to it."""
    return socket.create_connection((host, port), timeout=TIMEOUT_S)


def ask(connection: socket.socket, image: bytes) -> dict:
    """Send one picture; the reply, a dict. Raises OSError when the connection is lost."""
    header = json.dumps({"type": "predict", "len": len(image)})
    connection.sendall(header.encode() + b"\n" + image)
    line = connection.makefile("rb").readline()  # nothing follows the line, so nothing is read too far
    if not line.endswith(b"\n"):
        raise ConnectionError("the gateway closed the connection")
    return json.loads(line)


def show(pred: dict) -> None:
    """Print the first step of a chunk of actions."""
    pressed = [BUTTONS[column] for column, value in enumerate(pred["buttons"][0]) if value]
    print(f"{len(pred['buttons'])} steps; the first:")
    print("  buttons      ", " ".join(pressed) or "none")
    print("  left stick    x {:.3f}, y {:.3f}".format(*pred["j_left"][0]))
    print("  right stick   x {:.3f}, y {:.3f}".format(*pred["j_right"][0]))


def main(file: str, host: str = "127.0.0.1", port: str = "5556") -> int:
    """Ask, again after a lost connection; the exit status."""
    try:
        image = Path(file).read_bytes()
    except OSError as error:
        print(f"the picture {file} cannot be read: {error.strerror}", file=sys.stderr)
        return 2
    for number in range(1, TRIES + 1):
        try:
            with connect(host, int(port)) as connection:
                reply = ask(connection, image)
        except OSError as error:
            print(f"no answer from {host}:{port}, try {number} of {TRIES}: {error}", file=sys.stderr)
            time.sleep(1 if number < TRIES else 0)
            continue
        if reply["status"] == "ok":
            show(reply["pred"])
            return 0
        print(f"the gateway says: {reply['message']}", file=sys.stderr)
        return 1
    return 2


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit("usage: python predict.py FILE [HOST [PORT]]")
    sys.exit(main(*sys.argv[1:]))
