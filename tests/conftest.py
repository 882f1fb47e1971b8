"""Fixtures that are expensive: made once a session, shared by the tests that only use them."""

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.golden import checkpoint_path
from tests.other_backends import use_other_backends
from tests.stack import Stack, running_stack

# On a machine with other work, torch's threads that spin while they wait slow each other down a hundredfold.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

use_other_backends()

# The time of an example depends on the machine.
hypothesis.settings.register_profile("without deadline", deadline=None)
hypothesis.settings.load_profile("without deadline")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector from what tests import: it would go through all that again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of long tests: a worker that took one last would work on while the others wait."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def tiny_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole chain serving the golden checkpoint `tiny` (one frame, horizon 16, no games)."""
    yield from _stack_of("tiny", tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def context_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole chain serving the golden checkpoint `tiny-ctx` (three frames, horizon 18, five games)."""
    yield from _stack_of("tiny-ctx", tmp_path_factory.mktemp("tiny-ctx"))


def _stack_of(name: str, folder: Path) -> Iterator[Stack]:
    repository = folder / "repository"
    arguments = (
        str(checkpoint_path(name)),
        f"--repository={repository}",
        "--format=torchscript",
        "--precision=fp32",
    )
    with running_stack(*arguments, cwd=folder) as stack:
        yield stack
