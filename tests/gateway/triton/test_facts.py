"""The facts in a model's config, from the config.pbtxt that the export fills in."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from tritonclient.grpc.model_config_pb2 import ModelConfig

from gateway.errors import ModelError, RequestError
from gateway.protocol.messages import Previous
from gateway.triton.facts import ModelFacts, facts_from_config
from tests.paths import MODEL_CONFIG

PREVIOUS = Previous(np.zeros((2, 21)), np.ones((2, 2)), np.zeros((2, 2)), delay=1)

Change = Callable[[ModelConfig], None]


@pytest.fixture
def config() -> ModelConfig:
    return text_format.Parse(MODEL_CONFIG.read_text(), ModelConfig())


def with_games(config: ModelConfig, games: list[str | None]) -> ModelFacts:
    config.parameters["games"].string_value = json.dumps(games)
    return facts_from_config(config)


def test_the_original_config_is_a_contract_kept(config: ModelConfig) -> None:
    facts = facts_from_config(config)
    assert (facts.model, facts.horizon, facts.context_length, facts.games) == ("nitrogen", 18, 1, ())
    assert (facts.old_layout, facts.action_interleaving) == (False, False)
    assert (facts.inference_steps, facts.cfg_scale) == (16, 1.0)
    assert facts.conditioning


def without_conditioning(config: ModelConfig) -> ModelConfig:
    """The config as a version before chunk conditioning has it."""
    del config.input[4:]
    del config.parameters["conditioning"]
    return config


def test_a_model_exported_before_chunk_conditioning_is_served(config: ModelConfig) -> None:
    facts = facts_from_config(without_conditioning(config))
    assert not facts.conditioning
    assert facts.info(None)["conditioning"] is False
    assert facts.conditioning_on(None) is None
    with pytest.raises(RequestError, match="exported without chunk conditioning: export it again, or leave"):
        facts.conditioning_on(PREVIOUS)


def test_rows_to_fit_are_turned_into_the_models_layout(config: ModelConfig) -> None:
    assert facts_from_config(config).info(None)["conditioning"] is True
    for old_layout, column in (("false", -4), ("true", 0)):
        config.parameters["old_layout"].string_value = old_layout
        conditioning = facts_from_config(config).conditioning_on(PREVIOUS)
        assert conditioning is not None
        assert conditioning.previous[:3, column].tolist() == [1, 1, 0]
        assert conditioning.weight[:2].tolist() == [1, pytest.approx(0.3678, abs=1e-3)]


def test_info_has_what_the_old_clients_read(config: ModelConfig) -> None:
    config.parameters["checkpoint_path"].string_value = "/models/ng.pt"
    info = facts_from_config(config).info("Zelda")
    assert info["ckpt_path"] == "/models/ng.pt"
    assert info["selected_game"] == "Zelda"
    assert info["cfg_scale"] == 1.0
    assert info["context_length"] == 1
    assert info["action_downsample_ratio"] == 1
    assert (info["old_layout"], info["action_interleaving"], info["is_flowmatching"]) == (False, False, True)


@pytest.mark.parametrize(("versions", "version"), [([], None), ([3], 3), ([1, 2], None)])
def test_the_version_is_the_one_that_is_to_be_served(
    config: ModelConfig, versions: list[int], version: int | None
) -> None:
    config.version_policy.specific.versions.extend(versions)
    facts = facts_from_config(config)
    assert facts.version == version
    assert facts.info(None)["version"] == version


def test_another_version_policy_names_no_version(config: ModelConfig) -> None:
    config.version_policy.latest.num_versions = 1
    assert facts_from_config(config).version is None


def _wrong_dims(config: ModelConfig) -> None:
    config.input[3].dims[0] = 17


def _wrong_type(config: ModelConfig) -> None:
    config.output[2].data_type = model_config_pb2.TYPE_INT64


def _missing_output(config: ModelConfig) -> None:
    del config.output[3]


def _no_batching(config: ModelConfig) -> None:
    config.max_batch_size = 0


def _parameter(key: str, value: str) -> Change:
    def change(config: ModelConfig) -> None:
        config.parameters[key].string_value = value

    change.__name__ = f"{key}={value}"
    return change


def _no_horizon(config: ModelConfig) -> None:
    del config.parameters["action_horizon"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_wrong_dims, ["noise", "[17, 25]", "[18, 25]"]),
        (_wrong_type, ["buttons", "TYPE_INT64", "TYPE_FP32"]),
        (_missing_output, ["outputs", "actions"]),
        (_no_batching, ["max_batch_size is 0"]),
        (_no_horizon, ["action_horizon is missing"]),
        (_parameter("action_horizon", "19"), ["noise", "[19, 25]"]),
        (_parameter("context_length", "0"), ["context_length is '0'"]),
        (_parameter("context_length", "9" * 5000), ["context_length"]),
        (_parameter("cfg_scale", "nan"), ["cfg_scale is 'nan'"]),
        (_parameter("conditioning", "false"), ["inputs", "previous_weight"]),
        (_parameter("conditioning", "yes"), ["conditioning is 'yes'"]),
        (_parameter("old_layout", "True"), ["old_layout is 'True'"]),
        (_parameter("games", '["Zelda"]'), ["games", "null"]),
        (_parameter("games", "["), ["games"]),
        (_parameter("games", "{}"), ["games"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_broken_contract_is_named(config: ModelConfig, change: Change, words: list[str]) -> None:
    change(config)
    with pytest.raises(ModelError) as caught:
        facts_from_config(config)
    assert all(word in str(caught.value) for word in ["nitrogen", *words]), str(caught.value)


def test_games_by_name_id_and_none(config: ModelConfig) -> None:
    facts = with_games(config, [None, "Mario", "Zelda"])
    assert [facts.game_id(game) for game in ("Zelda", "Mario", 2, 0, None)] == [2, 1, 2, 0, 0]


@pytest.mark.parametrize(
    "game",
    [
        "Sonic",
        3,
        -1,
        True,
        False,
        "",
        "1",
        pytest.param(10**6000, id="a huge number"),
        pytest.param("x" * 100_000, id="a long name"),
    ],
)
def test_an_unknown_game_is_refused_with_the_list(config: ModelConfig, game: str | int) -> None:
    facts = with_games(config, [None, "Mario", "Zelda"])
    with pytest.raises(RequestError, match="1 'Mario', 2 'Zelda'") as caught:
        facts.game_id(game)
    assert len(str(caught.value)) < 300


def test_a_model_without_games_says_so(config: ModelConfig) -> None:
    facts = facts_from_config(config)
    assert (facts.game_id(None), facts.game_id(0)) == (0, 0)
    for game in ("Mario", 1):
        with pytest.raises(RequestError, match="no games"):
            facts.game_id(game)


def test_a_long_list_of_games_is_cut(config: ModelConfig) -> None:
    facts = with_games(config, [None, *(f"game {index}" for index in range(5000))])
    with pytest.raises(RequestError, match="more, up to id 5000") as caught:
        facts.game_id("nope")
    assert len(str(caught.value)) < 1500
