"""Look for phrases that the house does not use: `python -m styles [PATH ...]`.

It reads every text of the repository as a whole, whatever its language: documentation, comments, docstrings,
messages and names. `phrases.toml` holds the phrases, and what to say instead.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from styles.phrases import findings_in, read_phrases


def main() -> int:
    """Report what is found in the paths; the exit code is 1 if there is anything."""
    parser = argparse.ArgumentParser(prog="python -m styles", description="Look for phrases to avoid.")
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="files and folders; without any, the whole tree"
    )
    phrases = read_phrases(Path(__file__).with_name("phrases.toml"))
    found = [
        finding
        for path in _tracked(parser.parse_args().paths)
        if not any(path.match(pattern) or Path(pattern) in path.parents for pattern in phrases.skip)
        for finding in findings_in(path, phrases)
    ]
    for finding in found:
        print(finding)  # noqa: T201 - a command's output
    return 1 if found else 0


def _tracked(paths: list[str]) -> list[Path]:
    """Return the files that git knows or would add, in order."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - git's own list
    return [path for name in sorted(set(filter(None, listed.split("\0")))) if (path := Path(name)).is_file()]


if __name__ == "__main__":
    sys.exit(main())
