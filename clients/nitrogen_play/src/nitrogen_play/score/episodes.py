"""An episode, the same for every player: its start and its noise come from its seed alone."""

from collections.abc import Callable

import numpy as np

from nitrogen_play.errors import PlayError
from nitrogen_play.frames import model_frame
from nitrogen_play.interfaces import Game
from nitrogen_play.score.players import ScoredPlayer


def seed_of(base: int, *numbers: int) -> int:
    """Return the seed of an episode (by its number), or of a chunk (by the episode's number and its own)."""
    return int(np.random.SeedSequence((base, *numbers)).generate_state(1)[0])


def play_episode(
    game: Game,
    player: ScoredPlayer,
    *,
    base_seed: int,
    episode: int,
    max_ticks: int,
    steps_per_chunk: int | None,
    on_tick: Callable[[], object],
) -> dict[str, float]:
    """Play an episode in turns; return the game's own values at its end, and its length as "ticks".

    Args:
        game: one that keeps a score; it stands still while the player thinks.
        player: who answers the frames.
        base_seed: the seed of the whole run.
        episode: its number, which with the seed decides how it begins and what each chunk's noise is.
        max_ticks: where it ends, unless the game ends it.
        steps_per_chunk: how many steps of a chunk are played, None for all.
        on_tick: called after each tick.

    Raises:
        ServerError: the player was lost.
        PlayError: the game was lost, or keeps no score.
    """
    episodes = game.episodes
    if episodes is None:
        raise PlayError(f"{game.title} keeps no score: choose another game")
    episodes.begin(seed_of(base_seed, episode))
    player.begin()
    ticks = chunk = 0
    is_over = False
    try:
        while not is_over:
            frame = model_frame(game.screen.capture(), game.resize_mode)
            states = player.chunk(frame, seed_of(base_seed, episode, chunk))[:steps_per_chunk]
            chunk += 1
            for state in (state for state in states for _ in range(player.ticks_per_step)):
                game.gamepad.apply(state)
                is_over = game.clock.tick()
                ticks += 1
                on_tick()
                is_over = is_over or ticks == max_ticks
                if is_over:
                    break
    finally:
        game.gamepad.release()
    return {**episodes.values(), "ticks": float(ticks)}
