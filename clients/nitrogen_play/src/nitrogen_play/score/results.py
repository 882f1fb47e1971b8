"""The outcome of the episodes for each player, and how the players compare."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from nitrogen_play.score.servers import RANDOM
from nitrogen_play.score.statistics import Estimate, estimate, paired_difference


class Verdict(enum.Enum):
    """How one player compares with another."""

    WORSE = "worse"
    BETTER = "better"
    NO_DIFFERENCE = "no difference"
    TOO_FEW = "too few"


@dataclass
class Record:
    """A player's episodes.

    Attributes:
        name: what the table calls it.
        address: of a server; None for a player that needs none.
        finished: for each episode, by its number, the game's values at its end.
        lost: for each episode that broke off, why, as a sentence.
    """

    name: str
    address: str | None
    finished: dict[int, dict[str, float]] = field(default_factory=dict)
    lost: dict[int, str] = field(default_factory=dict)

    def measures(self) -> list[str]:
        """Return the names of the values."""
        return list(dict.fromkeys(name for values in self.finished.values() for name in values))

    def values(self, measure: str) -> dict[int, float]:
        """Return a measure by episode, of those that have it."""
        return {episode: values[measure] for episode, values in self.finished.items() if measure in values}

    def mean(self, measure: str) -> Estimate | None:
        """Return a measure's mean; None without an episode that has it."""
        values = list(self.values(measure).values())
        return estimate(values) if values else None


@dataclass(frozen=True)
class GameScore:
    """A game's episodes with all players.

    Attributes:
        name: of the game, as the command line has it.
        by: the measure that decides; more of it is better.
        records: of the servers in their order, then of the players that need none.
    """

    name: str
    by: str
    records: Sequence[Record]

    @property
    def servers(self) -> list[Record]:
        """The servers' records; the first is what the others are compared with."""
        return [record for record in self.records if record.address is not None]

    def measures(self) -> list[str]:
        """Return the measures, the one that decides first."""
        names = [name for record in self.records for name in record.measures()]
        return list(dict.fromkeys(([self.by] if self.by in names else []) + names))

    def difference(self, record: Record, measure: str) -> Estimate | None:
        """Return by how much a record's measure is above the first server's, in the same episodes."""
        return paired_difference(record.values(measure), self.servers[0].values(measure))

    def verdict(self, record: Record) -> Verdict:
        """Return how a record compares with the first server."""
        return _verdict(self.difference(record, self.by))

    def against_random(self, record: Record) -> Verdict:
        """Return how a record compares with the random player."""
        (random,) = (other for other in self.records if other.address is None and other.name == RANDOM)
        return _verdict(paired_difference(record.values(self.by), random.values(self.by)))

    def worse(self) -> list[Record]:
        """Return the servers that are worse than the first."""
        return [record for record in self.servers[1:] if self.verdict(record) is Verdict.WORSE]


def _verdict(difference: Estimate | None) -> Verdict:
    if difference is None or difference.half_width is None:
        return Verdict.TOO_FEW
    if difference.is_below_zero:
        return Verdict.WORSE
    return Verdict.BETTER if difference.is_above_zero else Verdict.NO_DIFFERENCE
