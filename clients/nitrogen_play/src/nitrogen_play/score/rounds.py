"""A game's episodes: everybody plays each one before the next begins, so that what is finished compares."""

from collections.abc import Sequence
from dataclasses import dataclass

import rich.console
import rich.progress
import rich.text

from nitrogen_play.errors import PlayError, ServerError
from nitrogen_play.interfaces import Game
from nitrogen_play.score.episodes import play_episode
from nitrogen_play.score.players import ScoredPlayer
from nitrogen_play.score.results import GameScore, Record
from nitrogen_play.score.tables import number


@dataclass(frozen=True)
class RoundSettings:
    """How a game is played.

    Attributes:
        episodes: how many, of each player.
        base_seed: from which the seeds of the episodes and of the chunks come.
        max_ticks: after how many ticks an episode ends, unless the game ends it.
        steps_per_chunk: how many steps of a chunk are played, None for all.
    """

    episodes: int
    base_seed: int
    max_ticks: int
    steps_per_chunk: int | None


def play_rounds(
    game: Game,
    players: Sequence[ScoredPlayer],
    score: GameScore,
    settings: RoundSettings,
    console: rich.console.Console,
) -> None:
    """Play all episodes; what is finished is in the score's records, also when this ends by an error.

    A server that is lost in the middle loses its own episode alone, and is asked again in the next.

    Raises:
        PlayError: the game is lost, or does not have the measure that decides.
    """
    total = settings.episodes * len(players) * settings.max_ticks
    with _progress(console) as progress:
        task = progress.add_task(score.name, total=total)
        turns = 0
        for episode in range(settings.episodes):
            for player, record in zip(players, score.records, strict=True):
                what = f"{score.name}, episode {episode + 1} of {settings.episodes}: {player.name}"
                progress.update(task, completed=turns * settings.max_ticks, description=what)
                turns += 1
                try:
                    values = play_episode(
                        game,
                        player,
                        base_seed=settings.base_seed,
                        episode=episode,
                        max_ticks=settings.max_ticks,
                        steps_per_chunk=settings.steps_per_chunk,
                        on_tick=lambda: progress.advance(task),
                    )
                except ServerError as error:
                    record.lost[episode] = str(error)
                    continue
                if score.by not in values:
                    measures = ", ".join(sorted(values))
                    raise PlayError(f"{score.name} has no {score.by!r} (--by); it has: {measures}")
                record.finished[episode] = values
            line = _line(score, episode)
            progress.console.print(rich.text.Text(line), soft_wrap=True)


def _line(score: GameScore, episode: int) -> str:
    """Return what an episode came to for everybody."""
    return f"{score.name}, episode {episode + 1}: {score.by} " + ", ".join(
        f"{record.name} {_worth(record, score.by, episode)}" for record in score.records
    )


def _worth(record: Record, by: str, episode: int) -> str:
    if episode in record.lost:
        return f"lost ({record.lost[episode]})"
    return number(record.finished[episode][by])


def _progress(console: rich.console.Console) -> rich.progress.Progress:
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.BarColumn(),
        rich.progress.TaskProgressColumn(),
        rich.progress.TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
