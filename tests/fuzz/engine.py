"""One process of libFuzzer on one target: `python -m tests.fuzz.engine TARGET [libFuzzer's flags]`."""

import importlib
import shlex
import sys

import atheris


def main() -> None:
    """Instrument the gateway's code, then hand over to libFuzzer, which ends the process."""
    name, *arguments = sys.argv[1:]
    with atheris.instrument_imports(include=["gateway", "json", "msgpack"]):
        target = importlib.import_module(f"tests.fuzz.{name}")
    # libFuzzer starts itself again for merging, by a shell, with this as its own name.
    itself = f"{shlex.quote(sys.executable)} -m tests.fuzz.engine {name}"
    atheris.Setup([itself, f"-max_len={target.MAX_BYTES}", *arguments], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
