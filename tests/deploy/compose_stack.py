"""The stack in real containers, for a test: `docker compose`, the CPU override, the untrained model."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.deploy.prometheus_container import prometheus_image
from tests.docker_engine import docker
from tests.paths import ROOT
from tests.stack import free_port, wait_until

UP_S = 300
# Ends the process that the container's init started, as the kernel would when memory runs out.
_KILL = (
    "import os, signal, pathlib\n"
    "for entry in pathlib.Path('/proc').iterdir():\n"
    "    if entry.name.isdecimal() and (entry / 'stat').read_text().rpartition(')')[2].split()[1] == '1':\n"
    "        os.kill(int(entry.name), signal.SIGKILL)\n"
)


class ComposeStack:
    """One project of `docker compose`, with ports of its own.

    `files`: further compose files. `settings`: NITROGEN_* variables, which later calls may change.
    """

    def __init__(self, folder: Path, files: Sequence[Path] = (), **settings: str) -> None:
        self.project = f"nitrogen-{uuid.uuid4().hex[:8]}"
        self.zmq_port, self.tcp_port, self.web_port = (free_port() for _ in range(3))
        self.http_port, self.metrics_port, self.prometheus_port = (free_port() for _ in range(3))
        self.settings = {
            # Not the operator's images, should there be one on this machine.
            "NITROGEN_VERSION": "test",
            "NITROGEN_ZMQ_PORT": str(self.zmq_port),
            "NITROGEN_TCP_PORT": str(self.tcp_port),
            "NITROGEN_WEB_PORT": str(self.web_port),
            "NITROGEN_HTTP_PORT": str(self.http_port),
            "NITROGEN_TRITON_METRICS_PORT": str(self.metrics_port),
            "NITROGEN_PROMETHEUS_PORT": str(self.prometheus_port),
            "NITROGEN_MODELS_DIR": str(folder / "models"),
            "NITROGEN_SECRETS_DIR": str(folder / "secrets"),
            **settings,
        }
        self._files = [ROOT / "docker-compose.yml", ROOT / "docker-compose.cpu.yml", *files]

    def compose(self, *arguments: str, timeout_s: float = UP_S) -> subprocess.CompletedProcess[str]:
        """Run `docker compose` to its end, whatever its exit code."""
        files = [part for file in self._files for part in ("--file", str(file))]
        return subprocess.run(
            ["docker", "compose", "--project-name", self.project, *files, *arguments],
            env={**self._outer_environment(), **self.settings},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def up(self, *arguments: str) -> None:
        """`up --wait`; an AssertionError with what the services said if it fails."""
        run = self.compose("up", "--wait", *arguments)
        assert run.returncode == 0, f"{run.stdout}{run.stderr}\n{self.logs()}"

    def logs(self, *services: str) -> str:
        """Return what services have said so far; all by default."""
        said = self.compose("logs", "--no-color", "--no-log-prefix", *services).stdout
        # Some versions of Compose clear the line even where there is no terminal.
        return said.replace("\x1b[2K", "")

    def down(self) -> None:
        """Remove the containers, the networks and the volumes."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "30")

    def containers(self, service: str) -> list[str]:
        """Ids of a service's containers, also of those that have ended."""
        return self.compose("ps", "--all", "--quiet", service).stdout.split()

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what Docker knows of a service's first container."""
        found: list[dict[str, Any]] = json.loads(docker("inspect", self.containers(service)[0]))
        return found[0]

    def kill(self, container: str) -> None:
        """Kill a container's program with SIGKILL, from within, and wait until it has been started again."""
        before = self.starts(container)
        docker_kill = ["docker", "exec", container, "python3", "-c", _KILL]
        subprocess.run(docker_kill, capture_output=True, timeout=60, check=False)
        self.wait_started_again(container, before)

    def halt(self, container: str) -> None:
        """Have all that runs in a container stand still; what `docker kill` signals would stay down."""
        stop_all = "import os, signal; os.kill(-1, signal.SIGSTOP)"
        docker("exec", container, "python3", "-c", stop_all)

    def wait_started_again(self, container: str, before: tuple[int, str]) -> None:
        """Wait until a container has been started since `before`, which `starts` gave."""
        wait_until(lambda: self.starts(container) > before, f"{container} is started again")

    def wait_healthy(self, service: str) -> None:
        """Wait until a service's containers are healthy, or just run if they have no check."""

        def healthy() -> bool:
            states = [
                json.loads(docker("inspect", "--format", "{{json .State}}", one))
                for one in self.containers(service)
            ]
            return all(
                state["Running"] and state.get("Health", {"Status": "healthy"})["Status"] == "healthy"
                for state in states
            )

        wait_until(healthy, f"{service} is healthy")

    @staticmethod
    def starts(container: str) -> tuple[int, str]:
        """How often Docker has started a container again by itself, and when it last did."""
        state = docker("inspect", "--format", "{{.RestartCount}} {{.State.StartedAt}}", container).split()
        return int(state[0]), state[1]

    @staticmethod
    def _outer_environment() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("NITROGEN_")}


@contextmanager
def compose_stack(folder: Path, files: Sequence[Path] = (), **settings: str) -> Iterator[ComposeStack]:
    """A project that is removed at the end, whatever it has become; not yet up."""
    stack = ComposeStack(folder, files, **settings)
    try:
        yield stack
    finally:
        stack.down()


def monitoring_settings() -> dict[str, str]:
    """Settings for the profile `monitoring` without Docker Hub."""
    return {"NITROGEN_PROMETHEUS_IMAGE": prometheus_image()}
