"""The contents of the images."""

import pytest

from tests.docker_engine import docker
from tests.paths import ROOT

pytestmark = pytest.mark.docker


@pytest.mark.parametrize("name", ["export", "gateway", "triton-cpu"])
def test_an_image_holds_the_commands_whose_code_it_has(name: str) -> None:
    own = {"export": ["nitrogen-export"], "gateway": ["nitrogen-gateway"], "triton-cpu": []}[name]
    image = f"nitrogen-{name}:test"
    found = docker(
        *("run", "--rm", "--network=none", "--entrypoint=find", image),
        *("/opt/venv/bin", "/usr/local/bin", "-name", "nitrogen-*", "-printf", "%f\\n"),
    )
    assert found.split() == own
    for command in own:
        assert f"usage: {command}" in docker(
            "run", "--rm", "--network=none", f"--entrypoint={command}", image, "-h"
        )


def test_the_gateways_image_has_every_page_and_the_emulator() -> None:
    listing = (
        "from gateway.ports.static_files import PAGES\n"
        "for path in PAGES.rglob('*'):\n"
        "    if path.is_file(): print(path.relative_to(PAGES))"
    )
    image = ["--entrypoint=python", "nitrogen-gateway:test", "-c", listing]
    emulator = {"play/emulator/jsnes.min.js", "play/emulator/LICENSE"}
    pages = {str(path.relative_to(ROOT / "gateway/pages")) for path in (ROOT / "gateway/pages").rglob("*.*")}
    assert set(docker("run", "--rm", "--network=none", *image).split()) == pages | emulator
