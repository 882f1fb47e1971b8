"""The client as it installs, with the oldest numpy and the newest, and the examples of its README."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from nitrogen_client import ModelClient

from gateway.server import Gateway
from tests.clients.client.background import Background, gateway_in, timed_triton_in
from tests.clients.client.kinds import connected
from tests.environments import PIP, fresh_environment
from tests.first_words import next_line
from tests.paths import ROOT, STAND_INS
from tests.patience import WITHIN_S

HERE = Path(__file__).parent
CLIENT = ROOT / "clients" / "nitrogen_client"
README = (CLIENT / "README.md").read_text()


def oldest_python() -> Path:
    """A Python 3.9, the oldest that the client takes, where there is one; else the one that runs this."""
    candidates = [
        *(Path(folder) / "python3.9" for folder in os.get_exec_path()),
        *sorted((Path.home() / ".pyenv" / "versions").glob("3.9.*/bin/python3.9")),
    ]
    # Started, because pyenv also puts names on the path that only say what is not chosen.
    return next(
        (path for path in candidates if path.is_file() and "Python 3.9." in version(path)),
        Path(sys.executable),
    )


def version(python: Path) -> str:
    """Return what the interpreter says that it is, as "Python 3.9.18"; nothing of one that does not start."""
    done = subprocess.run(
        [python, "--version"], capture_output=True, text=True, check=False, timeout=WITHIN_S
    )
    return done.stdout.strip()


OLDEST = oldest_python()
# The names tell which Python it was: on a machine without the oldest it is another.
ENVIRONMENTS: dict[str, tuple[Path, list[str]]] = {
    f"oldest packages, {version(OLDEST)}": (OLDEST, ["numpy==1.24.*", "pyzmq==25.*", "msgpack==1.0.5"]),
    f"newest packages, {version(Path(sys.executable))}": (Path(sys.executable), ["numpy>=2"]),
}


@pytest.fixture(scope="module")
def gateway(loop: Background, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with (
        timed_triton_in(loop, tmp_path_factory.mktemp("timed")) as triton,
        gateway_in(loop, triton=triton.endpoint) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's own wheel; built from a copy, because a build leaves files beside its sources."""
    folder = tmp_path_factory.mktemp("wheel")
    source = shutil.copytree(CLIENT, folder / "source")
    subprocess.run([*PIP, "wheel", "--quiet", "--no-deps", "-w", folder, source], check=True, timeout=120)
    (built,) = folder.glob("nitrogen_client-*-py3-none-any.whl")
    return built


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def python(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that holds the client and what it needs, and nothing else."""
    creator, requirements = ENVIRONMENTS[request.param]
    folder = tmp_path_factory.mktemp("environment")
    return fresh_environment(folder, wheel, *requirements, creator=creator)


def run(python: Path, *arguments: object) -> str:
    """Return what a program prints in an environment; fails with what it says when it does not end well."""
    done = subprocess.run(
        [python, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_both_clients_work_in_every_environment(python: Path, gateway: Gateway) -> None:
    said = run(python, HERE / "everything.py", gateway.port_numbers["zmq"], "gateway")
    assert said.startswith("all works")
    # The reference's server with this environment's numpy, the clients with both.
    command = [python, STAND_INS / "reference_server.py"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = int(next_line(server))
            assert run(python, HERE / "everything.py", port, "reference").startswith("all works")
            with connected(ModelClient, port) as client:
                assert client.info()["ckpt_path"] == "models/ng.pt"
                assert client.predict(np.full((256, 256, 3), 40, np.uint8))["buttons"][0, :3].tolist() == [
                    40,
                    40,
                    40,
                ]
        finally:
            server.kill()


EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_readme_has_an_example_of_each_client() -> None:
    assert [("AsyncModelClient" in example) for example in EXAMPLES] == [False, True]


@pytest.mark.parametrize(("index", "says"), [(0, r"18 steps, \d+ ms in the model\n"), (1, r"\(18, 2\)\n")])
def test_the_readmes_examples_run(gateway: Gateway, index: int, says: str) -> None:
    example = EXAMPLES[index].replace("5555", str(gateway.port_numbers["zmq"]))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert re.search(f"{says}$", done.stdout), done.stdout + done.stderr
