"""The kinds of panels and variables that both dashboards are made of."""

from collections.abc import Mapping

from grafana_foundation_sdk.builders import common, stat, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

# The uid in provisioning/datasources/prometheus.yml.
DATASOURCE = DataSourceRef(type_val="prometheus", uid="nitrogen-prometheus")
TAG = "nitrogen"
# The grid is 24 wide.
FIGURE_WIDTH, FIGURE_HEIGHT = 3, 4
CHART_WIDTH, CHART_HEIGHT = 8, 8


def dashboard(title: str, uid: str, description: str) -> Dashboard:
    """Return an empty dashboard with links to the others."""
    return (
        Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .time("now-30m", "now")
        .refresh("10s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(
            DashboardLink("Other NitroGen dashboards")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .keep_time(True)
        )
    )


def add_row(board: Dashboard, title: str, *panels: timeseries.Panel) -> Dashboard:
    """Add a headline and panels under it, from left to right and from top to bottom."""
    board = board.with_row(Row(title))
    for panel in panels:
        board = board.with_panel(panel)
    return board


def choice(name: str, label: str, query: str) -> QueryVariable:
    """Return a variable with the values of a label; several can be chosen, and all are at first."""
    everything = VariableOption(selected=True, text=["All"], value=["$__all"])
    return (
        QueryVariable(name)
        .label(label)
        .query({"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"})
        .datasource(DATASOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(everything)
    )


def figure(
    title: str, description: str, expression: str, *, unit: str, steps: Mapping[float, str] | None = None
) -> stat.Panel:
    """Return one large number; `steps` gives the value from which it has a colour."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .with_target(Dataquery().expr(expression).datasource(DATASOURCE).instant())
        .unit(unit)
        .no_value("-")
        .thresholds(_thresholds(steps or {}))
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .span(FIGURE_WIDTH)
        .height(FIGURE_HEIGHT)
    )


def chart(
    title: str,
    description: str,
    *queries: tuple[str, str],
    unit: str,
    stacked: bool = False,
    steps: Mapping[float, str] | None = None,
    highest: float | None = None,
    width: int = CHART_WIDTH,
) -> timeseries.Panel:
    """Return lines over time.

    Args:
        title: above the chart.
        description: its help text.
        *queries: expressions with their legends.
        unit: Grafana's name for it.
        stacked: whether the lines are added up.
        steps: values at which a dashed line in that colour is drawn.
        highest: the upper end of the axis, if it is known.
        width: in Grafana's 24 columns.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .min(0)
        .fill_opacity(30 if stacked else 5)
        .show_points(VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .calcs([])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
        .span(width)
        .height(CHART_HEIGHT)
    )
    for expression, legend in queries:
        panel = panel.with_target(
            Dataquery().expr(expression).legend_format(legend).datasource(DATASOURCE).range()
        )
    if highest is not None:
        panel = panel.max(highest)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if steps:
        dashed = common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(_thresholds(steps)).thresholds_style(dashed)
    return panel


def _thresholds(steps: Mapping[float, str]) -> ThresholdsConfig:
    # The first step has no value: its colour is that of everything below the others.
    coloured = [Threshold(value=None, color="green")]
    coloured += [Threshold(value=value, color=colour) for value, colour in steps.items()]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(coloured)
