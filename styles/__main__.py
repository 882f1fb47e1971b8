"""Look for phrases that the house does not use: `python -m styles [--counts] [PATH ...]`.

It reads every text of the repository as a whole, whatever its language: documentation, comments, docstrings,
messages and names. `phrases.toml` holds the phrases, what to say instead, and how many each folder still has.
"""

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path

from styles.phrases import Finding, findings_in, read_phrases

_PHRASES = Path(__file__).with_name("phrases.toml")


def main() -> int:
    """Report what is found in the paths; the exit code is 1 if a folder has more than it may have."""
    parser = argparse.ArgumentParser(prog="python -m styles", description="Look for phrases to avoid.")
    parser.add_argument("--counts", action="store_true", help="print only how many each folder has")
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="files and folders; without any, the whole tree"
    )
    arguments = parser.parse_args()
    phrases = read_phrases(_PHRASES)
    found = [
        finding
        for path in _tracked(arguments.paths)
        if not any(path.match(pattern) or _is_below(path, pattern) for pattern in phrases.skip)
        for finding in findings_in(path, phrases)
    ]
    counts = Counter(_folder(finding) for finding in found)
    # A named path is shown in full: somebody is working on it.
    excess = {
        folder: count
        for folder, count in counts.items()
        if arguments.paths or count > phrases.remaining.get(folder, 0)
    }
    if not arguments.counts:
        for finding in found:
            if _folder(finding) in excess:
                _print(str(finding))
    for folder, count in sorted(counts.items()):
        if arguments.counts or folder in excess:
            _print(f"{folder}: {count} found, {phrases.remaining.get(folder, 0)} allowed by {_PHRASES.name}")
    return 1 if excess else 0


def _tracked(paths: list[str]) -> list[Path]:
    """Return the files that git knows or would add, in order."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - git's own list
    return [path for name in sorted(set(filter(None, listed.split("\0")))) if (path := Path(name)).is_file()]


def _is_below(path: Path, folder: str) -> bool:
    return Path(folder) in path.parents


def _folder(finding: Finding) -> str:
    """Return the folder of the top level that a finding is in; a dot for the files beside them."""
    return finding.path.parts[0] if len(finding.path.parts) > 1 else "."


def _print(line: str) -> None:
    print(line)  # noqa: T201 - a command's output


if __name__ == "__main__":
    sys.exit(main())
