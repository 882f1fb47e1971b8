"""Checks the stack's settings and ports in the first second, before a download and a conversion.

    preflight.py EXAMPLE FOLDER SERVICE,VARIABLE,ADDRESS:PORT...

EXAMPLE is the file of all settings; those to check are in the environment. FOLDER/running names the services
that already run and use their own ports. Each problem is one sentence, on stderr and, for the export, in
FOLDER/problems; the exit code is then 1.
"""

import difflib
import errno
import os
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_PREFIX = "NITROGEN_"
# A container that Docker starts again and again has its ports for a moment each time.
_WITHIN_S = 1.0
_PAUSE_S = 0.2


def main(example: str, folder: str, *ports: str) -> int:
    """Check everything; return the exit code."""
    problems = [
        *unknown_names(os.environ, Path(example).read_text()),
        *senseless_format(os.environ),
        *ports_in_use(ports, Path(folder, "running").read_text().split()),
    ]
    if not problems:
        return 0
    said = "".join(f"preflight: {problem}\n" for problem in problems)
    sys.stderr.write(said)
    whole = Path(folder, "problems.new")
    whole.write_text(said)
    whole.rename(Path(folder, "problems"))
    return 1


def unknown_names(environment: Mapping[str, str], example: str) -> Iterator[str]:
    """Yield a sentence for each NITROGEN_ name that .env.example does not have."""
    known = re.findall(rf"^#{_PREFIX}(\w+)=", example, re.MULTILINE)
    given = [name.removeprefix(_PREFIX) for name in sorted(environment) if name.startswith(_PREFIX)]
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f": did you mean {_PREFIX}{close[0]}?" if close else ", which .env.example lists"
            yield f"{_PREFIX}{name} in .env is not one of the stack's settings{meant}"


def senseless_format(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence when the format alone would leave players without their model."""
    if environment.get("NITROGEN_FORMAT") == "onnx":
        model = environment.get("NITROGEN_MODEL") or "nitrogen"
        yield (
            f"NITROGEN_FORMAT is 'onnx', which is published as {model}-onnx, but players who name no model "
            f"get {model}: set it to both, and have players name the model {model}-onnx"
        )


def ports_in_use(ports: Sequence[str], running: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each port that another program uses."""
    deadline = time.monotonic() + _WITHIN_S
    for port in ports:
        service, variable, place = port.split(",")
        *_, address, number = place.split(":")
        if service in running or not number.isdecimal():
            continue
        while in_use := _is_in_use(address, int(number)):
            if time.monotonic() > deadline:
                break
            time.sleep(_PAUSE_S)
        if in_use:
            yield (
                f"another program on this machine listens on port {number} (ss -ltnp 'sport = :{number}' "
                f"names it): stop it, or choose another port in .env, {variable}"
            )


def _is_in_use(address: str, port: int) -> bool:
    with socket.socket() as probe:
        # As Docker does: connections that are just being closed do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen()
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
