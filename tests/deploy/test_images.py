"""What the images hold."""

import pytest

from tests.docker_engine import docker

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
