"""Other programs at a port that should be a ZeroMQ server's."""

import socket

_WITHIN_S = 2.0
# A ZeroMQ peer begins with this byte, whatever it is told (ZMTP 3.1, section 2.1).
_ZMQ_SIGNATURE = b"\xff"
_QUESTION = b'{"type": "info"}\n'
_ANSWER_BYTES = 60


def other_server(host: str, port: int) -> str | None:
    """Ask a port what it is; return a sentence if it is not ZeroMQ's, None if it is, or that is not clear."""
    try:
        with socket.create_connection((host.strip("[]"), port), timeout=_WITHIN_S) as connection:
            connection.sendall(_QUESTION)
            answer = connection.recv(_ANSWER_BYTES)
    except (OSError, UnicodeError):  # the latter for a text that cannot be a name
        return None
    if not answer or answer.startswith(_ZMQ_SIGNATURE):
        return None
    if answer.startswith(b'{"status"'):
        what = "a NitroGen gateway's TCP port"
    elif answer.startswith(b"HTTP/"):
        what = "an HTTP server's"
    else:
        begins = answer.split(b"\n")[0].decode("ascii", errors="replace").strip()
        what = f"another program's, which answers {begins!r}"
    return (
        f"port {port} of {host} is {what}, not a ZeroMQ port: a gateway's is 5555 unless it was started with "
        "another (--port)"
    )
