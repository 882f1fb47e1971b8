"""Prometheus and promtool in containers: the official image where it is at hand, else Debian's package."""

import json
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.deploy.promql import PROMETHEUS
from tests.docker_engine import docker
from tests.patience import WITHIN_S
from tests.stack import free_port, wait_until

_STAND_IN = "nitrogen-prometheus-debian"


def prometheus_image() -> str:
    """An image with `prometheus` as its entry point and `promtool` on its path; built when there is none."""
    official = docker("image", "ls", "--quiet", "prom/prometheus").split()
    if official:
        return official[0]
    docker(
        "build",
        "--quiet",
        "--tag",
        _STAND_IN,
        "--file",
        str(PROMETHEUS / "Dockerfile.debian"),
        str(PROMETHEUS),
    )
    return _STAND_IN


def promtool(image: str, *arguments: str) -> str:
    """Run promtool in the folder of the configuration; what it says, and an AssertionError if it fails."""
    mount = f"{PROMETHEUS}:/etc/prometheus:ro"
    run = (
        "run",
        "--rm",
        "--network=none",
        f"--volume={mount}",
        "--workdir=/etc/prometheus",
        "--entrypoint=promtool",
    )
    return docker(*run, image, *arguments)


@contextmanager
def running_prometheus(image: str, config: Path) -> Iterator["Prometheus"]:
    """A Prometheus on the host's network, with the repository's rules and another configuration file."""
    port = free_port()
    name = f"nitrogen-prometheus-{uuid.uuid4().hex[:8]}"
    docker(
        *("run", "--detach", "--name", name, "--network=host", "--read-only", "--cap-drop=ALL"),
        *(
            "--security-opt=no-new-privileges",
            "--user=65534:65534",
            "--tmpfs=/prometheus:uid=65534,gid=65534",
        ),
        *("--volume", f"{config}:/etc/prometheus/prometheus.yml:ro"),
        *("--volume", f"{PROMETHEUS / 'rules'}:/etc/prometheus/rules:ro"),
        image,
        *("--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"),
        f"--web.listen-address=127.0.0.1:{port}",
    )
    try:
        prometheus = Prometheus(f"http://127.0.0.1:{port}")
        wait_until(prometheus.ready, "Prometheus is ready")
        yield prometheus
    except AssertionError as error:
        raise AssertionError(f"{error}\n{docker('logs', name)}") from error
    finally:
        docker("rm", "--force", "--volumes", name)


class Prometheus:
    """The HTTP interface of a running Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ready(self) -> bool:
        """Whether it answers queries."""
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=WITHIN_S) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples that an expression has now; an HTTPError where it is not PromQL."""
        return list(self._get("query", query=expression)["result"])

    def rules(self) -> list[dict[str, Any]]:
        """All rules with what became of their last evaluation."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def targets(self) -> dict[str, str]:
        """The health of each job's target."""
        return {target["labels"]["job"]: target["health"] for target in self._get("targets")["activeTargets"]}

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=WITHIN_S) as reply:
            body = json.load(reply)
        assert body["status"] == "success", body
        return dict(body["data"])
