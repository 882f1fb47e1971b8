"""The gateway's metrics: what is counted under which labels, who plays, and several workers as one page."""

import asyncio
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry.instruments import LoopLag, RecentClients
from gateway.telemetry.merged import merge_expositions
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.port_metrics import Stages
from tests.patience import WITHIN_S

STAGES = Stages(
    receive_s=0.001, decode_s=0.002, queue_s=0.003, infer_s=0.3, encode_s=0.004, send_s=0.005, total_s=0.4
)


def samples(text: str) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    """Values by a sample's name and labels."""
    found: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One sample's value; None when there is none."""
    text = metrics.exposition().decode()
    return samples(text).get(f"nitrogen_gateway_{name}", {}).get(frozenset(labels.items()))


def test_anonymous_and_authorised_requests_of_one_port_are_told_apart() -> None:
    metrics = Metrics()
    for access, count in (("anonymous", 1), ("authorised", 2)):
        port = metrics.port("tcp", access)  # type: ignore[arg-type]
        for _ in range(count):
            port.begun()
            port.answered("predict", "ok", 0.1)
    labels = {"port": "tcp", "type": "predict", "outcome": "ok"}
    assert value(metrics, "requests_total", access="anonymous", **labels) == 1
    assert value(metrics, "requests_total", access="authorised", **labels) == 2
    assert value(metrics, "request_seconds_count", port="tcp", type="predict") == 3


def test_requests_in_flight_are_those_of_both_kinds_of_clients() -> None:
    metrics = Metrics()
    one, other = metrics.port("tcp"), metrics.port("tcp", "authorised")
    for _ in range(3):
        one.begun()
    other.begun()
    one.answered("info", "ok", 0.1)
    one.dropped()
    assert value(metrics, "in_flight", port="tcp") == 2
    assert value(metrics, "dropped_total", port="tcp", access="anonymous") == 1


def test_a_port_asked_for_twice_is_the_same() -> None:
    metrics = Metrics()
    metrics.port("zmq").begun()
    assert metrics.port("zmq").in_flight == 1


def test_clients_are_counted_when_the_metrics_are_read() -> None:
    metrics = Metrics()
    clients = [1, 2, 3]
    metrics.port("zmq").count_clients_by(lambda: len(clients))
    assert value(metrics, "clients", port="zmq", access="anonymous") == 3
    clients.pop()
    assert value(metrics, "clients", port="zmq", access="anonymous") == 2


@pytest.mark.parametrize(
    ("stage", "seconds"),
    [
        ("receive", 0.001),
        ("decode", 0.002),
        ("queue", 0.003),
        ("infer", 0.3),
        ("encode", 0.004),
        ("send", 0.005),
        ("total", 0.4),
    ],
)
def test_each_stage_of_a_predict_is_recorded(stage: str, seconds: float) -> None:
    metrics = Metrics()
    metrics.port("tcp").stages(STAGES)
    assert value(metrics, "stage_seconds_sum", port="tcp", stage=stage) == seconds
    assert value(metrics, "stage_seconds_count", port="tcp", stage=stage) == 1


def test_buckets_hold_all_values_up_to_their_bound() -> None:
    metrics = Metrics()
    metrics.port("tcp").stages(STAGES)
    labels = {"port": "tcp", "stage": "infer"}
    assert value(metrics, "stage_seconds_bucket", le="0.2", **labels) == 0
    assert value(metrics, "stage_seconds_bucket", le="0.5", **labels) == 1
    assert value(metrics, "stage_seconds_bucket", le="+Inf", **labels) == 1


def test_a_value_on_a_bound_is_in_its_bucket() -> None:
    metrics = Metrics()
    metrics.dispatched("nitrogen", 8)
    assert value(metrics, "at_triton_bucket", le="6.0", model="nitrogen") == 0
    assert value(metrics, "at_triton_bucket", le="8.0", model="nitrogen") == 1


def test_predicts_are_counted_by_model_and_version() -> None:
    metrics = Metrics()
    port = metrics.port("zmq")
    port.model_answered("nitrogen", 3, "ok")
    port.model_answered("unknown", 0, "bad_request")
    assert value(metrics, "model_predicts_total", model="nitrogen", version="3", outcome="ok") == 1
    assert value(metrics, "model_predicts_total", model="unknown", version="", outcome="bad_request") == 1


def test_refusals_are_counted_by_reason() -> None:
    metrics = Metrics()
    metrics.port("tcp").refused("network")
    metrics.port("tcp", "authorised").refused("network")
    assert value(metrics, "refused_total", port="tcp", reason="network") == 2


def test_triton_addresses_are_shown_as_they_are_when_the_metrics_are_read() -> None:
    metrics = Metrics()
    first, second = ("triton:8001", "10.0.0.1:8001"), ("triton:8001", "10.0.0.2:8001")
    up = {first: True, second: False}
    metrics.endpoints_up = lambda: up
    assert value(metrics, "triton_up", endpoint=first[0], address=first[1]) == 1
    assert value(metrics, "triton_up", endpoint=second[0], address=second[1]) == 0
    up[second] = True
    assert value(metrics, "triton_up", endpoint=second[0], address=second[1]) == 1


def test_horizons_are_shown_by_model_and_version_as_they_are_then() -> None:
    metrics = Metrics()
    horizons = {("nitrogen", 3): 18, ("nitrogen-fast", 0): 16}
    metrics.horizons = lambda: horizons
    assert value(metrics, "model_horizon", model="nitrogen", version="3") == 18
    assert value(metrics, "model_horizon", model="nitrogen-fast", version="") == 16
    del horizons["nitrogen", 3]
    assert value(metrics, "model_horizon", model="nitrogen", version="3") is None


def test_readiness_is_shown() -> None:
    metrics = Metrics()
    assert value(metrics, "ready") == 0
    metrics.is_ready = True
    assert value(metrics, "ready") == 1


def test_the_decoders_queue_is_shown() -> None:
    metrics = Metrics()
    metrics.decoding = lambda: 5
    assert value(metrics, "decoding_queue") == 5


def test_the_version_is_shown() -> None:
    text = Metrics().exposition().decode()
    assert 'nitrogen_gateway_build_info{version="' in text


def test_what_became_of_recordings_is_shown() -> None:
    metrics = Metrics()
    metrics.recordings.written, metrics.recordings.dropped = 4, 2
    assert value(metrics, "recordings_total", outcome="written") == 4
    assert value(metrics, "recordings_total", outcome="dropped") == 2


def test_label_values_with_special_characters_are_escaped() -> None:
    metrics = Metrics()
    metrics.port("tcp").model_answered('a "model"\nname\\', 1, "ok")
    assert value(metrics, "model_predicts_total", model='a "model"\nname\\', version="1", outcome="ok") == 1


def test_a_client_plays_for_ten_seconds_after_its_last_predict() -> None:
    now = [0.0]
    clients = RecentClients(lambda: now[0])
    for at, client in ((0.0, "one"), (4.0, "two"), (8.0, "one")):
        now[0] = at
        clients.saw(client)
    now[0] = 14.0
    assert clients.count() == 2
    now[0] = 14.5
    assert clients.count() == 1
    now[0] = 18.5
    assert clients.count() == 0


def test_made_up_clients_are_not_all_remembered() -> None:
    clients = RecentClients(lambda: 0.0)
    for number in range(20_000):
        clients.saw(number)
    assert clients.count() == 10_000


def test_players_are_shown() -> None:
    metrics = Metrics()
    for client in (b"one", b"two", b"one"):
        metrics.port("zmq").played(client)
    assert value(metrics, "players", port="zmq", access="anonymous") == 2


async def test_a_blocked_event_loop_is_seen() -> None:
    lag = LoopLag()
    lag.start()
    try:
        # The loop runs until the timer is set; then it is blocked for longer than the timer's period.
        await asyncio.sleep(0)
        time.sleep(1.5)  # noqa: ASYNC251 - blocking is what is to be seen
        deadline = time.monotonic() + WITHIN_S
        while lag.greatest_s() < 1:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
    finally:
        lag.stop()


def test_workers_pages_become_one_with_a_label_each() -> None:
    texts = {}
    for worker in ("0", "1"):
        metrics = Metrics()
        for _ in range(int(worker) + 1):
            metrics.port("tcp").begun()
            metrics.port("tcp").answered("predict", "ok", 0.1)
        metrics.port("tcp").stages(STAGES)
        texts[worker] = metrics.exposition().decode()
    merged = merge_expositions(texts).decode()
    found = samples(merged)
    labels = {"port": "tcp", "access": "anonymous", "type": "predict", "outcome": "ok"}
    requests = found["nitrogen_gateway_requests_total"]
    assert [requests[frozenset({**labels, "worker": worker}.items())] for worker in ("0", "1")] == [1, 2]
    kinds = [line for line in merged.splitlines() if line.startswith("# TYPE")]
    assert len(kinds) == len(set(kinds))
    for name, values in samples(texts["1"]).items():
        assert {key | {("worker", "1")} for key in values} <= set(found[name])


def test_a_workers_garbled_page_is_left_out() -> None:
    page = Metrics().exposition().decode()
    merged = merge_expositions({"0": page, "1": page + 'torn{label="'})
    assert b'worker="0"' in merged
    assert b'worker="1"' not in merged


def test_no_worker_is_an_empty_page() -> None:
    assert merge_expositions({}) == b""


def test_readers_of_the_page_do_not_meet_a_metric_twice() -> None:
    page = Metrics().exposition().decode()
    names = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")]
    assert len(names) > 10
    assert len(names) == len(set(names))
