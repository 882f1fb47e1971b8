"""`python -m standalone`: what it serves, says and keeps from one start to the next."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.checkpoint.digest import file_sha256
from tests.golden import checkpoint_path
from tests.pictures import picture
from tests.stack import PickleClient, Stack, running_stack

pytestmark = pytest.mark.slow


@dataclass
class Start:
    """The output and the answers of one start of the stack."""

    stdout: list[str]
    log: str
    info: dict[str, Any]
    pred: dict[str, Any]
    ports: tuple[int, int, int, int]


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[Stack]:
    with running_stack(*arguments, cwd=folder, stderr=folder / "log") as stack:
        yield stack


def start(folder: Path, *arguments: str) -> Start:
    """Start the stack in a folder, ask it once, stop it."""
    with started(folder, *arguments) as stack, PickleClient(stack.zmq_port) as client:
        info = client.request(type="info")["info"]
        pred = client.request(type="predict", image=picture(1), seed=1)["pred"]
    ports = (stack.zmq_port, stack.tcp_port, stack.web_port, stack.http_port)
    return Start(stack.lines, (folder / "log").read_text(), info, pred, ports)


def same(one: Start, other: Start) -> bool:
    return all(np.array_equal(one.pred[part], other.pred[part]) for part in one.pred)


@pytest.fixture(scope="module")
def other_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint like `tiny` that acts differently."""
    path = tmp_path_factory.mktemp("other") / "other.pt"
    content = torch.load(checkpoint_path("tiny"), weights_only=True)
    generator = torch.Generator().manual_seed(1)
    for name, tensor in content["model"].items():
        if tensor.is_floating_point() and "action_decoder" in name:
            content["model"][name] = tensor + 0.1 * torch.randn(tensor.shape, generator=generator)
    torch.save(content, path)
    (path.parent / "siglip2-tiny-patch16-256").symlink_to(
        checkpoint_path("tiny").with_name("siglip2-tiny-patch16-256")
    )
    return path


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, other_weights: Path) -> dict[str, Start]:
    """Starts with one repository: checkpoint A, B of A's shape, A again, C of another shape."""
    folder = tmp_path_factory.mktemp("history")
    checkpoints = {"A": checkpoint_path("tiny"), "B": other_weights, "C": checkpoint_path("tiny-ctx")}
    return {
        label: start(folder, str(checkpoints[label[0]]), "--repository=models")
        for label in ("A", "B", "A again", "C")
    }


def test_stdout_is_the_announcement_and_nothing_else(history: dict[str, Start]) -> None:
    zmq, tcp, web, http = history["A"].ports
    assert history["A"].stdout == [
        f"ZMQ Server running on port {zmq}",
        f"Simple TCP Server (JSON+Bytes) running on port {tcp}",
        f"Web server (page, WebSocket) running on port {web}",
        f"play page: http://127.0.0.1:{web}/",
        f"live page: http://127.0.0.1:{http}/live",
        f"ready: zmq {zmq}, tcp {tcp}, web {web}, http {http}",
    ]


@pytest.mark.parametrize(("label", "exports"), [("A", True), ("B", True), ("A again", False), ("C", True)])
def test_only_a_checkpoint_that_the_repository_lacks_is_exported(
    history: dict[str, Start], label: str, exports: bool
) -> None:
    assert ("exporting" in history[label].log) is exports


def test_the_checkpoint_given_is_the_one_served(history: dict[str, Start], other_weights: Path) -> None:
    given = [checkpoint_path("tiny"), other_weights, checkpoint_path("tiny"), checkpoint_path("tiny-ctx")]
    told = [(start.info["ckpt_path"], start.info["sha256"]) for start in history.values()]
    assert told == [(str(path), file_sha256(path)) for path in given]


def test_another_horizon_is_served_from_the_same_repository(history: dict[str, Start]) -> None:
    assert [len(start.pred["buttons"]) for start in history.values()] == [16, 16, 16, 18]


def test_another_checkpoint_gives_other_actions(history: dict[str, Start]) -> None:
    assert not same(history["A"], history["B"])


def test_the_same_checkpoint_gives_the_same_actions_after_a_new_start(history: dict[str, Start]) -> None:
    assert same(history["A"], history["A again"])


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> list[Start]:
    """The demo, started twice in one folder."""
    folder = tmp_path_factory.mktemp("demo")
    return [start(folder, "--demo") for _ in range(2)]


def test_demo_is_the_same_checkpoint_each_time(demos: list[Start]) -> None:
    assert demos[0].info["sha256"] == demos[1].info["sha256"]


def test_demo_is_exported_once(demos: list[Start]) -> None:
    assert ["exporting" in demo.log for demo in demos] == [True, False]


def test_demo_gives_the_same_actions_for_a_seed(demos: list[Start]) -> None:
    assert same(*demos)


def test_demo_has_the_released_models_shape(demos: list[Start]) -> None:
    info = demos[0].info
    assert (info["horizon"], info["context_length"], info["inference_steps"]) == (18, 1, 16)


def test_demo_says_before_all_else_that_it_is_untrained(demos: list[Start]) -> None:
    said = "\n".join(demos[0].stdout)
    assert "UNTRAINED" in said[: said.index("ZMQ Server running")]


def test_steps_are_those_asked_for(tiny_repository: Path, tmp_path: Path) -> None:
    """The repository holds the checkpoint, but exported with four steps."""
    begun = start(tmp_path, str(checkpoint_path("tiny")), f"--repository={tiny_repository}", "--steps=2")
    assert begun.info["inference_steps"] == 2


@pytest.mark.parametrize(
    "arguments",
    [["ng.pt", "--demo"], ["ng.pt", "--speed=9"], ["ng.pt", "--steps=few"], ["one.pt", "two.pt"]],
    ids=" ".join,
)
def test_wrong_usage_ends_with_code_2_and_the_usage(tmp_path: Path, arguments: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "standalone", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: nitrogen-serve")
    assert ended.stdout == ""
