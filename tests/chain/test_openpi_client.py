"""openpi's own client, from PyPI, plays through the gateway; it wants a numpy below 2."""

import json
import subprocess
from pathlib import Path

import numpy as np

from contract.gamepad import BUTTONS, CHUNK_WIDTHS
from tests.chain.direct import DirectCalls
from tests.chain.replies import assert_same_bits
from tests.environments import fresh_environment
from tests.noise import seeded_noise
from tests.paths import ROOT
from tests.patience import WITHIN_S
from tests.stack import Stack


def test_openpis_client_plays(tiny_stack: Stack, tiny_calls: DirectCalls, tmp_path: Path) -> None:
    python = fresh_environment(tmp_path / "venv", "openpi-client==0.1.2", "typing-extensions")
    frame = np.random.default_rng(3).integers(0, 256, (256, 256, 3), np.uint8)
    np.save(tmp_path / "frame.npy", frame)
    command = [python, ROOT / "tests" / "chain" / "openpi_player.py", f"ws://127.0.0.1:{tiny_stack.web_port}"]
    ended = subprocess.run(
        [*command, tmp_path / "frame.npy"], capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert ended.returncode == 0, ended.stderr
    metadata, first, second, started, failed, again = map(json.loads, ended.stdout.splitlines())
    assert metadata["horizon"] == len(first["actions"])
    assert metadata["action_names"][:21] == list(BUTTONS)
    expected = tiny_calls.predict([frame], seeded_noise(7, metadata["horizon"]))
    assert_same_bits(
        {"status": "ok", "pred": {name: np.float32(first[name]) for name in CHUNK_WIDTHS}}, expected
    )
    assert first["actions"] == np.hstack([first["buttons"], first["j_left"], first["j_right"]]).tolist()
    assert second["actions"] == first["actions"]
    assert (first["timing"], second["timing"]) == (["infer_ms"], ["infer_ms", "prev_total_ms"])
    assert first["dtypes"] == ["float32"]
    assert started == {"__ack__": "episode_start"}
    assert "the observation has no picture" in failed["error"]
    assert again["shape"] == [metadata["horizon"], 25]
