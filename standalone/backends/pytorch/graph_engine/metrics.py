"""The graphs' work, as metrics on Triton's own page."""

from typing import Any

import triton_python_backend_utils as pb_utils

from .engine import GraphEngine, Run


class GraphMetrics:
    """The metrics of one instance of a model.

    Args:
        labels: of every sample: the model, its version, device and instance. No two instances have the same,
            because the last to set a gauge would hide the others.
    """

    def __init__(self, engine: GraphEngine, labels: dict[str, str]) -> None:
        counter, gauge = pb_utils.MetricFamily.COUNTER, pb_utils.MetricFamily.GAUGE
        # Kept, because a family takes its metrics with it when it goes.
        self._families = [
            pb_utils.MetricFamily(name, text, kind)
            for name, text, kind in (
                (
                    "nitrogen_graph_runs_total",
                    "Batches that ran in a CUDA graph, by its batch size.",
                    counter,
                ),
                ("nitrogen_graph_padding_total", "Rows that only filled a graph's batch.", counter),
                ("nitrogen_graph_missing_total", "Batches that ran without a CUDA graph.", counter),
                ("nitrogen_graph_memory_bytes", "Memory that recording a batch size's graph took.", gauge),
            )
        ]
        runs, padding, missing, memory = self._families
        self._runs = {
            bucket: runs.Metric({**labels, "bucket": str(bucket)})
            for bucket in engine.buckets
            if bucket not in engine.failures
        }
        self._padding = padding.Metric(labels)
        self._missing = missing.Metric(labels)
        self._memory = [
            _set(memory.Metric({**labels, "bucket": str(bucket)}), engine.memory_bytes[bucket])
            for bucket in engine.buckets
        ]

    def count(self, run: Run) -> None:
        """Count a batch. Each change is a message to Triton, so what did not change sends none."""
        if run.bucket is None:
            self._missing.increment(1)
            return
        self._runs[run.bucket].increment(1)
        if run.padding:
            self._padding.increment(run.padding)


def _set(metric: Any, value: int) -> Any:  # noqa: ANN401 - Triton's module is untyped
    metric.set(value)
    return metric
