"""Fuzz the parsers, guided by coverage: `python -m tests.fuzz [--seconds N] [TARGET ...]` (needs atheris).

Each target starts from its kept corpus and ends with it renewed and minimised. The first input that fails is
kept in var/fuzz/TARGET/, shown, and makes the exit code 1.
"""

import argparse
import importlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.fuzz.corpus import TARGETS, read_corpus, write_corpus

# One input may take seconds, and the process memory, only when something is wrong.
_LIMITS = ("-timeout=5", "-rss_limit_mb=1024")


def main() -> int:
    """Fuzz the named targets, all by default, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the gateway's parsers.")
    parser.add_argument("--seconds", type=int, default=600, help="for each target (default: 600)")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)} (default: all)")
    arguments = parser.parse_args()
    unknown = set(arguments.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    failed = [name for name in arguments.targets or TARGETS if not fuzz(name, arguments.seconds)]
    if failed:
        print(f"failed: {', '.join(failed)}; the inputs are in var/fuzz", file=sys.stderr)  # noqa: T201 - a command
    return 1 if failed else 0


def fuzz(name: str, seconds: int) -> bool:
    """Fuzz one target and renew its corpus; whether nothing failed."""
    folder = Path("var/fuzz") / name
    shutil.rmtree(folder, ignore_errors=True)
    grown, merged = folder / "grown", folder / "merged"
    for made in (grown, merged):
        made.mkdir(parents=True)
    for known, data in read_corpus(name).items():
        (grown / known).write_bytes(data)
    for number, seed in enumerate(getattr(importlib.import_module(f"tests.fuzz.{name}"), "SEEDS", ())):
        (grown / f"seed-{number}").write_bytes(seed)
    engine = [sys.executable, "-m", "tests.fuzz.engine", name, *_LIMITS, f"-artifact_prefix={folder}/"]
    run = subprocess.run(
        [*engine, f"-max_total_time={seconds}", "-print_final_stats=1", str(grown)], check=False
    )
    if run.returncode:
        return False
    subprocess.run([*engine, "-merge=1", str(merged), str(grown)], check=True)
    inputs = [path.read_bytes() for path in merged.iterdir()]
    if inputs:
        write_corpus(name, inputs)
    return bool(inputs)


if __name__ == "__main__":
    sys.exit(main())
