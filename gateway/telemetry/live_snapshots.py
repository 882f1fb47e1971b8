"""The live page's requests and snapshots, and how several workers' snapshots become one."""

from dataclasses import dataclass
from typing import Any

MAX_SHOWN_PLAYERS = 100
# The last errors of each cause.
MAX_SENTENCES = 3

Snapshot = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The parts that a snapshot should hold.

    Attributes:
        chosen: a player's id, "" for none.
        known_change: the number of that player's last change that the onlooker has seen.
        has_players: whether to include the list of players and the errors.
    """

    chosen: str = ""
    known_change: int = 0
    has_players: bool = True


def merged(snapshots: list[Snapshot]) -> Snapshot:
    """Return the snapshots of several workers as one."""
    found: Snapshot = {}
    if any("players" in one for one in snapshots):
        players = [player for one in snapshots for player in one.get("players", [])]
        players.sort(key=lambda player: (-player["age_s"], player["id"]))
        found["players"] = players[:MAX_SHOWN_PLAYERS]
        found["count"] = sum(one.get("count", 0) for one in snapshots)
        causes = dict.fromkeys(cause for one in snapshots for cause in one.get("errors", {}))
        found["errors"] = {
            cause: _together([one["errors"][cause] for one in snapshots if cause in one.get("errors", {})])
            for cause in causes
        }
    for one in snapshots:
        if "chosen" in one:
            found["chosen"] = one["chosen"]
    return found


def _together(errors: list[dict[str, Any]]) -> dict[str, Any]:
    last = sorted((told for one in errors for told in one["last"]), key=lambda told: told["ago_s"])
    return {"count": sum(one["count"] for one in errors), "last": last[:MAX_SENTENCES]}
