"""The dashboards' files: their names and texts."""

import json

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Panel

from deploy.grafana.generator.players import players
from deploy.grafana.generator.triton import triton


def documents() -> dict[str, str]:
    """Return each dashboard's JSON by its file's name."""
    return {"players.json": _text(players()), "triton.json": _text(triton())}


def _text(builder: Dashboard) -> str:
    dashboard = builder.build()
    for number, panel in enumerate(dashboard.panels or [], start=1):
        panel.id_val = number
        if isinstance(panel, Panel):
            for place, target in enumerate(panel.targets or []):
                # Grafana tells a panel's queries apart by a letter.
                target.ref_id = chr(ord("A") + place)  # type: ignore[attr-defined]  # a base class without fields
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
