"""Flags and the variables that stand for them."""

import argparse
from pathlib import Path

import pytest

from export.commands.export import _parser as export_parser
from export.errors import OptionError
from export.flags import Given, parse, positive, taken_from_environment, variable_of


def given(words: list[str], **environment: str) -> Given:
    parser = argparse.ArgumentParser()
    flags = [
        parser.add_argument("checkpoint", nargs="?", default="nvidia/NitroGen"),
        parser.add_argument("--name", default="nitrogen"),
        parser.add_argument("--max-batch-size", type=positive),
        parser.add_argument("--context", type=positive, dest="context_length"),
        parser.add_argument("--format", choices=["torchscript", "onnx"], default="torchscript"),
        parser.add_argument("--models-dir", type=Path, default=Path("models")),
    ]
    taken_from_environment(flags, environment)
    return parse(parser, words)


def test_a_variable_stands_for_its_flag() -> None:
    parsed = given(
        [],
        NITROGEN_CHECKPOINT="demo",
        NITROGEN_MODEL="fast",
        NITROGEN_MAX_BATCH_SIZE="4",
        NITROGEN_CONTEXT="3",
        NITROGEN_FORMAT="onnx",
        NITROGEN_MODELS_DIR="/kept",
    )
    assert parsed.values == {
        "checkpoint": "demo",
        "name": "fast",
        "max_batch_size": 4,
        "context_length": 3,
        "format": "onnx",
        "models_dir": Path("/kept"),
    }


def test_a_flag_wins_also_over_a_wrong_variable() -> None:
    parsed = given(
        ["mine.pt", "--context=2"], NITROGEN_CHECKPOINT="demo", NITROGEN_CONTEXT="x", NITROGEN_MODEL="fast"
    )
    assert (parsed.values["checkpoint"], parsed.values["context_length"]) == ("mine.pt", 2)
    assert str(parsed) == "NITROGEN_MODEL=fast"


def test_an_empty_variable_counts_as_not_set() -> None:
    parsed = given([], NITROGEN_CHECKPOINT="", NITROGEN_CONTEXT="", NITROGEN_FORMAT="")
    assert parsed == given([])
    assert parsed.values["checkpoint"] == "nvidia/NitroGen"


@pytest.mark.parametrize(
    ("variable", "text", "sentence"),
    [
        ("NITROGEN_STEPS", "few", "NITROGEN_STEPS is 'few', but a whole number above 0 is needed"),
        ("NITROGEN_STEPS", "0", "NITROGEN_STEPS is '0', but a whole number above 0 is needed"),
        ("NITROGEN_KEEP", "-1", "NITROGEN_KEEP is '-1', but a whole number, 0 or more, is needed"),
        ("NITROGEN_CFG_SCALE", "nan", "NITROGEN_CFG_SCALE is 'nan', but a finite number is needed"),
        (
            "NITROGEN_PRECISION",
            "fp8",
            "NITROGEN_PRECISION is 'fp8', but one of auto, fp32, bf16, fp16 is needed",
        ),
        (
            "NITROGEN_TRITON_INSTANCES",
            "17",
            "NITROGEN_TRITON_INSTANCES is '17', but a whole number from 1 to 16 is needed",
        ),
        ("NITROGEN_DEVICE_KIND", "tpu", "NITROGEN_DEVICE_KIND is 'tpu', but one of auto, cpu, gpu is needed"),
        (
            "NITROGEN_MODEL",
            "a/b",
            "NITROGEN_MODEL is 'a/b', but a name of letters, digits, '.', '_' and '-' is needed",
        ),
    ],
)
def test_a_wrong_variable_is_one_sentence_that_names_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, sentence: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(OptionError) as raised:
        parse(export_parser(), ["--repository=r"])
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    ("number", "sentence"),
    [("0", "0 is not a whole number above 0"), ("17", "17 is more than 16, the most instances")],
)
def test_a_wrong_number_of_instances_is_refused(
    number: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(export_parser(), ["--repository=r", f"--triton-instances={number}"])
    assert capsys.readouterr().err.endswith(f"error: argument --triton-instances: {sentence}\n")


def test_what_an_export_is_made_of_has_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "CHECKPOINT": "demo",
        "MODEL": "fast",
        "MODELS_DIR": "m",
        "STEPS": "4",
        "CONTEXT": "2",
        "CFG_SCALE": "2.5",
        "PRECISION": "fp16",
        "FORMAT": "both",
        "LORA": "adapter",
        "MAX_BATCH_SIZE": "3",
        "MAX_QUEUE_SIZE": "100",
        "TRITON_INSTANCES": "2",
        "DEVICE_KIND": "gpu",
        "KEEP": "0",
        "TRITON_KEY_FILE": "key",
        "TRITON_START_TIMEOUT": "60",
    }
    for name, text in texts.items():
        monkeypatch.setenv(f"NITROGEN_{name}", text)

    parsed = parse(export_parser(), ["--repository=r"])

    assert parsed.variables == {f"NITROGEN_{name}": text for name, text in texts.items()}
    assert (parsed.values["cfg_scale"], parsed.values["adapter"]) == (2.5, Path("adapter"))


def test_the_help_names_the_variables() -> None:
    assert "[NITROGEN_DEVICE_KIND]" in export_parser().format_help()
    flag = argparse.ArgumentParser().add_argument("--triton-key-file")
    assert variable_of(flag) == "NITROGEN_TRITON_KEY_FILE"
