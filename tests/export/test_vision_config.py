import json
from pathlib import Path

import pytest

from export.checkpoint.vision_config import KNOWN_TOWERS, VisionConfig, find_vision_config, read_vision_config
from export.errors import CheckpointError
from tests.golden import GOLDEN


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def test_a_local_folder_is_read() -> None:
    found = find_vision_config("siglip2-tiny-patch16-256", GOLDEN / "tiny")

    assert found == VisionConfig(num_layers=2, width=64, num_heads=2, mlp_width=128, layer_norm_eps=1e-6)


def test_a_local_folder_wins_over_the_table(tmp_path: Path) -> None:
    name = "google/siglip2-large-patch16-256"
    write(
        tmp_path / name / "config.json",
        {"vision_config": {"hidden_size": 32, "num_attention_heads": 4, "image_size": 256}},
    )

    found = find_vision_config(name, tmp_path)

    # What the file leaves out has the library's default, as in the sparse configs on the hub.
    assert found == VisionConfig(num_layers=12, width=32, num_heads=4, mlp_width=3072)


def test_the_released_tower_is_known(tmp_path: Path) -> None:
    assert find_vision_config("google/siglip2-large-patch16-256", tmp_path) == VisionConfig(
        24, 1024, 16, 4096
    )


def test_every_known_tower_has_whole_heads() -> None:
    assert all(tower.width % tower.num_heads == 0 for tower in KNOWN_TOWERS.values())


def test_an_unknown_tower_says_where_to_put_its_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(CheckpointError, match=r"'acme/tower'.*config\.json at .*acme/tower/config\.json"):
        find_vision_config("acme/tower", tmp_path)


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"image_size": 384}, "image_size is 384"),
        ({"image_size": 256, "patch_size": 14}, "patch_size is 14"),
        ({"image_size": 256, "hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"image_size": 256, "num_attention_heads": 7}, "impossible sizes"),
        ({"image_size": 256, "num_hidden_layers": 0}, "impossible sizes"),
        (["no", "object"], "not a readable"),
    ],
)
def test_another_kind_of_tower_is_refused(tmp_path: Path, figures: object, message: str) -> None:
    path = write(tmp_path / "config.json", figures)

    with pytest.raises(CheckpointError, match=message):
        read_vision_config(path)


def test_a_torn_config_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"hidden_size": 6')

    with pytest.raises(CheckpointError, match="not a readable"):
        read_vision_config(path)
