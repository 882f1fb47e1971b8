import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from export.checkpoint.vision_config import KNOWN_TOWERS, VisionConfig, find_vision_config, read_vision_config
from export.errors import CheckpointError, DownloadError
from tests.golden import GOLDEN
from tests.stand_ins.hub_server import Delivery, HubServer, hub_of_this_process

CONFIG = {"vision_config": {"hidden_size": 32, "num_attention_heads": 4, "image_size": 256}}
# Keys that CONFIG leaves out have the library's defaults, as in the sparse configs on the hub.
TOWER = VisionConfig(num_layers=12, width=32, num_heads=4, mlp_width=3072)


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with hub_of_this_process(monkeypatch) as hub:
        hub.put("acme/tower", "config.json", json.dumps(CONFIG).encode(), large=False)
        yield hub


def test_a_local_folder_is_read(tmp_path: Path) -> None:
    found = find_vision_config("siglip2-tiny-patch16-256", GOLDEN / "tiny", tmp_path)

    assert found == VisionConfig(num_layers=2, width=64, num_heads=2, mlp_width=128, layer_norm_eps=1e-6)


@pytest.mark.parametrize("place", ["checkpoint", "models"])
def test_a_local_folder_wins_over_the_table(tmp_path: Path, place: str) -> None:
    name = "google/siglip2-large-patch16-256"
    write(tmp_path / place / name / "config.json", CONFIG)

    assert find_vision_config(name, tmp_path / "checkpoint", tmp_path / "models") == TOWER


def test_the_checkpoint_s_folder_wins_over_the_models_folder(tmp_path: Path) -> None:
    write(tmp_path / "checkpoint" / "acme" / "tower" / "config.json", CONFIG)
    write(tmp_path / "models" / "acme" / "tower" / "config.json", {"image_size": 224})

    assert find_vision_config("acme/tower", tmp_path / "checkpoint", tmp_path / "models") == TOWER


def test_the_released_tower_is_known(tmp_path: Path) -> None:
    found = find_vision_config("google/siglip2-large-patch16-256", tmp_path, tmp_path)

    assert found == VisionConfig(24, 1024, 16, 4096)


def test_every_known_tower_has_whole_heads() -> None:
    assert all(tower.width % tower.num_heads == 0 for tower in KNOWN_TOWERS.values())


def test_a_tower_of_the_hub_is_downloaded_once(hub: HubServer, tmp_path: Path) -> None:
    first = find_vision_config("acme/tower", tmp_path / "checkpoint", tmp_path / "models")
    hub.requests.clear()

    assert first == find_vision_config("acme/tower", tmp_path / "checkpoint", tmp_path / "models") == TOWER
    assert json.loads((tmp_path / "models" / "acme" / "tower" / "config.json").read_text()) == CONFIG
    assert hub.requests == []


def test_a_wrong_download_is_fetched_again(
    hub: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = json.dumps(CONFIG).replace("32", "64").encode()
    hub.deliveries.append(Delivery(content=wrong))

    assert find_vision_config("acme/tower", tmp_path, tmp_path) == TOWER
    assert (tmp_path / "acme" / "tower" / "config.json.damaged").read_bytes() == wrong
    assert "config.json is damaged: its git blob is " in caplog.text


def test_a_torn_config_among_the_models_is_fetched_again(hub: HubServer, tmp_path: Path) -> None:
    path = write(tmp_path / "acme" / "tower" / "config.json", {})
    path.write_text('{"hidden_size": 6')

    assert find_vision_config("acme/tower", tmp_path / "checkpoint", tmp_path) == TOWER


def test_an_unknown_tower_says_where_to_put_its_config(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(
        DownloadError, match=r"/models/acme/tower/config\.json is missing .* put the file there"
    ):
        find_vision_config("acme/tower", tmp_path, tmp_path / "models")


def test_a_tower_that_nobody_has(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="has no repository acme/castle"):
        find_vision_config("acme/castle", tmp_path, tmp_path)


@pytest.mark.parametrize("name", ["../tower", "/models/tower", "a/b/c", "a tower", ""])
def test_a_tower_s_name_leads_to_no_other_folder(hub: HubServer, tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="is not a Hugging Face id"):
        find_vision_config(name, tmp_path / "checkpoint", tmp_path / "models")

    assert hub.requests == []
    assert list(tmp_path.iterdir()) == []


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
