import json
import math

import pytest

from export.checkpoint.config import parse_config
from export.checkpoint.tensors import UNUSED_PREFIX, checkpoint_tensors
from export.checkpoint.vision_config import find_vision_config
from tests.golden import CHECKPOINTS, DATA, GOLDEN

GAMES = {"tiny": 0, "tiny-ctx": 6}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_names_shapes_and_order_are_those_of_a_real_state_dict(name: str) -> None:
    config = parse_config(json.loads((GOLDEN / name / "config.json").read_text()))
    vision = find_vision_config(config.model_cfg.vision_encoder_name, GOLDEN / name, DATA)
    lines = [line.split("\t") for line in (GOLDEN / name / "keys.txt").read_text().splitlines()]
    expected = [
        (key, tuple(int(size) for size in shape.strip("(),").split(",") if size)) for key, shape, _ in lines
    ]

    assert list(checkpoint_tensors(config, vision, GAMES[name]).items()) == expected


def test_the_released_configuration_has_the_released_checkpoint_s_tensors() -> None:
    config = parse_config(json.loads((DATA / "released-config.json").read_text()))
    vision = find_vision_config(config.model_cfg.vision_encoder_name, DATA, DATA)
    shapes = checkpoint_tensors(config, vision, num_games=0)

    assert len(shapes) == 595
    assert sum(math.prod(shape) for shape in shapes.values()) == 493_631_513
    assert sum(name.startswith(UNUSED_PREFIX) for name in shapes) == 11
