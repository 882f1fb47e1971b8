"""Port 8080: health, readiness and the metrics of requests that were really made."""

import http.client
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.patience import WITHIN_S
from tests.pictures import picture
from tests.stack import JsonClient, PickleClient, Stack, wait_until


def get(stack: Stack, path: str) -> tuple[int, str, str]:
    """Status, content type and text of a page."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.http_port, timeout=WITHIN_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read().decode()
    finally:
        connection.close()


def sample(stack: Stack, name: str, **labels: str) -> float:
    """The value of one metric; 0 when it has not been counted yet."""
    _, _, text = get(stack, "/metrics")
    for family in text_string_to_metric_families(text):
        for found in family.samples:
            if found.name == name and found.labels == labels:
                return float(found.value)
    return 0.0


def growth(stack: Stack, name: str, work: Callable[[], object], **labels: str) -> float:
    """By how much a metric grows while `work` runs."""
    before = sample(stack, name, **labels)
    work()
    return sample(stack, name, **labels) - before


def zmq_predicts(stack: Stack) -> None:
    with PickleClient(stack.zmq_port) as client:
        for _ in range(3):
            client.request(type="predict", image=picture(1))


def zmq_nonsense(stack: Stack) -> None:
    with PickleClient(stack.zmq_port) as client:
        client.request(type="nonsense")


def zmq_code(stack: Stack) -> None:
    with PickleClient(stack.zmq_port) as client:
        client.send_bytes(b"cos\nsystem\n(S'true'\ntR.")


def tcp_predicts(stack: Stack) -> None:
    with JsonClient(stack.tcp_port) as client:
        for _ in range(2):
            client.request({"type": "predict"}, picture(1).tobytes())


def tcp_bad_image(stack: Stack) -> None:
    with JsonClient(stack.tcp_port) as client:
        client.request({"type": "predict", "len": 10}, bytes(10))


def tcp_bad_line(stack: Stack) -> None:
    with JsonClient(stack.tcp_port) as client:
        client.socket.sendall(b"hello\n")
        client.line()


def test_healthz_says_that_the_process_lives(tiny_stack: Stack) -> None:
    assert get(tiny_stack, "/healthz")[0] == 200


def test_readyz_says_that_the_model_is_ready(tiny_stack: Stack) -> None:
    assert get(tiny_stack, "/readyz")[0] == 200


def test_unknown_page_is_not_found(tiny_stack: Stack) -> None:
    assert get(tiny_stack, "/nothing")[0] == 404


def test_metrics_are_in_the_text_format_of_prometheus(tiny_stack: Stack) -> None:
    status, content_type, text = get(tiny_stack, "/metrics")
    assert status == 200
    assert content_type.startswith("text/plain; version=0.0.4")
    families = {family.name for family in text_string_to_metric_families(text)}
    names = ("requests", "request_seconds", "stage_seconds", "clients", "players", "in_flight", "triton_up")
    assert {f"nitrogen_gateway_{name}" for name in names} <= families


@pytest.mark.parametrize(
    ("work", "port", "request_type", "outcome", "count"),
    [
        (zmq_predicts, "zmq", "predict", "ok", 3),
        (zmq_nonsense, "zmq", "unknown", "bad_request", 1),
        (zmq_code, "zmq", "unknown", "unsafe_pickle", 1),
        (tcp_predicts, "tcp", "predict", "ok", 2),
        (tcp_bad_image, "tcp", "predict", "bad_image", 1),
        (tcp_bad_line, "tcp", "unknown", "bad_framing", 1),
    ],
)
def test_requests_are_counted_by_port_type_and_outcome(
    tiny_stack: Stack, work: Callable[[Stack], None], port: str, request_type: str, outcome: str, count: int
) -> None:
    name = "nitrogen_gateway_requests_total"
    labels = {"port": port, "access": "anonymous", "type": request_type, "outcome": outcome}
    assert growth(tiny_stack, name, lambda: work(tiny_stack), **labels) == count


@pytest.mark.parametrize("stage", ["receive", "decode", "queue", "infer", "encode", "send", "total"])
@pytest.mark.parametrize(("work", "port", "count"), [(zmq_predicts, "zmq", 3), (tcp_predicts, "tcp", 2)])
def test_latencies_are_measured_by_stage(
    tiny_stack: Stack, stage: str, work: Callable[[Stack], None], port: str, count: int
) -> None:
    name = "nitrogen_gateway_stage_seconds_count"
    assert growth(tiny_stack, name, lambda: work(tiny_stack), port=port, stage=stage) == count


def test_open_connections_are_counted(tiny_stack: Stack) -> None:
    def clients() -> float:
        return sample(tiny_stack, "nitrogen_gateway_clients", port="tcp", access="anonymous")

    wait_until(lambda: clients() == 0, "the connections of earlier tests are gone")
    with JsonClient(tiny_stack.tcp_port) as one, JsonClient(tiny_stack.tcp_port) as other:
        one.request({"type": "info"})
        other.request({"type": "info"})
        assert clients() == 2
    wait_until(lambda: clients() == 0, "both are counted as gone")


@pytest.mark.parametrize(("work", "port"), [(zmq_predicts, "zmq"), (tcp_predicts, "tcp")])
def test_nothing_is_in_flight_after_the_last_reply(
    tiny_stack: Stack, work: Callable[[Stack], None], port: str
) -> None:
    work(tiny_stack)
    assert sample(tiny_stack, "nitrogen_gateway_in_flight", port=port) == 0
