"""Every metric that a dashboard or a rule names is one that the real gateway or the real Triton has."""

import re

import pytest

from tests.black_frame import FRAME
from tests.deploy.promql import all_expressions, rule_expressions, rules
from tests.pages import page
from tests.stack import JsonClient, PickleClient, Stack, wait_until

# Triton has these only with a GPU (read in its documentation, docs/user_guide/metrics.md).
GPU_METRICS = {
    "nv_gpu_utilization",
    "nv_gpu_memory_used_bytes",
    "nv_gpu_memory_total_bytes",
    "nv_gpu_power_usage",
    "nv_gpu_power_limit",
}
# Triton has these only with --metrics-config=summary_latencies=true.
SUMMARY_METRICS = {"nv_inference_request_summary_us", "nv_inference_queue_summary_us"}
# Metrics of the graph engine, which runs on GPUs; a test of the chain sees all of them with its stand-in.
GRAPH_METRICS = {
    "nitrogen_graph_runs_total",
    "nitrogen_graph_padding_total",
    "nitrogen_graph_missing_total",
    "nitrogen_graph_memory_bytes",
}
_SUFFIXES = {"counter": ("", "_total"), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
# Metrics of the gateway that no dashboard shows, on purpose.
UNSHOWN = {"nitrogen_gateway_recorded_bytes"}


def metrics_page(port: int) -> str:
    status, text = page(port, "/metrics")
    assert status == 200
    return text


def names(text: str) -> set[str]:
    """The names of all samples that a page may have, also of those that were not counted yet."""
    found = set(re.findall(r"^[a-z_]+", text, re.MULTILINE))
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        found |= {name + suffix for suffix in _SUFFIXES[kind]}
    return found


def test_every_metric_is_there(tiny_stack: Stack) -> None:
    known = names(metrics_page(tiny_stack.http_port)) | names(metrics_page(tiny_stack.triton_metrics_port))
    known |= GPU_METRICS | SUMMARY_METRICS | GRAPH_METRICS
    unknown = {(e.where, name) for e in all_expressions() for name in e.metrics() if name not in known}
    assert not unknown


def test_every_recorded_metric_is_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert {name for expression in all_expressions() for name in expression.recorded()} <= recorded
    assert recorded == {rule.where for rule in rule_expressions() if ":" in rule.where}


def test_every_metric_of_the_gateway_is_looked_at(tiny_stack: Stack) -> None:
    text = metrics_page(tiny_stack.http_port)
    asked = {name for expression in all_expressions() for name in expression.metrics()}
    families = set(re.findall(r"^# TYPE (nitrogen_\S+)", text, re.MULTILINE))
    unseen = {name for name in families if not any(question.startswith(name) for question in asked)}
    assert {name.removesuffix("_total") for name in unseen} == UNSHOWN


@pytest.mark.parametrize(
    ("metric", "labels"),
    [
        ("nitrogen_gateway_requests_total", {"port", "access", "type", "outcome"}),
        ("nitrogen_gateway_request_seconds_bucket", {"port", "type", "le"}),
        ("nitrogen_gateway_stage_seconds_bucket", {"port", "stage", "le"}),
        ("nitrogen_gateway_model_horizon", {"model", "version"}),
        ("nitrogen_gateway_model_predicts_total", {"model", "version", "outcome"}),
        ("nitrogen_gateway_at_triton_sum", {"model"}),
        ("nitrogen_gateway_players", {"port", "access"}),
        ("nitrogen_gateway_clients", {"port", "access"}),
        ("nitrogen_gateway_in_flight", {"port"}),
        ("nitrogen_gateway_triton_up", {"endpoint", "address"}),
        ("nitrogen_gateway_recordings_total", {"outcome"}),
        ("nitrogen_gateway_build_info", {"version"}),
        ("nv_inference_count", {"model", "version"}),
        ("nv_inference_pending_request_count", {"model", "version"}),
        ("nv_inference_request_failure", {"model", "version", "reason"}),
    ],
)
def test_metrics_have_the_labels_that_are_asked_for(tiny_stack: Stack, metric: str, labels: set[str]) -> None:
    with PickleClient(tiny_stack.zmq_port) as client:
        client.request(type="info")
    with JsonClient(tiny_stack.tcp_port) as client:
        client.request({"type": "predict"}, FRAME)
    port = tiny_stack.triton_metrics_port if metric.startswith("nv_") else tiny_stack.http_port

    def found() -> list[str]:
        return re.findall(rf"^{metric}\{{(.+)\}} ", metrics_page(port), re.MULTILINE)

    wait_until(found, f"{metric} has samples")
    assert {frozenset(re.findall(r'(\w+)="', text)) for text in found()} == {frozenset(labels)}
