"""The CPU's units for products, and which format `--format auto` takes for it."""

from pathlib import Path

import pytest

from export.machine import Machine, bf16_units, this_machine
from export.settings import fastest_format

PLAIN, WITH_UNITS = Machine((), gpu=False), Machine(("avx512_bf16",), gpu=False)
WITH_GPU = Machine(("amx_bf16",), gpu=True)


@pytest.mark.parametrize(
    ("flags", "units"),
    [
        ("fpu avx512_bf16 amx_tile amx_bf16", ("amx_bf16", "avx512_bf16")),
        ("fpu avx512f avx512_bf16", ("avx512_bf16",)),
        ("fpu avx512f avx512bw", ()),
    ],
)
def test_units_are_read_from_the_cpus_flags(tmp_path: Path, flags: str, units: tuple[str, ...]) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
    assert bf16_units(tmp_path / "cpuinfo") == units


def test_a_cpu_that_tells_no_flags_has_no_units(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    assert bf16_units(tmp_path / "cpuinfo") == ()
    assert bf16_units(tmp_path / "missing") == ()


def test_this_machine_is_the_one_that_pytorch_sees() -> None:
    import torch  # noqa: PLC0415 - of all tests here only this one needs it

    assert this_machine().gpu is torch.cuda.is_available()
    assert this_machine().bf16_units == bf16_units()


@pytest.mark.parametrize(
    ("precision", "device_kind", "machine", "name", "why"),
    [
        ("auto", "auto", WITH_UNITS, "torchscript", "because this CPU has bf16 units (avx512_bf16)"),
        ("auto", "auto", PLAIN, "onnx", "because this CPU has no bf16 units (amx_bf16 or avx512_bf16)"),
        ("fp32", "auto", WITH_UNITS, "onnx", "because it is the faster one in fp32 on CPUs"),
        ("fp32", "auto", PLAIN, "onnx", "because it is the faster one in fp32 on CPUs"),
        (
            "bf16",
            "auto",
            PLAIN,
            "torchscript",
            "because --precision is bf16, and ONNX on CPUs is fp32",
        ),
        ("fp16", "cpu", PLAIN, "torchscript", "because --precision is fp16, and ONNX on CPUs is fp32"),
        ("auto", "auto", WITH_GPU, "torchscript", "because this machine has an NVIDIA GPU"),
        ("fp32", "auto", WITH_GPU, "torchscript", "because this machine has an NVIDIA GPU"),
        ("fp32", "cpu", WITH_GPU, "onnx", "because it is the faster one in fp32 on CPUs"),
        ("auto", "gpu", PLAIN, "torchscript", "because it is for a GPU"),
    ],
)
def test_auto_is_the_fastest_format_and_says_why(
    precision: str, device_kind: str, machine: Machine, name: str, why: str
) -> None:
    assert fastest_format(precision, device_kind, machine, is_demo=False) == (name, why)  # type: ignore[arg-type] # literals


def test_the_demo_is_too_small_for_bf16() -> None:
    for machine, name in ((WITH_UNITS, "onnx"), (PLAIN, "onnx"), (WITH_GPU, "torchscript")):
        assert fastest_format("auto", "auto", machine, is_demo=True)[0] == name
    assert fastest_format("bf16", "auto", WITH_UNITS, is_demo=True)[0] == "torchscript"
