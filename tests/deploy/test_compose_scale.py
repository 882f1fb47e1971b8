"""Two gateways and two Tritons behind the balancer: players are shared out, and a death is nobody's end."""

import threading
from collections.abc import Iterator

import pytest

from tests.deploy.compose_players import FRAME, Player, plays
from tests.deploy.compose_stack import ROOT, ComposeStack, compose_stack
from tests.docker_engine import docker
from tests.stack import PickleClient, wait_until

pytestmark = pytest.mark.docker

_DOCKERFILE = """FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install --yes --no-install-recommends haproxy wget
"""


@pytest.fixture(scope="module")
def balancer_image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Debian's HAProxy, where the official image is not at hand."""
    official = docker("image", "ls", "--quiet", "haproxy:3.2-alpine").split()
    if official:
        return official[0]
    folder = tmp_path_factory.mktemp("haproxy")
    (folder / "Dockerfile").write_text(_DOCKERFILE)
    docker("build", "--quiet", "--tag", "nitrogen-haproxy-debian", str(folder))
    return "nitrogen-haproxy-debian"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, balancer_image: str) -> Iterator[ComposeStack]:
    """The stack with two of each."""
    folder = tmp_path_factory.mktemp("scale")
    scale = ROOT / "docker-compose.scale.yml"
    with compose_stack(folder, [scale], NITROGEN_BALANCER_IMAGE=balancer_image) as stack:
        stack.up("--build")
        yield stack


def served(stack: ComposeStack, container: str, service: str) -> float:
    """How many requests a gateway or a Triton has answered."""
    port, sample = {
        "gateway": (8080, "nitrogen_gateway_model_predicts_total{"),
        "triton": (8002, "nv_inference_request_success{"),
    }[service]
    read = (
        f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}/metrics', timeout=5)"
        ".read().decode())"
    )
    lines = docker("exec", container, "python", "-c", read).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(sample))


def test_players_are_shared_out_between_gateways_and_tritons(stack: ComposeStack) -> None:
    containers = [(one, service) for service in ("gateway", "triton") for one in stack.containers(service)]
    assert len(containers) == 4
    before = [served(stack, *one) for one in containers]
    assert stack.inspect("balancer")["State"]["Health"]["Status"] == "healthy"

    def all_have_served() -> bool:
        for _ in range(4):
            with PickleClient(stack.zmq_port) as client:
                for _ in range(4):
                    assert client.request(type="predict", image=FRAME)["status"] == "ok"
        after = [served(stack, *one) for one in containers]
        return all(late > early for early, late in zip(before, after, strict=True))

    wait_until(all_have_served, "every gateway and every Triton has served players")


def test_a_triton_that_is_killed_costs_no_player_a_chunk(stack: ComposeStack) -> None:
    player = Player(stack)
    player.start()
    wait_until(lambda: player.chunks > 0, "it plays")
    stack.kill(stack.containers("triton")[0])
    stack.wait_healthy("triton")
    player.stop()
    assert player.problems == []


def test_a_gateway_that_is_killed_leaves_the_other_to_the_players(stack: ComposeStack) -> None:
    killing = threading.Thread(target=stack.kill, args=[stack.containers("gateway")[0]])
    killing.start()
    wait_until(lambda: plays(stack), "new players are answered by the other one")
    killing.join(120)
    stack.wait_healthy("gateway")
    wait_until(lambda: plays(stack), "and afterwards")


def test_one_more_triton_takes_its_share(stack: ComposeStack) -> None:
    before = {*stack.containers("triton"), *stack.containers("gateway")}
    stack.settings["NITROGEN_TRITONS"] = "3"
    stack.up()
    after = {*stack.containers("triton"), *stack.containers("gateway")}
    assert before < after
    (added,) = after - before
    warm_up = served(stack, added, "triton")

    def is_used() -> bool:
        assert plays(stack)
        return served(stack, added, "triton") > warm_up

    wait_until(is_used, "the new Triton is used")
