"""The dashboard "NitroGen: Triton": what the model does, and whether the GPU keeps up."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.generator.panels import add_row, chart, choice, dashboard, figure

_AT = 'instance=~"$triton"'
_OF = f'{_AT}, model=~"$model"'
_PENDING = {32.0: "yellow", 192.0: "red"}
_BUSY = {0.95: "yellow"}


def triton() -> Dashboard:
    """Return the dashboard, ready to be built."""
    board = dashboard(
        "NitroGen: Triton",
        "nitrogen-triton",
        "Queue, batches, time and GPU of the Tritons that serve the models.",
    )
    board = board.with_variable(choice("triton", "Triton", 'label_values(up{job="triton"}, instance)'))
    board = board.with_variable(choice("model", "Model", "label_values(nv_inference_count, model)"))
    for add in (_at_a_glance, _load, _time, _gpu, _graphs, _machine):
        board = add(board)
    return board


def _rate(metric: str, window: str = "$__rate_interval") -> str:
    return f"rate({metric}{{{_OF}}}[{window}])"


def _per_request(metric: str, by: str = "model, version") -> str:
    """Mean seconds per request, of a counter in microseconds."""
    return f"sum by ({by}) ({_rate(metric)}) / 1e6 / sum by ({by}) ({_rate('nv_inference_request_success')})"


def _at_a_glance(board: Dashboard) -> Dashboard:
    memory = f"sum(nv_gpu_memory_used_bytes{{{_AT}}}) / sum(nv_gpu_memory_total_bytes{{{_AT}}})"
    figures = (
        figure(
            "Tritons",
            "Tritons that answer Prometheus.",
            f'sum(up{{job="triton", {_AT}}})',
            unit="short",
        ),
        figure(
            "Inferences",
            "Frames (or contexts of frames) turned into actions, each second.",
            f"sum({_rate('nv_inference_count')})",
            unit="ops",
        ),
        figure(
            "Batch size",
            "Requests in an average batch of the last 5 minutes.",
            f"sum({_rate('nv_inference_count', '5m')}) / sum({_rate('nv_inference_exec_count', '5m')})",
            unit="none",
        ),
        figure(
            "Waiting",
            "Requests in the queues. A gateway has at most 256 for a model there (--max-at-triton).",
            f"sum(nv_inference_pending_request_count{{{_OF}}})",
            unit="short",
            steps=_PENDING,
        ),
        figure(
            "Wait in the queue",
            "An average request's wait, over the last 5 minutes.",
            f"sum({_rate('nv_inference_queue_duration_us', '5m')}) / 1e6"
            f" / sum({_rate('nv_inference_request_success', '5m')})",
            unit="s",
            steps={1: "red"},
        ),
        figure(
            "Failures",
            "Requests that failed in the last hour, whatever the reason.",
            f"sum(increase(nv_inference_request_failure{{{_OF}}}[1h]))",
            unit="short",
            steps={1: "yellow"},
        ),
        figure(
            "GPU",
            "Share of the time in which the GPUs had work, on average. Empty without a GPU.",
            f"avg(nv_gpu_utilization{{{_AT}}})",
            unit="percentunit",
            steps=_BUSY,
        ),
        figure(
            "GPU memory",
            "Share of the GPUs' memory in use. Empty without a GPU.",
            memory,
            unit="percentunit",
            steps=_BUSY,
        ),
    )
    for panel in figures:
        board = board.with_panel(panel)
    return board


def _load(board: Dashboard) -> Dashboard:
    return add_row(
        board,
        "Load",
        chart(
            "Inferences per second",
            "By model and version, all Tritons together. While versions change, both show.",
            (f"sum by (model, version) ({_rate('nv_inference_count')})", "{{model}} {{version}}"),
            unit="ops",
            stacked=True,
            width=6,
        ),
        chart(
            "Batch size",
            "Requests in an average batch. Once it is the largest (16 on a GPU, 8 on a CPU), more load only "
            "lengthens the queue.",
            (
                f"sum by (instance, model) ({_rate('nv_inference_count')})"
                f" / sum by (instance, model) ({_rate('nv_inference_exec_count')})",
                "{{instance}} {{model}}",
            ),
            unit="none",
            width=6,
        ),
        chart(
            "Queue",
            "Requests that wait for a batch. A gateway refuses more than 256 (--max-at-triton).",
            (
                f"sum by (instance, model) (nv_inference_pending_request_count{{{_OF}}})",
                "{{instance}} {{model}}",
            ),
            unit="short",
            steps=_PENDING,
            width=6,
        ),
        chart(
            "Failures by reason",
            "REJECTED: an operator's own queue policy. CANCELED: the client left. BACKEND: the model "
            "or the GPU failed.",
            (
                f"sum by (model, version, reason) ({_rate('nv_inference_request_failure')})",
                "{{model}} {{version}} {{reason}}",
            ),
            unit="reqps",
            stacked=True,
            width=6,
        ),
    )


def _time(board: Dashboard) -> Dashboard:
    stages = ("queue", "compute_input", "compute_infer", "compute_output")
    infer, infers = (
        f'sum(rate(nitrogen_gateway_stage_seconds_{part}{{stage="infer"}}[$__rate_interval]))'
        for part in ("sum", "count")
    )

    def slowest(what: str) -> str:
        summary = f'nv_inference_{what}_summary_us{{{_OF}, quantile="0.99"}}'
        return f"max by (model, version) ({summary}) / 1e6"

    return add_row(
        board,
        "Time",
        chart(
            "Where an average request's time goes",
            "Waiting, gathering the batch, running the model, returning the results. A request's time in the "
            "model is that of its whole batch.",
            *(
                (_per_request(f"nv_inference_{stage}_duration_us"), "{{model}} {{version}} " + stage)
                for stage in stages
            ),
            unit="s",
            stacked=True,
            width=6,
        ),
        chart(
            "Triton's time and the gateways'",
            "Means. request: inside Triton, from arrival to answer. infer: as the gateways see it; the "
            "difference is the network.",
            (_per_request("nv_inference_request_duration_us"), "{{model}} {{version}} request"),
            (f"{infer} / {infers}", "gateways: infer"),
            unit="s",
            width=6,
        ),
        chart(
            "The model's time, by Triton",
            "Time of an average request's batch, which shows a slow GPU. Larger batches take longer.",
            (
                _per_request("nv_inference_compute_infer_duration_us", "instance, model"),
                "{{instance}} {{model}}",
            ),
            unit="s",
            width=6,
        ),
        chart(
            "Slow requests, p99",
            "The slowest Triton's recent figure. Only if it runs with "
            "--metrics-config=summary_latencies=true, as in the compose stack.",
            (slowest("request"), "{{model}} {{version}} request"),
            (slowest("queue"), "{{model}} {{version}} queue"),
            unit="s",
            width=6,
        ),
    )


def _gpu(board: Dashboard) -> Dashboard:
    def each(metric: str) -> str:
        return f"max by (instance, gpu_uuid) ({metric}{{{_AT}}})"

    return add_row(
        board,
        "GPU (empty without one)",
        chart(
            "GPU utilisation",
            "Share of the time that a kernel ran. At 1 there is no room for more players.",
            (each("nv_gpu_utilization"), "{{instance}} {{gpu_uuid}}"),
            unit="percentunit",
            steps=_BUSY,
            highest=1,
        ),
        chart(
            "GPU memory",
            "In use and in total. PyTorch keeps memory that it once took.",
            (each("nv_gpu_memory_used_bytes"), "{{instance}} {{gpu_uuid}} used"),
            (each("nv_gpu_memory_total_bytes"), "{{instance}} {{gpu_uuid}} total"),
            unit="bytes",
        ),
        chart(
            "GPU power",
            "Watts drawn, and the limit; at the limit the GPU slows down.",
            (each("nv_gpu_power_usage"), "{{instance}} {{gpu_uuid}}"),
            (each("nv_gpu_power_limit"), "{{instance}} {{gpu_uuid}} limit"),
            unit="watt",
        ),
    )


def _graphs(board: Dashboard) -> Dashboard:
    def per_model(metric: str) -> str:
        return f"sum by (instance, model) ({_rate(metric)})"

    padding = per_model("nitrogen_graph_padding_total")
    return add_row(
        board,
        "CUDA graphs (empty without the graph engine)",
        chart(
            "Batches by graph",
            "Batches per second, by the batch size of the graph that ran them.",
            (f"sum by (model, bucket) ({_rate('nitrogen_graph_runs_total')})", "{{model}} {{bucket}}"),
            unit="ops",
            stacked=True,
            width=6,
        ),
        chart(
            "Padding",
            "Share of the rows that repeat a batch's last sample, to fill the graph that runs it.",
            (f"{padding} / ({padding} + {per_model('nv_inference_count')})", "{{instance}} {{model}}"),
            unit="percentunit",
            highest=1,
            width=6,
        ),
        chart(
            "Without a graph",
            "Batches per second whose graph could not be recorded: Triton's log says why.",
            (per_model("nitrogen_graph_missing_total"), "{{instance}} {{model}}"),
            unit="ops",
            width=6,
        ),
        chart(
            "Memory of the graphs",
            "GPU memory that recording each batch size took. The others share that of the largest.",
            (
                f"sum by (instance, model, bucket) (nitrogen_graph_memory_bytes{{{_OF}}})",
                "{{instance}} {{model}} {{bucket}}",
            ),
            unit="bytes",
            stacked=True,
            width=6,
        ),
    )


def _machine(board: Dashboard) -> Dashboard:
    def each(metric: str) -> str:
        return f"max by (instance) ({metric}{{{_AT}}})"

    return add_row(
        board,
        "Machine",
        chart(
            "Processors",
            "Share of all processors of Triton's machine that any process uses.",
            (each("nv_cpu_utilization"), "{{instance}}"),
            unit="percentunit",
            highest=1,
        ),
        chart(
            "Memory",
            "Memory of Triton's machine, in use by any process and in total.",
            (each("nv_cpu_memory_used_bytes"), "{{instance}} used"),
            (each("nv_cpu_memory_total_bytes"), "{{instance}} total"),
            unit="bytes",
        ),
        chart(
            "Pinned memory",
            "Memory through which Triton copies to the GPU; when it is full, copies are slower.",
            (each("nv_pinned_memory_pool_used_bytes"), "{{instance}} used"),
            (each("nv_pinned_memory_pool_total_bytes"), "{{instance}} total"),
            unit="bytes",
        ),
    )
