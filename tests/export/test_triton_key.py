"""The file with the key of Triton's restricted protocols."""

from pathlib import Path

import pytest

from export.commands.running_triton import key_of
from export.errors import OptionError


@pytest.mark.parametrize("content", ["nitrogen=3f9c", "nitrogen=3f9c\n"])
def test_one_line_is_the_key(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    key = key_of(path)
    assert key is not None
    assert key.metadata == (("triton-grpc-protocol-nitrogen", "3f9c"),)


def test_a_value_may_hold_what_base64_does(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("key=a+/b==")
    key = key_of(path)
    assert key is not None
    assert key.value == "a+/b=="


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"nitrogen",
        b"nitrogen=",
        b"=3f9c",
        b"Nitrogen=3f9c",
        b"nitrogen=3f9c\r\n",
        b"a=b\nc=d",
        b"a b=c",
        b"a=b c",
        b"a=\xff",
        b"a=" * 3000,
    ],
    ids=repr,
)
def test_a_torn_file_is_one_sentence_that_does_not_show_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(OptionError, match="does not hold one line NAME=VALUE") as raised:
        key_of(path)
    assert str(path) in str(raised.value)
    assert "3f9c" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match=r"the key file .*/key cannot be read \(No such file or directory\)"
    ):
        key_of(tmp_path / "key")
    with pytest.raises(OptionError, match="Is a directory"):
        key_of(tmp_path)
