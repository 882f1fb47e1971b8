"""The scores as tables in the terminal."""

import itertools
from collections.abc import Iterable, Iterator

import rich.box
import rich.console
import rich.table
import rich.text

from nitrogen_play.score.results import GameScore, Record, Verdict
from nitrogen_play.score.statistics import CONFIDENCE, Estimate

_NONE = "-"
# Lost episodes of a player that are told one by one.
_MAX_LOST = 5
AS_IT_SHOULD_BE = (
    "With the demo model that is as it should be: its weights are random. A trained model should be better."
)


def tables(score: GameScore) -> Iterator[rich.console.RenderableType]:
    """Yield what is shown of a game: who is better, its measures, what was lost, and what to make of it."""
    interval = f"mean ± {CONFIDENCE:.0%} interval"
    yield rich.text.Text(f"{score.name}: {score.by} of an episode, {interval}")
    yield _verdicts(score)
    measures = [it for it in score.measures() if it != score.by and _varies(score, it)]
    if measures:
        yield rich.text.Text(f"{score.name}: values at an episode's end, {interval}")
        yield _measures(score, measures)
    for sentence in remarks(score):
        yield rich.text.Text(sentence)


def remarks(score: GameScore) -> Iterator[str]:
    """Yield the sentences below a game's tables."""
    for record in score.records:
        for episode, problem in itertools.islice(record.lost.items(), _MAX_LOST):
            yield f"{record.name} lost episode {episode + 1}: {problem}"
        if len(record.lost) > _MAX_LOST:
            yield f"{record.name} lost {len(record.lost) - _MAX_LOST} more"
    not_better = (Verdict.NO_DIFFERENCE, Verdict.WORSE)
    as_random = [it.name for it in score.servers if score.against_random(it) in not_better]
    if as_random:
        yield f"Not better than the random player: {', '.join(as_random)}. {AS_IT_SHOULD_BE}"


def number(value: float) -> str:
    """Return a number with the digits that matter: three, or all of a whole number's."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def shown(value: Estimate | None) -> str:
    """Return a mean and its interval, "-" for None."""
    if value is None:
        return _NONE
    return number(value.mean) + ("" if value.half_width is None else f" ± {number(value.half_width)}")


def _verdicts(score: GameScore) -> rich.table.Table:
    first = score.servers[0]
    headings = ("player", "played", score.by, f"above {first.name}", f"than {first.name}", "than random")
    rows = []
    for record in score.records:
        is_other = record is not first
        rows.append(
            (
                record.name,
                _episodes(record),
                shown(record.mean(score.by)),
                shown(score.difference(record, score.by)) if is_other else _NONE,
                score.verdict(record).value if is_other else _NONE,
                score.against_random(record).value if record.address is not None else _NONE,
            )
        )
    return _table(headings, rows)


def _measures(score: GameScore, measures: list[str]) -> rich.table.Table:
    rows = [(measure, *(shown(record.mean(measure)) for record in score.records)) for measure in measures]
    return _table(("", *(record.name for record in score.records)), rows)


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> rich.table.Table:
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in headings:
        table.add_column(rich.text.Text(heading))
    for row in rows:
        table.add_row(*map(rich.text.Text, row))
    return table


def _varies(score: GameScore, measure: str) -> bool:
    """Return whether a measure was not the same in everybody's episodes."""
    values = {value for record in score.records for value in record.values(measure).values()}
    return len(values) > 1


def _episodes(record: Record) -> str:
    return f"{len(record.finished)}" + (f", {len(record.lost)} lost" if record.lost else "")
