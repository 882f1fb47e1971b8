"""A served model's facts, read from its Triton config.

Triton gives the config over gRPC, so the gateway needs no file of the checkpoint.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from tritonclient.grpc import model_config_pb2

from contract.facts import Facts, FactsError, facts_from_parameters
from contract.tensors import Tensor, input_tensors, output_tensors
from gateway.errors import ModelError, RequestError
from gateway.protocol.conditioning import Conditioning, conditioning_on
from gateway.protocol.messages import Previous
from gateway.safe_text import describe, listed


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts(Facts):
    """The facts of one served version, and its names in Triton.

    Attributes:
        version: the version that Triton should serve, None if the config does not name exactly one.
    """

    model: str
    version: int | None

    def game_id(self, game: str | int | None) -> int:
        """Return the row of the game table for a name, an id or None (0, unconditional).

        Raises:
            RequestError: the model does not have the game; the message lists its games.
        """
        if game is None or (game == 0 and game is not False):
            return 0
        if not self.games:
            raise RequestError(
                f"the game {describe(game)} is unknown: this model has no games; leave 'game' out"
            )
        if isinstance(game, str) and game in self.games:
            return self.games.index(game)
        if isinstance(game, int) and not isinstance(game, bool) and 0 < game < len(self.games):
            return game
        names = ["(unconditional)" if name is None else repr(name) for name in self.games]
        games = listed([f"{id_} {name}" for id_, name in enumerate(names)], f", up to id {len(names) - 1}")
        raise RequestError(f"the game {describe(game)} is unknown; the games are: {games}")

    def conditioning_on(self, previous: Previous | None) -> Conditioning | None:
        """Return the inputs for the rows that a chunk should fit, None without any.

        Raises:
            RequestError: the model does not take them, or not as many.
        """
        if previous is None:
            return None
        if not self.conditioning:
            raise RequestError(
                "this model was exported without chunk conditioning: export it again, or leave 'previous' out"
            )
        return conditioning_on(previous, self.horizon, old_layout=self.old_layout)

    def info(self, selected_game: str | None) -> dict[str, Any]:
        """Return the answer to an `info` request; `selected_game` is the default game's name."""
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
            "sha256": self.checkpoint_sha256,
            "horizon": self.horizon,
            "games": list(self.games),
            "inference_steps": self.inference_steps,
            "precision": self.precision,
            "conditioning": self.conditioning,
        }


def facts_from_config(config: model_config_pb2.ModelConfig) -> ModelFacts:
    """Return the facts in a model's config, after checking its inputs and outputs against the contract.

    Raises:
        ModelError: the config is not an exported NitroGen model's; the message says what is wrong.
    """
    try:
        facts = facts_from_parameters({key: value.string_value for key, value in config.parameters.items()})
    except FactsError as error:
        raise _wrong_config(config, str(error)) from None
    if config.max_batch_size < 1:
        raise _wrong_config(config, f"max_batch_size is {config.max_batch_size}, but at least 1 is needed")
    inputs = input_tensors(facts.horizon, facts.context_length, conditioning=facts.conditioning)
    _check_tensors(config, "input", config.input, inputs)
    _check_tensors(config, "output", config.output, output_tensors(facts.horizon))
    versions = config.version_policy.specific.versions
    return ModelFacts(
        model=config.name,
        version=versions[0] if len(versions) == 1 else None,
        **{field.name: getattr(facts, field.name) for field in fields(facts)},
    )


def _wrong_config(config: model_config_pb2.ModelConfig, what: str) -> ModelError:
    return ModelError(
        f"Triton's model {config.name!r} is not an exported NitroGen model: {what}; export it again"
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
        raise _wrong_config(config, f"its {kind}s are {sorted(found)}, but {sorted(needed)} are needed")
    for name, wanted in needed.items():
        if found[name] != wanted:
            raise _wrong_config(config, f"its {kind} {name} is {found[name]}, but {wanted} is needed")


def _type_name(data_type: int) -> str:
    known = data_type in model_config_pb2.DataType.values()
    return str(model_config_pb2.DataType.Name(data_type) if known else data_type)
