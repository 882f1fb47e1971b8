"""The one line that is told of a failure names its cause, whichever backend wrote the text."""

import tomllib
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contract.failure_text import cause_of

TEXTS = tomllib.loads(Path(__file__).with_name("failure_texts.toml").read_text())


@pytest.mark.parametrize("name", TEXTS)
def test_the_cause_is_kept(name: str) -> None:
    told = cause_of(TEXTS[name]["text"])
    assert [part for part in TEXTS[name]["kept"] if part not in told] == []


class Fails(torch.nn.Module):
    """Raises whatever an operation inside a graph raises."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.size(0) == 1:
            return x + torch.zeros([1 << 50])
        if x.size(0) == 2:
            raise ValueError("two are\none too many")
        return x.matmul(x)


@pytest.mark.parametrize(
    ("rows", "cause"),
    [
        (1, "RuntimeError: [enforce fail at alloc_cpu.cpp"),
        (2, "builtins.ValueError: two are"),
        (3, "RuntimeError: mat1 and mat2 shapes cannot be multiplied (3x2 and 3x2)"),
    ],
)
def test_the_interpreter_of_this_torch_is_understood(rows: int, cause: str) -> None:
    graph = torch.jit.script(Fails())
    with pytest.raises((RuntimeError, torch.jit.Error)) as raised:
        graph(torch.zeros(rows, 2))
    assert "The following operation failed in the TorchScript interpreter.\n" in str(raised.value)
    assert cause_of(f"PyTorch execute failure: {raised.value}").startswith(
        f"PyTorch execute failure: {cause}"
    )


def test_a_traceback_without_an_exception_leaves_the_first_line() -> None:
    traceback = "Traceback of TorchScript (most recent call last):\n  in forward"
    assert cause_of(f"execution failed\n{traceback}") == "execution failed"
    assert cause_of(f"execution failed\n{traceback}\nValueError: too large") == "execution failed"


@given(st.text())
def test_any_text_becomes_one_short_line(text: str) -> None:
    told = cause_of(text)
    assert len(told) < 620
    assert "\n" not in told
