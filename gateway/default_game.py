"""The game of requests that name none: the gateway's `--game`."""

from gateway.errors import RequestError, ServerError
from gateway.triton.facts import ModelFacts


class DefaultGame:
    """The default game: a name or an id in the gateway's default model, or None.

    Another model has a default game only if it has a game of the same name.
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
        """Return the game's name, or None; if the model does not have the game, the text that was given."""
        game = self._in(facts)
        if isinstance(game, int) and game < max(1, len(facts.games)):
            return facts.games[game] if game else None
        return game if game is None else self._game

    def _in(self, facts: ModelFacts) -> str | int | None:
        """Return the game as a name if the model has it, else as an id if it is a number."""
        game = self._game
        if game is None or game in facts.games:
            return game
        if facts.model != self._model:
            return None
        return int(game) if game.isascii() and game.isdigit() else game
