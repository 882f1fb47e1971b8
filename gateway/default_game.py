"""The game of requests that name none: the gateway's `--game`."""

from gateway.errors import RequestError, ServerError
from gateway.triton.facts import ModelFacts


class DefaultGame:
    """A game of the gateway's default model, `model`, by its name or id; None for none.

    Another model that has no game of this name has no default game.
    """

    def __init__(self, game: str | None, model: str) -> None:
        self._game = game
        self._model = model

    def id(self, facts: ModelFacts) -> int:
        """Return the game's row in a model's table.

        Raises:
            ServerError: the default model does not have the game.
        """
        try:
            return facts.game_id(self._in(facts))
        except RequestError as error:
            raise ServerError(f"the gateway's --game (NITROGEN_GAME) is wrong: {error}") from None

    def name(self, facts: ModelFacts) -> str | None:
        """Return the game's name, None without one; a game that the model does not have as it was given."""
        game = self._in(facts)
        if isinstance(game, int) and game < max(1, len(facts.games)):
            return facts.games[game] if game else None
        return game if game is None else self._game

    def _in(self, facts: ModelFacts) -> str | int | None:
        """Return the game as a name when it is one, else as the id it may be."""
        game = self._game
        if game is None or game in facts.games:
            return game
        if facts.model != self._model:
            return None
        return int(game) if game.isascii() and game.isdigit() else game
