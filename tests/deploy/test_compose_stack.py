"""`docker compose up` as an operator has it, with the CPU override: it serves, heals, changes and ends."""

import urllib.request
from collections.abc import Iterator

import pytest

from tests.deploy.compose_players import Player, play, play_json, play_web, plays
from tests.deploy.compose_stack import ComposeStack, compose_stack, monitoring_settings
from tests.deploy.prometheus_container import Prometheus
from tests.docker_engine import docker
from tests.patience import WITHIN_S
from tests.stack import PickleClient, wait_until

pytestmark = pytest.mark.docker

ALL = ("prepare", "preflight", "gateway-settings", "settings", "export", "triton", "gateway", "prometheus")
# The same health checks, with less time between them.
CHECKS = """services:
  triton: {healthcheck: {interval: 1s}}
  gateway: {healthcheck: {interval: 1s}}
"""
STAYING = ("settings", "triton", "gateway", "prometheus")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """The stack, up, with Prometheus."""
    settings = monitoring_settings()
    folder = tmp_path_factory.mktemp("compose")
    checks = folder / "checks.yml"
    checks.write_text(CHECKS)
    with compose_stack(folder, [checks], **settings) as stack:
        # Grafana's image is not available everywhere.
        stack.up("--build", "gateway", "prometheus", "settings")
        yield stack


def inferences(stack: ComposeStack) -> float:
    """How many requests Triton has answered, by its own metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.metrics_port}/metrics", timeout=WITHIN_S) as reply:
        lines = reply.read().decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2]) for line in lines if line.startswith("nv_inference_request_success{")
    )


def test_players_on_each_port_are_answered_and_triton_counts_them(stack: ComposeStack) -> None:
    before = inferences(stack)
    reply = play(stack)
    assert reply["status"] == "ok"
    assert reply["pred"]["buttons"].shape == (18, 21)  # type: ignore[index]
    assert len(play_json(stack)["pred"]["buttons"]) == 18  # type: ignore[index]
    assert len(play_web(stack)["pred"]["buttons"]) == 18
    wait_until(lambda: inferences(stack) >= before + 3, "Triton's counters grow")


def test_the_export_says_where_it_is(stack: ComposeStack) -> None:
    said = stack.logs("export")
    for words in (
        "UNTRAINED",
        "--format auto: onnx",
        "1 of 3",
        "2 of 3",
        "about",
        "3 of 3: publishing version 1",
    ):
        assert words in said


@pytest.mark.parametrize("service", ALL)
def test_a_container_has_no_more_rights_than_it_needs(stack: ComposeStack, service: str) -> None:
    found = stack.inspect(service)
    host = found["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    added = {name.removeprefix("CAP_") for name in host["CapAdd"] or []}
    assert added == ({"CHOWN"} if service == "prepare" else set())
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["ReadonlyRootfs"]
    assert host["Init"]
    assert not host["Privileged"]
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "5"}
    assert host["RestartPolicy"]["Name"] == ("unless-stopped" if service in STAYING else "no")
    assert (found["Config"]["User"] == "0:0") == (service == "prepare")
    assert host["Memory"] > 0


def test_only_the_players_ports_are_open_to_the_network(stack: ComposeStack) -> None:
    published = {
        (service, port): {binding["HostIp"] for binding in bindings}
        for service in ALL
        for port, bindings in (stack.inspect(service)["HostConfig"]["PortBindings"] or {}).items()
    }
    assert published == {
        ("gateway", "5555/tcp"): {""},
        ("gateway", "5556/tcp"): {""},
        ("gateway", "5557/tcp"): {""},
        ("gateway", "8080/tcp"): {"127.0.0.1"},
        ("triton", "8002/tcp"): {"127.0.0.1"},
        ("prometheus", "9090/tcp"): {"127.0.0.1"},
    }


def test_another_machine_need_not_reach_the_ports_that_are_not_for_it(stack: ComposeStack) -> None:
    bridge = "{{(index .IPAM.Config 0).Gateway}}"
    host = docker("network", "inspect", "--format", bridge, "bridge").strip()
    said = docker(
        *("run", "--rm", "nitrogen-gateway:test", "check", host),
        *(f"--zmq-port={stack.zmq_port}", f"--tcp-port={stack.tcp_port}"),
        f"--web-port={stack.web_port}",
    )
    assert f"not reachable at {host}:8080" in said
    assert said.endswith("everything works\n")


def test_keys_are_made_with_docker_alone_and_those_of_others_are_told(stack: ComposeStack) -> None:
    made = stack.compose("run", "--rm", "keys", "--client", "alice")
    assert made.returncode == 0, made.stderr
    secrets = f"--volume={stack.settings['NITROGEN_SECRETS_DIR']}:/secrets"
    give = ("run", "--rm", "--user=0", secrets, "--entrypoint=chown", "nitrogen-gateway:test")
    docker(*give, "0:0", "/secrets/curve/server.key_secret")
    with_keys = ("--rm", "--no-deps", "--env=NITROGEN_CURVE_KEYS=/secrets/curve")
    refused = stack.compose("run", *with_keys, "gateway")
    docker(*give, "-R", "1000:1000", "/secrets/curve")
    assert refused.returncode != 0
    assert "user 1000 cannot read /secrets/curve/server.key_secret" in refused.stderr
    look = "import pathlib, gateway.ports.zmq.keys as keys\nkeys.CurveKeys(pathlib.Path('/secrets/curve'))\n"
    taken = stack.compose("run", *with_keys, "--entrypoint=python", "gateway", "-c", look)
    assert taken.returncode == 0, taken.stderr


def test_triton_takes_orders_only_with_the_key(stack: ComposeStack) -> None:
    asking = (
        "import grpc, sys\n"
        "from tritonclient.grpc import service_pb2 as m, service_pb2_grpc as s\n"
        "stub = s.GRPCInferenceServiceStub(grpc.insecure_channel('triton:8001'))\n"
        "name, value = open('/keys/triton').read().strip().split('=')\n"
        "def ask(**more):\n"
        "    try:\n"
        "        stub.RepositoryIndex(m.RepositoryIndexRequest(), timeout=10, **more)\n"
        "        print('answered')\n"
        "    except grpc.RpcError as error:\n"
        "        print(error.details())\n"
        "ask()\n"
        "ask(metadata=[(f'triton-grpc-protocol-{name}', value)])\n"
    )
    said = docker("exec", stack.containers("gateway")[0], "python", "-c", asking).splitlines()
    assert "restricted" in said[0]
    assert said[1] == "answered"


def test_the_gateways_image_is_light_and_has_no_torch(stack: ComposeStack) -> None:
    sizes = [
        int(docker("image", "inspect", "--format", "{{.Size}}", image))
        for image in (stack.inspect("gateway")["Image"], "python:3.11-slim-bookworm")
    ]
    assert sizes[0] - sizes[1] <= 300e6
    container = stack.containers("gateway")[0]
    look = "import importlib.util, shutil; print(importlib.util.find_spec('torch'), shutil.which('gcc'))"
    assert docker("exec", container, "python", "-c", look).split() == ["None", "None"]
    config = stack.inspect("gateway")["Config"]
    assert config["User"] == "1000:1000"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_prometheus_scrapes_both(stack: ComposeStack) -> None:
    prometheus = Prometheus(f"http://127.0.0.1:{stack.prometheus_port}")
    wait_until(lambda: prometheus.targets() == {"gateway": "up", "triton": "up"}, "both targets are scraped")
    play(stack)
    wait_until(lambda: prometheus.query("nitrogen_gateway_requests_total"), "the gateway's metrics")
    assert {rule["health"] for rule in prometheus.rules()} <= {"ok", "unknown"}


@pytest.mark.parametrize("service", STAYING)
def test_a_killed_container_comes_back_and_the_players_with_it(stack: ComposeStack, service: str) -> None:
    stack.kill(stack.containers(service)[0])
    stack.wait_healthy(service)
    wait_until(lambda: plays(stack), "players are answered again")


def test_a_wrong_flag_of_tritons_is_one_line(stack: ComposeStack) -> None:
    for flags, wrong in [("--nonsense", "unrecognized option"), ("--log-verbose=x", "Bad option")]:
        stack.settings["NITROGEN_TRITON_FLAGS"] = flags
        run = stack.compose("run", "--rm", "--no-deps", "triton")
        del stack.settings["NITROGEN_TRITON_FLAGS"]
        assert run.returncode == 1
        (line,) = [line for line in run.stderr.splitlines() if "NITROGEN_TRITON_FLAGS" in line]
        assert wrong in line
        assert flags.partition("=")[0] in line
        assert "Usage" not in f"{run.stdout}{run.stderr}"


def test_volumes_may_have_what_root_cannot_enter(stack: ComposeStack) -> None:
    # As on a file system of its own; and what a stack with another NITROGEN_UID has left.
    make = (
        "mkdir -m 700 /recordings/lost+found /recordings/old && touch /recordings/old/file"
        " && chown -R 1001:1001 /recordings/old"
    )
    volume = f"--volume={stack.project}_recordings:/recordings"
    docker("run", "--rm", "--user=0", volume, "--entrypoint=sh", "nitrogen-export:test", "-c", make)
    for _ in range(2):
        assert stack.compose("up", "--no-deps", "prepare").returncode == 0
        assert stack.inspect("prepare")["State"]["ExitCode"] == 0
    look = "stat -c '%u %n' /recordings/lost+found /recordings/old /recordings/old/file"
    assert docker(
        "run", "--rm", "--user=0", volume, "--entrypoint=sh", "nitrogen-export:test", "-c", look
    ) == ("0 /recordings/lost+found\n1000 /recordings/old\n1000 /recordings/old/file\n")


def test_what_stands_still_is_started_again(stack: ComposeStack) -> None:
    halted = [stack.containers(service)[0] for service in ("triton", "gateway")]
    before = [stack.starts(container) for container in halted]
    for container in halted:
        stack.halt(container)
    for service, container, start in zip(("triton", "gateway"), halted, before, strict=True):
        stack.wait_started_again(container, start)
        stack.wait_healthy(service)
        assert "has not answered for too long" in stack.logs(service)
    wait_until(lambda: plays(stack), "players are answered again")


def test_another_setting_of_the_model_is_served_without_a_break(stack: ComposeStack) -> None:
    running = [stack.containers(service) for service in ("triton", "gateway")]
    started = [stack.inspect(service)["State"]["StartedAt"] for service in ("triton", "gateway")]
    players = [Player(stack) for _ in range(2)]
    for player in players:
        player.start()
    # Another format, too: the demo's own is ONNX.
    stack.settings |= {"NITROGEN_STEPS": "4", "NITROGEN_FORMAT": "torchscript"}
    stack.up("gateway", "settings")

    with PickleClient(stack.zmq_port) as client:
        wait_until(lambda: client.request(type="info")["info"]["version"] == 2, "version 2 is served")
    for player in players:
        player.stop()
    assert [player.problems for player in players] == [[], []]
    assert all(player.chunks > 0 for player in players)
    assert [stack.containers(service) for service in ("triton", "gateway")] == running
    assert [stack.inspect(service)["State"]["StartedAt"] for service in ("triton", "gateway")] == started


def test_a_wrong_setting_is_one_line_and_the_players_go_on(stack: ComposeStack) -> None:
    right = stack.settings["NITROGEN_STEPS"]
    stack.settings["NITROGEN_STEPS"] = "many"
    run = stack.compose("up", "--wait", "gateway", "settings")
    stack.settings["NITROGEN_STEPS"] = right
    assert run.returncode != 0
    last = stack.logs("export").strip().splitlines()[-1]
    assert "NITROGEN_STEPS" in last
    assert "many" in last
    assert plays(stack)
    stack.up("gateway", "settings")


def test_a_wrong_setting_of_the_gateway_leaves_alone_the_one_that_runs(stack: ComposeStack) -> None:
    started, container = stack.inspect("gateway")["State"]["StartedAt"], stack.containers("gateway")
    stack.settings["NITROGEN_MAX_CLIENTS"] = "many"
    run = stack.compose("up", "--wait", "gateway", "settings")
    assert run.returncode != 0
    assert 'service "gateway-settings" didn\'t complete successfully' in run.stderr
    assert "NITROGEN_MAX_CLIENTS is 'many'" in stack.logs("gateway-settings").splitlines()[-1]
    assert plays(stack)
    assert stack.inspect("gateway")["State"]["StartedAt"] == started

    stack.settings["NITROGEN_MAX_CLIENTS"] = "50"
    stack.up("gateway", "settings")
    wait_until(lambda: stack.inspect("gateway")["State"]["StartedAt"] != started, "the gateway starts again")
    wait_until(lambda: plays(stack), "players are answered again")
    assert stack.containers("gateway") == container
    assert "NITROGEN_MAX_CLIENTS=50\n" in docker("exec", container[0], "cat", "/tmp/gateway.env")


def test_down_answers_what_is_in_flight_and_leaves_nothing(stack: ComposeStack) -> None:
    player = Player(stack)
    player.start()
    wait_until(lambda: player.chunks > 0, "a player plays")
    gateway = stack.containers("gateway")[0]
    run = stack.compose("--profile", "*", "stop", "--timeout", "30")
    assert run.returncode == 0, run.stderr
    assert docker("inspect", "--format", "{{.State.ExitCode}}", gateway).strip() == "0"
    player.join(60)  # it ends by itself, with the first reply that is none
    (last_words,) = player.problems
    assert "stopping" in last_words
    assert stack.compose("--profile", "*", "down", "--volumes").returncode == 0
    label = f"label=com.docker.compose.project={stack.project}"
    for kind in ("container", "network", "volume"):
        listing = [kind, "ls", "--quiet", "--filter", label]
        assert docker(*listing, *(["--all"] if kind == "container" else [])) == ""
