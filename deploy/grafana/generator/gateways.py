"""A row of the dashboard "NitroGen: players": the gateways' processes themselves."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.generator.panels import add_row, chart
from deploy.grafana.generator.selection import AT, ON, WINDOW

_PROCESS = f'{{job="gateway", {AT}}}'


def gateways(board: Dashboard) -> Dashboard:
    """Add the gateways' delays, resources, recordings and versions."""
    return add_row(
        board,
        "Gateways",
        chart(
            "Event loop lag",
            "The longest time that a gateway or a worker stood still within the last 15 s.",
            (
                f"max by (instance, worker) (nitrogen_gateway_event_loop_lag_seconds{{{AT}}})",
                "{{instance}} {{worker}}",
            ),
            unit="s",
            steps={0.25: "red"},
        ),
        chart(
            "Requests in flight and in decoding",
            "Requests without a reply yet, and pictures in decoding or waiting for it. By default, "
            "--max-in-flight is 512 for each worker.",
            (f"sum by (instance) (nitrogen_gateway_in_flight{{{ON}}})", "{{instance}} in flight"),
            (f"sum by (instance) (nitrogen_gateway_decoding_queue{{{AT}}})", "{{instance}} in decoding"),
            unit="short",
        ),
        chart(
            "Tritons reached",
            "1: the gateway gets answers from the Triton at this address.",
            (
                f"max by (instance, address) (nitrogen_gateway_triton_up{{{AT}}})",
                "{{instance}} to {{address}}",
            ),
            unit="short",
            highest=1,
        ),
        chart(
            "Processors in use",
            "1 is one core. A gateway without --workers does nearly all its work on one.",
            (f"sum by (instance) (rate(process_cpu_seconds_total{_PROCESS}{WINDOW}))", "{{instance}}"),
            unit="none",
        ),
        chart(
            "Memory",
            "Resident memory, all workers together.",
            (f"sum by (instance) (process_resident_memory_bytes{_PROCESS})", "{{instance}}"),
            unit="bytes",
        ),
        chart(
            "File descriptors",
            "Share of the limit that is in use; each connection takes one.",
            (f"max by (instance) (process_open_fds{_PROCESS} / process_max_fds{_PROCESS})", "{{instance}}"),
            unit="percentunit",
            steps={0.8: "red"},
        ),
        chart(
            "Recordings",
            "Predicts that were recorded (--record), dropped because too many came at once, or failed at the "
            "disk.",
            (f"sum by (outcome) (rate(nitrogen_gateway_recordings_total{{{AT}}}{WINDOW}))", "{{outcome}}"),
            unit="ops",
            stacked=True,
        ),
        chart(
            "Size of the recordings",
            "Size of the recordings in the folder of --record; --record-max-bytes deletes the oldest.",
            (f"max by (instance) (nitrogen_gateway_recordings_kept_bytes{{{AT}}})", "{{instance}}"),
            unit="bytes",
        ),
        chart(
            "Versions",
            "Gateway processes that run each version; during an update there are two.",
            (f"count by (version) (nitrogen_gateway_build_info{{{AT}}})", "{{version}}"),
            unit="short",
            stacked=True,
        ),
    )
