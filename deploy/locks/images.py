"""The digests of the images that are not built here: `python -m deploy.locks.images`, which `make lock` runs.

Writes deploy/locks/images.env, with each image of the compose files by its tag and the digest that its
registry has now. Appended to .env, it pins them.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

_ROOT = Path(__file__).parents[2]
_LOCK = Path(__file__).with_name("images.env")
_FILES = ("docker-compose.yml", "docker-compose.scale.yml")


def main() -> int:
    """Ask each registry, and write the file; 1, with what Docker says, when one does not answer."""
    lines = ["# Written by make lock: cat deploy/locks/images.env >>.env\n"]
    for variable, image in images().items():
        try:
            lines.append(f"{variable}={image}@{digest(image)}\n")
        except subprocess.CalledProcessError as error:
            sys.stderr.write(f"the digest of {image} cannot be read: {error.stderr.strip()}\n")
            return 1
    _LOCK.write_text("".join(lines))
    return 0


def images() -> dict[str, str]:
    """Return the default images, by the variables that choose others."""
    command = ["docker", "compose", "--env-file=/dev/null", "--profile=*"]
    config = [*command, *(f"--file={_ROOT / file}" for file in _FILES), "config", "--format=json"]
    resolved = json.loads(_said(config))["services"]
    found = re.search(
        r"^FROM \$\{BASE_IMAGE:-(\S+)\}", (_ROOT / "Dockerfile.gateway").read_text(), re.MULTILINE
    )
    named = {"NITROGEN_BASE_IMAGE": found[1]} if found else {}
    for file in _FILES:
        services = yaml.load((_ROOT / file).read_text(), _Loader)["services"]  # noqa: S506 - a safe loader
        for name, service in services.items():
            variable = re.match(r"\$\{(NITROGEN_\w+_IMAGE):-", service.get("image", ""))
            if variable:
                named[variable[1]] = resolved[name]["image"]
    return named


def digest(image: str) -> str:
    """Return the digest that an image's registry has for its tag, of all platforms together."""
    inspect = ["docker", "buildx", "imagetools", "inspect", "--format={{json .Manifest}}", image]
    return str(json.loads(_said(inspect))["digest"])


class _Loader(yaml.SafeLoader):
    """Takes Compose's own tags for nothing."""


_Loader.add_multi_constructor("!", lambda *_: None)


def _said(command: list[str]) -> str:
    run = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - docker alone
    return run.stdout


if __name__ == "__main__":
    sys.exit(main())
