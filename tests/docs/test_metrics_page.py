"""docs/reference/metrics.md: the table has each metric of the gateway, and no other."""

import re

from gateway.telemetry.metrics import Metrics
from tests.paths import ROOT

PAGE = ROOT / "docs" / "reference" / "metrics.md"


def test_the_table_has_every_metric() -> None:
    rows = re.findall(r"^\| (.+?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(nitrogen_gateway_\w+)`", row)]
    metrics = Metrics()
    metrics.port("zmq")
    there = re.findall(r"^# HELP (nitrogen_gateway_\w+)", metrics.exposition().decode(), re.MULTILINE)
    assert sorted(named) == sorted(there)
