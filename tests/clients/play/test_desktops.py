"""Windows of real desktops, in a container without a screen: found in their frames, read, and typed in."""

import json
from pathlib import Path

import pytest

from tests.docker_engine import docker
from tests.paths import ROOT

DESKTOPS = Path(__file__).parent / "desktops"
SOURCE = ROOT / "clients" / "nitrogen_play" / "src"
IMAGE = "nitrogen-desktops"

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def image() -> str:
    docker("build", "--quiet", "--tag", IMAGE, str(DESKTOPS))
    return IMAGE


@pytest.mark.parametrize("desktop", ["none", "twm", "wayland"])
def test_a_window_is_found_and_read_also_where_another_covers_it(image: str, desktop: str) -> None:
    mounts = (f"--volume={DESKTOPS}:/desktops:ro", f"--volume={SOURCE}:/src:ro")
    seen = json.loads(docker("run", "--rm", "--init", "--network=none", *mounts, image, desktop))
    # cage lets no window have less than its whole screen.
    assert seen["size"] == ([720, 1280, 3] if desktop == "wayland" else [200, 320, 3])
    assert seen["shown"] == seen["covered"] == ["#3366cc", "#33aa55"]
    # The game's window once, and no frame of it.
    assert seen["listed"].count("Cover") == 1
    assert "Caf\xe9 Game" not in seen["listed"]
    assert desktop == "wayland" or seen["keys"] == [[], ["Tab", "a"], []]
    assert seen["closed"] == "the game's window is gone"
