"""Lets NitroGen play, from a clone: `python clients/play.py --process celeste.exe --ip SERVER --port 5555`.

The same as `nitrogen-play`. It uses both clients' folders in place; their requirements must be installed.
"""

import sys
from pathlib import Path

_CLIENTS = Path(__file__).resolve().parent
_INSTALL = (
    f'{sys.executable} -m pip install "{_CLIENTS / "nitrogen_client"}" "{_CLIENTS / "nitrogen_play"}[%s]"'
)
_EXTRAS = {"win32": "windows,record", "linux": "linux,record"}


def main() -> None:
    """Run `nitrogen-play` with this process' command line."""
    if sys.version_info < (3, 11):  # noqa: UP036 - who starts this has installed nothing that would have said so
        sys.exit(f"nitrogen-play needs Python 3.11 or newer; this is {sys.version.split()[0]}")
    sys.path[:0] = [
        str(_CLIENTS / name / "src") for name in ("nitrogen_client", "nitrogen_dataset", "nitrogen_play")
    ]
    try:
        from nitrogen_play.commands import run  # noqa: PLC0415 - its packages may be missing
    except ImportError as error:
        extras = _EXTRAS.get(sys.platform, "retro,record")
        sys.exit(f"a package is missing ({error}). This installs what is needed:\n  {_INSTALL % extras}")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
