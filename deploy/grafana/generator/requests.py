"""Rows of the dashboard "NitroGen: players": errors by cause, and latency by stage."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.generator.panels import add_row, chart
from deploy.grafana.generator.selection import ON, WINDOW

# Our own failures, and clients' mistakes: docs/reference/metrics.md.
OURS = "busy|deadline|triton_unavailable|model_error|error|internal"
_THEIRS = "bad_request|unsafe_pickle|bad_image|bad_framing|refused"
# The game stutters; the TCP port gives up.
LATE_S = {1.0: "yellow", 4.0: "red"}


def errors(board: Dashboard) -> Dashboard:
    """Add errors by cause, clients' mistakes, refusals and alerts."""

    def by_outcome(outcomes: str) -> str:
        counted = f'nitrogen_gateway_requests_total{{{ON}, outcome=~"{outcomes}"}}'
        return f"sum by (port, outcome) (rate({counted}{WINDOW}))"

    return add_row(
        board,
        "Errors",
        chart(
            "Errors by cause",
            "Our own. busy, deadline: too much load. triton_unavailable: no Triton answers. model_error: the "
            "model fails. internal: a bug in the gateway.",
            (by_outcome(OURS), "{{port}} {{outcome}}"),
            unit="reqps",
            stacked=True,
            width=6,
        ),
        chart(
            "Mistakes of clients",
            "Requests that could not be served. unsafe_pickle: one that would have run code.",
            (by_outcome(_THEIRS), "{{port}} {{outcome}}"),
            unit="reqps",
            stacked=True,
            width=6,
        ),
        chart(
            "Turned away at the door",
            "Refused connections and requests, by reason; each try of a ZeroMQ client counts. Also requests "
            "whose client left before the reply.",
            (
                f"sum by (port, reason) (rate(nitrogen_gateway_refused_total{{{ON}}}{WINDOW}))",
                "{{port}} {{reason}}",
            ),
            (f"sum by (port) (rate(nitrogen_gateway_dropped_total{{{ON}}}{WINDOW}))", "{{port}} client left"),
            unit="cps",
            stacked=True,
            width=6,
        ),
        chart(
            "Alerts",
            "Alerts that are firing; docs/how-to/monitoring.md says what each means.",
            ('sum by (alertname, severity) (ALERTS{alertstate="firing"})', "{{severity}} {{alertname}}"),
            unit="short",
            stacked=True,
            width=6,
        ),
    )


def latency(board: Dashboard) -> Dashboard:
    """Add how long players wait, and in which stage."""

    def quantile(share: float, by: str, stage: str) -> str:
        counted = f"nitrogen_gateway_stage_seconds_bucket{{{ON}, stage{stage}}}"
        return f"histogram_quantile({share}, sum by ({by}, le) (rate({counted}{WINDOW})))"

    def summed(part: str, stage: str) -> str:
        counted = f"nitrogen_gateway_stage_seconds_{part}{{{ON}, stage{stage}}}"
        return f"sum by (stage) (rate({counted}{WINDOW}))"

    all_of_it, parts, in_turn = '="total"', '!="total"', '!~"total|receive"'
    return add_row(
        board,
        "Latency",
        chart(
            "Until a player has its actions",
            "From a predict's last byte to its reply. The TCP port gives up at 4 s, the ZeroMQ port at 25 s.",
            (quantile(0.5, "port", all_of_it), "{{port}} p50"),
            (quantile(0.99, "port", all_of_it), "{{port}} p99"),
            unit="s",
            steps=LATE_S,
        ),
        chart(
            "Latency by stage",
            "queue: inside the gateway, until it is sent. infer: Triton, with its queue. A quantile is as "
            "exact as the histogram's buckets.",
            (quantile(0.5, "stage", parts), "{{stage}} p50"),
            (quantile(0.99, "stage", parts), "{{stage}} p99"),
            unit="s",
        ),
        chart(
            "Where an average predict's time goes",
            "Mean of each stage, stacked. receive comes before and is not part of the latency.",
            (f"{summed('sum', in_turn)} / {summed('count', in_turn)}", "{{stage}}"),
            unit="s",
            stacked=True,
        ),
    )
