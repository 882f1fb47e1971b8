"""Gives the project another version: `python -m deploy.version X.Y.Z`.

The version is that of pyproject.toml. This writes it into every other file that names it, too.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLLOWERS = (
    ".env.example",
    *(f"Dockerfile.{image}" for image in ("export", "gateway", "triton-cpu", "triton-graphs")),
    *(
        f"clients/{name}/src/{name}/__init__.py"
        for name in ("nitrogen_client", "nitrogen_dataset", "nitrogen_play")
    ),
    "deploy/kubernetes/base/kustomization.yaml",
    "deploy/kubernetes/overlays/cpu/kustomization.yaml",
    "deploy/kubernetes/overlays/gpu-graphs/kustomization.yaml",
    "docker-compose.cpu.yml",
    "docker-compose.graphs.yml",
    "docker-compose.yml",
    "docs/how-to/kubernetes.md",
    "docs/how-to/gateway.md",
)
_FORM = re.compile(r"\d+\.\d+\.\d+(rc\d+)?")


def main(arguments: list[str]) -> int:
    """Write a new version; 2 when it is not one."""
    if len(arguments) != 1 or not _FORM.fullmatch(arguments[0]):
        sys.stderr.write("one version is needed: python -m deploy.version X.Y.Z\n")
        return 2
    old = mentions(version())
    for name in ("pyproject.toml", *FOLLOWERS):
        file = ROOT / name
        file.write_text(old.sub(rf"\g<1>{arguments[0]}", file.read_text()))
    sys.stdout.write("now say in CHANGELOG.md what it brings\n")
    return 0


def version() -> str:
    """Return the project's version."""
    project: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["version"]


def mentions(version: str) -> re.Pattern[str]:
    """Return a pattern for this project's version: not within a longer one, not another package's.

    Its group is the text before: `NAME=0`, `image:0`, `${NAME:-0}`, `"0"`, `newTag: 0`, `version 0`.
    """
    return re.compile(rf"""((?<![=<>~!])=|[":-]|: |\bversion ){re.escape(version)}(?![\w.]*\w)""")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
