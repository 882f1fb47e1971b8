"""What the gateway has to know about the served model, read from the model's Triton config.

The export writes a checkpoint's facts as string `parameters` into `config.pbtxt`, and Triton hands the config
out over gRPC, so the gateway needs no file of the checkpoint.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import model_config_pb2

from contract.tensors import Tensor, input_tensors, output_tensors
from gateway.errors import ModelError, RequestError

# How much of the list of games an error message repeats.
_MAX_LISTED_CHARACTERS = 1000
_MAX_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The facts of one served checkpoint.

    `horizon`: action steps T of a chunk. `context_length`: frames K that the model sees. `games`: the game
    table: the index is the game id, and entry 0 is None (unconditional); empty for a model without games.
    `version`: the one version that Triton is to serve, None when the config does not name exactly one.
    """

    model: str
    version: int | None
    checkpoint_path: str
    sha256: str
    horizon: int
    context_length: int
    games: tuple[str | None, ...]
    old_layout: bool
    action_interleaving: bool
    inference_steps: int
    cfg_scale: float

    def game_id(self, game: str | int | None) -> int:
        """Return the row of the game table for a name, an id or None (0, unconditional).

        Raises:
            RequestError: there is no such game; the message lists which there are.
        """
        if game is None or (game == 0 and game is not False):
            return 0
        if not self.games:
            raise RequestError(
                f"the game {_shown(game)} is unknown: this model has no games; leave 'game' out"
            )
        if isinstance(game, str) and game in self.games:
            return self.games.index(game)
        if isinstance(game, int) and not isinstance(game, bool) and 0 < game < len(self.games):
            return game
        raise RequestError(f"the game {_shown(game)} is unknown; the games are: {_listed(self.games)}")

    def info(self, selected_game: str | None) -> dict[str, Any]:
        """Return the answer to an `info` request; `selected_game` is the name of the default game."""
        return {
            "ckpt_path": self.checkpoint_path,
            "selected_game": selected_game,
            "old_layout": self.old_layout,
            "cfg_scale": self.cfg_scale,
            "context_length": self.context_length,
            "action_interleaving": self.action_interleaving,
            "is_flowmatching": True,
            "action_downsample_ratio": 1,
            "model": self.model,
            "version": self.version,
            "sha256": self.sha256,
            "horizon": self.horizon,
            "games": list(self.games),
            "inference_steps": self.inference_steps,
        }


def facts_from_config(config: model_config_pb2.ModelConfig) -> ModelFacts:
    """Return the facts in a model's config, after checking its inputs and outputs against the contract.

    Raises:
        ModelError: the config is not that of an exported NitroGen model; the message names what is off.
    """
    parameters = _Parameters(config)
    horizon = parameters.count("action_horizon")
    context_length = parameters.count("context_length")
    if config.max_batch_size < 1:
        raise _off(config, f"max_batch_size is {config.max_batch_size}, and at least 1 is needed")
    _check_tensors(config, "input", config.input, input_tensors(horizon, context_length))
    _check_tensors(config, "output", config.output, output_tensors(horizon))
    versions = config.version_policy.specific.versions
    return ModelFacts(
        model=config.name,
        version=versions[0] if len(versions) == 1 else None,
        checkpoint_path=parameters.text("checkpoint_path"),
        sha256=parameters.text("checkpoint_sha256"),
        horizon=horizon,
        context_length=context_length,
        games=parameters.games("games"),
        old_layout=parameters.truth("old_layout"),
        action_interleaving=parameters.truth("action_interleaving"),
        inference_steps=parameters.count("inference_steps"),
        cfg_scale=parameters.number("cfg_scale"),
    )


def _off(config: model_config_pb2.ModelConfig, what: str) -> ModelError:
    return ModelError(
        f"Triton's model {config.name!r} is no exported NitroGen model: {what}; export it again"
    )


def _check_tensors(
    config: model_config_pb2.ModelConfig,
    kind: str,
    tensors: Iterable[model_config_pb2.ModelInput | model_config_pb2.ModelOutput],
    contract: Iterable[Tensor],
) -> None:
    """Raise ModelError unless the tensors have exactly the contract's names, types and dims."""
    found = {tensor.name: f"{_type_name(tensor.data_type)} {list(tensor.dims)}" for tensor in tensors}
    needed = {tensor.name: f"TYPE_{tensor.data_type} {list(tensor.dims)}" for tensor in contract}
    if found.keys() != needed.keys():
        raise _off(config, f"its {kind}s are {sorted(found)}, and {sorted(needed)} are needed")
    for name, wanted in needed.items():
        if found[name] != wanted:
            raise _off(config, f"its {kind} {name} is {found[name]}, and {wanted} is needed")


def _type_name(data_type: int) -> str:
    known = data_type in model_config_pb2.DataType.values()
    return str(model_config_pb2.DataType.Name(data_type) if known else data_type)


class _Parameters:
    """The config's string parameters, read with a check of each value."""

    def __init__(self, config: model_config_pb2.ModelConfig) -> None:
        self._config = config

    def text(self, key: str) -> str:
        if key not in self._config.parameters:
            raise _off(self._config, f"its parameter {key} is missing")
        return str(self._config.parameters[key].string_value)

    def count(self, key: str) -> int:
        text = self.text(key)
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
            raise self._wrong(key, "a whole number above 0")
        return int(text)

    def number(self, key: str) -> float:
        try:
            number = float(self.text(key))
        except ValueError:
            raise self._wrong(key, "a number") from None
        if not math.isfinite(number):
            raise self._wrong(key, "a finite number")
        return number

    def truth(self, key: str) -> bool:
        text = self.text(key)
        if text not in ("true", "false"):
            raise self._wrong(key, '"true" or "false"')
        return text == "true"

    def games(self, key: str) -> tuple[str | None, ...]:
        try:
            games = json.loads(self.text(key))
        except (ValueError, RecursionError):
            games = None
        if games == []:
            return ()
        if not (
            isinstance(games, list) and games[0] is None and all(isinstance(game, str) for game in games[1:])
        ):
            raise self._wrong(key, "a JSON list of null and the games' names, or []")
        return tuple(games)

    def _wrong(self, key: str, needed: str) -> ModelError:
        return _off(self._config, f"its parameter {key} is {self.text(key)[:80]!r}, and {needed} is needed")


def _shown(game: object) -> str:
    """Return a game from a request in a form that is safe to repeat, however large it is."""
    if isinstance(game, int) and game.bit_length() > 64:
        return "id (a number of more than 64 bits)"
    text = repr(game[:_MAX_SHOWN_CHARACTERS] if isinstance(game, str) else game)
    return text[:_MAX_SHOWN_CHARACTERS]


def _listed(games: tuple[str | None, ...]) -> str:
    """Return as many games as fit into an error message, as `id name`, and how many there are beyond."""
    listed: list[str] = []
    room = _MAX_LISTED_CHARACTERS
    for index, game in enumerate(games):
        entry = f"{index} {game!r}" if game is not None else f"{index} (unconditional)"
        room -= len(entry) + 2
        if room < 0:
            return f"{', '.join(listed)} and {len(games) - index} more, up to id {len(games) - 1}"
        listed.append(entry)
    return ", ".join(listed)
