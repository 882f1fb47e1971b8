"""The facts of a served checkpoint, which export writes into its Triton config and the gateway reads there.

They are the config's `parameters`. These are texts, so each fact has one text and one parser.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields


class FactsError(ValueError):
    """A parameter is missing or malformed; the message is a clause that names it."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How far a saved graph is from the float32 network on the self-check's inputs.

    Attributes:
        max_difference: the largest difference in x(1).
        mean_difference: the mean difference in x(1).
        flipped_buttons: the share of all buttons that differ.
    """

    max_difference: float = 0.0
    mean_difference: float = 0.0
    flipped_buttons: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts of a served version. An older config lacks those that have a default.

    Attributes:
        adapter_sha256: the merged LoRA adapter's, empty without one.
        horizon: action steps T of a chunk.
        context_length: frames K that the model sees.
        games: the game table: the index is the game id, and entry 0 is None (unconditional); empty for a
            model without games.
        conditioning: whether the version takes the previous chunk.
    """

    checkpoint_path: str
    checkpoint_sha256: str
    adapter_sha256: str = ""
    horizon: int
    context_length: int
    games: tuple[str | None, ...]
    old_layout: bool
    action_interleaving: bool
    inference_steps: int
    cfg_scale: float
    precision: str = "fp32"
    conditioning: bool = False
    accuracy: Accuracy = Accuracy()

    def to_parameters(self) -> dict[str, str]:
        """Return the facts as a config's parameters."""
        return {
            "checkpoint_path": self.checkpoint_path,
            "checkpoint_sha256": self.checkpoint_sha256,
            "adapter_sha256": self.adapter_sha256,
            "action_horizon": str(self.horizon),
            "context_length": str(self.context_length),
            "games": json.dumps(self.games),
            "old_layout": json.dumps(self.old_layout),
            "action_interleaving": json.dumps(self.action_interleaving),
            "inference_steps": str(self.inference_steps),
            "cfg_scale": str(self.cfg_scale),
            "precision": self.precision,
            "conditioning": json.dumps(self.conditioning),
            **{f"self_check_{name}": f"{value:.3g}" for name, value in asdict(self.accuracy).items()},
        }


def facts_from_parameters(parameters: Mapping[str, str]) -> Facts:
    """Return the facts in a config's parameters; other parameters are ignored.

    Raises:
        FactsError: a parameter is missing or malformed.
    """
    return Facts(
        checkpoint_path=_text(parameters, "checkpoint_path"),
        checkpoint_sha256=_text(parameters, "checkpoint_sha256"),
        adapter_sha256=parameters.get("adapter_sha256", ""),
        horizon=_count(parameters, "action_horizon"),
        context_length=_count(parameters, "context_length"),
        games=_games(parameters, "games"),
        old_layout=_truth(parameters, "old_layout"),
        action_interleaving=_truth(parameters, "action_interleaving"),
        inference_steps=_count(parameters, "inference_steps"),
        cfg_scale=_number(parameters, "cfg_scale"),
        precision=parameters.get("precision", "fp32"),
        conditioning="conditioning" in parameters and _truth(parameters, "conditioning"),
        accuracy=Accuracy(
            **{
                field.name: _number(parameters, key)
                for field in fields(Accuracy)
                if (key := f"self_check_{field.name}") in parameters
            }
        ),
    )


def _text(parameters: Mapping[str, str], key: str) -> str:
    if key not in parameters:
        raise FactsError(f"its parameter {key} is missing")
    return parameters[key]


def _count(parameters: Mapping[str, str], key: str) -> int:
    text = _text(parameters, key)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise _malformed(key, text, "a whole number above 0")
    return int(text)


def _number(parameters: Mapping[str, str], key: str) -> float:
    text = _text(parameters, key)
    try:
        number = float(text)
    except ValueError:
        raise _malformed(key, text, "a number") from None
    if not math.isfinite(number):
        raise _malformed(key, text, "a finite number")
    return number


def _truth(parameters: Mapping[str, str], key: str) -> bool:
    text = _text(parameters, key)
    if text not in ("true", "false"):
        raise _malformed(key, text, '"true" or "false"')
    return text == "true"


def _games(parameters: Mapping[str, str], key: str) -> tuple[str | None, ...]:
    text = _text(parameters, key)
    try:
        games = json.loads(text)
    except (ValueError, RecursionError):
        games = None
    if games == []:
        return ()
    if not (
        isinstance(games, list) and games[0] is None and all(isinstance(game, str) for game in games[1:])
    ):
        raise _malformed(key, text, "a JSON list of null and the games' names, or []")
    return tuple(games)


def _malformed(key: str, text: str, needed: str) -> FactsError:
    return FactsError(f"its parameter {key} is {text[:80]!r}, but {needed} is needed")
