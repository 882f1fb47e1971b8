"""The dashboard "NitroGen: players": who plays, and how well.

Sums go over instances and workers, so that figures mean the same for one gateway and for ten with workers. A
figure that is the same for all workers (`triton_up`, the folder of recordings) is a maximum over them.
"""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.generator.gateways import gateways
from deploy.grafana.generator.panels import add_row, chart, choice, dashboard, figure
from deploy.grafana.generator.requests import LATE_S, OURS, errors, latency
from deploy.grafana.generator.selection import AT, ON, WINDOW

_PREDICTED = (
    f'sum by (port) (rate(nitrogen_gateway_requests_total{{{ON}, type="predict", outcome="ok"}}{WINDOW}))'
)
# Predicts know their model, and each model its horizon; also a version's that ended within the rate's window.
_ACTIONS = (
    f'sum by (model, version) (rate(nitrogen_gateway_model_predicts_total{{{AT}, outcome="ok"}}{WINDOW}))'
    " * on (model, version) "
    f"max by (model, version) (max_over_time(nitrogen_gateway_model_horizon{{{AT}}}{WINDOW}))"
)


def players() -> Dashboard:
    """Return the dashboard, ready to be built."""
    board = (
        dashboard(
            "NitroGen: players",
            "nitrogen-players",
            "Who plays through the gateways, how fast actions come back, and what goes wrong.",
        )
        .with_variable(choice("gateway", "Gateway", 'label_values(up{job="gateway"}, instance)'))
        .with_variable(choice("port", "Port", "label_values(nitrogen_gateway_clients, port)"))
    )
    for add in (_at_a_glance, _play, errors, latency, _models, gateways):
        board = add(board)
    return board


def _at_a_glance(board: Dashboard) -> Dashboard:
    failed = f'sum(rate(nitrogen_gateway_requests_total{{{ON}, outcome=~"{OURS}"}}[5m]))'
    total = f'rate(nitrogen_gateway_stage_seconds_bucket{{{ON}, stage="total"}}[5m])'
    figures = (
        figure(
            "Players",
            "Clients that sent a predict within the last 10 s.",
            f"sum(nitrogen_gateway_players{{{ON}}})",
            unit="short",
        ),
        figure(
            "Clients",
            "Connections that are open, playing or not.",
            f"sum(nitrogen_gateway_clients{{{ON}}})",
            unit="short",
        ),
        figure(
            "Predicts", "Predicts answered with actions, each second.", f"sum({_PREDICTED})", unit="reqps"
        ),
        figure(
            "Actions",
            "Gamepad actions sent each second, on all ports: predicts times their model's horizon. A client "
            "may play fewer of them.",
            f"sum({_ACTIONS})",
            unit="ops",
        ),
        figure(
            "Failed",
            "Share of the requests of the last 5 minutes that failed on our side.",
            f"({failed} or vector(0)) "
            f'/ sum(rate(nitrogen_gateway_requests_total{{{ON}, type!="played"}}[5m]))',
            unit="percentunit",
            steps={0.01: "yellow", 0.1: "red"},
        ),
        figure(
            "Latency, p99",
            "In the last 5 minutes, 99 of 100 predicts had their actions within this time.",
            f"histogram_quantile(0.99, sum by (le) ({total}))",
            unit="s",
            steps=LATE_S,
        ),
        figure(
            "Without Triton",
            "Gateways that reach no Triton: their players get errors.",
            f"count(max by (instance) (nitrogen_gateway_triton_up{{{AT}}}) == 0) or vector(0)",
            unit="short",
            steps={1: "red"},
        ),
        figure(
            "Alerts",
            "Alerts that are firing; the chart of the same name below says which.",
            'count(ALERTS{alertstate="firing"}) or vector(0)',
            unit="short",
            steps={1: "red"},
        ),
    )
    for panel in figures:
        board = board.with_panel(panel)
    return board


def _play(board: Dashboard) -> Dashboard:
    return add_row(
        board,
        "Play",
        chart(
            "Players",
            "Clients that sent a predict within the last 10 s. authorised: with a key or a token.",
            (f"sum by (port, access) (nitrogen_gateway_players{{{ON}}})", "{{port}} {{access}}"),
            unit="short",
            stacked=True,
        ),
        chart(
            "Actions per second",
            "Predicts with actions times their model's horizon, on all ports.",
            (_ACTIONS, "{{model}} {{version}}"),
            unit="ops",
            stacked=True,
        ),
        chart(
            "Clients",
            "Open connections. By default, --max-clients is 2000 on each port of each worker.",
            (f"sum by (port, access) (nitrogen_gateway_clients{{{ON}}})", "{{port}} {{access}}"),
            unit="short",
            stacked=True,
        ),
    )


def _models(board: Dashboard) -> Dashboard:
    def predicts(by: str, outcome: str) -> str:
        counted = f"nitrogen_gateway_model_predicts_total{{{AT}, outcome{outcome}}}"
        return f"sum by ({by}) (rate({counted}{WINDOW}))"

    sent, times = (
        f"sum by (model) (rate(nitrogen_gateway_at_triton_{part}{{{AT}}}{WINDOW}))"
        for part in ("sum", "count")
    )
    return add_row(
        board,
        "Models",
        chart(
            "Predicts by model and version",
            "Predicts answered with actions. While versions change, both show.",
            (predicts("model, version", '="ok"'), "{{model}} {{version}}"),
            unit="reqps",
            stacked=True,
        ),
        chart(
            "Failed predicts by model and version",
            "model unknown: a name that Triton does not have.",
            (predicts("model, version, outcome", '!="ok"'), "{{model}} {{version}} {{outcome}}"),
            unit="reqps",
            stacked=True,
        ),
        chart(
            "Predicts at Triton at once",
            "Mean number of predicts that a gateway has at Triton: the size of batch that Triton can form.",
            (f"{sent} / {times}", "{{model}}"),
            unit="none",
        ),
    )
