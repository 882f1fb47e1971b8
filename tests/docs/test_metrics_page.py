"""docs/reference/metrics.md: the list has each metric of the gateway, and no other."""

import re

from gateway.telemetry.metrics import Metrics
from tests.paths import ROOT

PAGE = ROOT / "docs" / "reference" / "metrics.md"


def test_the_list_has_every_metric() -> None:
    items = re.findall(r"^- \*\*(.+?)\*\*", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = [name for item in items for name in re.findall(r"`(nitrogen_gateway_\w+)`", item)]
    metrics = Metrics()
    metrics.port("zmq")
    there = re.findall(r"^# HELP (nitrogen_gateway_\w+)", metrics.exposition().decode(), re.MULTILINE)
    assert sorted(named) == sorted(there)
