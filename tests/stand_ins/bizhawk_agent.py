"""A client that behaves like the deployed BizHawk agent: one read per reply, Lua patterns instead of JSON."""

import json
import re
import socket

# The agent's only receive buffer, and its receive timeout.
BUFFER_BYTES = 4096
TIMEOUT_S = 5.0
# Bytes of a reply that one read gives over Ethernet.
ONE_SEGMENT_BYTES = 1448


def numbers_after(text: str, key: str) -> list[float]:
    """Read `"key":[...]` as the agent does: count brackets to the end, then take all number-like runs."""
    start = re.search(rf'"{key}":\s*\[', text)
    if start is None:
        raise ValueError(f"no {key} in {text!r}")
    depth, end = 1, start.end()
    while depth:
        depth += {"[": 1, "]": -1}.get(text[end], 0)
        end += 1
    return [float(run) for run in re.findall(r"[-\d.]+", text[start.end() : end])]


def rows(numbers: list[float], width: int) -> list[list[float]]:
    """The numbers as rows of a width, which they have to fill."""
    if len(numbers) % width:
        raise ValueError(f"{len(numbers)} numbers do not make rows of {width}")
    return [numbers[start : start + width] for start in range(0, len(numbers), width)]


class BizHawkAgent:
    """The agent's connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)

    def send(self, header: dict[str, object], image: bytes = b"") -> bytes:
        """Send a request; what one read of the reply gives."""
        self._socket.sendall(json.dumps(header).encode() + b"\n" + image)
        return self._socket.recv(BUFFER_BYTES)

    def screenshot(self, png: bytes, resize_mode: str, **options: object) -> tuple[list[list[float]], ...]:
        """Send a screenshot as the agent does; buttons as rows of 21, sticks (left) as rows of 2."""
        header = {"type": "predict", "len": len(png), "resize_mode": resize_mode, **options}
        text = self.send(header, png).decode()
        return rows(numbers_after(text, "buttons"), 21), rows(numbers_after(text, "j_left"), 2)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __enter__(self) -> "BizHawkAgent":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
