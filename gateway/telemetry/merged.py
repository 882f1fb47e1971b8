"""One page of metrics for several worker processes; a label tells their samples apart."""

from collections.abc import Iterator, Mapping

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_LABEL = "worker"


def merge_expositions(texts: Mapping[str, str]) -> bytes:
    """Return several workers' pages as one, in Prometheus' text format.

    Every sample gets the label `worker` with the name; every metric has its help and type once. A page that
    cannot be read is left out completely.

    Args:
        texts: each worker's page by the worker's name.
    """
    return generate_latest(_Merged(texts))


class _Merged(Collector):
    """The workers' metrics for `generate_latest`."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        merged: dict[str, Metric] = {}
        for worker, text in self._texts.items():
            for family in _families(text):
                into = merged.get(family.name)
                if into is None:
                    into = merged[family.name] = Metric(family.name, family.documentation, family.type)
                for sample in family.samples:
                    labels = {_LABEL: worker, **sample.labels}
                    into.samples.append(sample._replace(labels=labels))
        yield from merged.values()


def _families(text: str) -> list[Metric]:
    try:
        return list(text_string_to_metric_families(text))
    except ValueError:
        return []
