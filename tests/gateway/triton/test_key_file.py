"""The file with Triton's key: what is taken for one, and the sentence about what is not."""

from pathlib import Path

import pytest

from gateway.command_line import parse_settings
from gateway.errors import StartError
from gateway.triton.connection import TritonConnection
from gateway.triton.key import read_key


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"s3cret", "no = in it"),
        (b"nitrogen=", "VALUE"),
        (b"=s3cret", "NAME"),
        (b"Nitrogen=s3cret", "NAME"),
        (b"nitrogen-bin=s3cret", "NAME"),
        (b"nitro gen=s3cret", "NAME"),
        (b" nitrogen=s3cret", "NAME"),
        (b"nitrogen= s3cret", "VALUE"),
        (b"nitrogen=s3cret ", "VALUE"),
        (b"nitrogen=s3cret\r\n", "VALUE"),
        (b"nitrogen=s3cret\x00", "VALUE"),
        (b"nitrogen=s3cret\x7f", "VALUE"),
        (b"nitrogen=s3cret" * 1000, "VALUE"),
        (b"nitrogen=s3cret\nmore=s3cret\n", "more than one line"),
        (b"nitrogen=s3cret\n\n", "more than one line"),
        ("nitrogen=s3cret\u00e9".encode(), "more than ASCII"),
        (b"\xff\xfen\x00=\x00", "more than ASCII"),
    ],
)
def test_a_file_without_a_key_is_one_sentence_that_does_not_show_it(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(StartError) as caught:
        TritonConnection.from_settings(parse_settings([f"--triton-key-file={path}"]))
    sentence = str(caught.value)
    assert words in sentence
    assert str(path) in sentence
    assert "NAME=VALUE" in sentence
    assert "\n" not in sentence
    assert "s3cret" not in sentence


def test_a_missing_file_and_a_folder_are_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(StartError, match=r"--triton-key-file is .* that file does not exist"):
            parse_settings([f"--triton-key-file={path}"])
        with pytest.raises(StartError, match=r"--triton-key-file is .* cannot be read"):
            read_key(path)


def test_a_key_is_taken_with_and_without_the_end_of_its_line(tmp_path: Path) -> None:
    for content in ("nitrogen=s3=cr:et", "nitrogen=s3=cr:et\n"):
        (tmp_path / "key").write_text(content)
        key = read_key(tmp_path / "key")
        assert key.metadata == (("triton-grpc-protocol-nitrogen", "s3=cr:et"),)
        assert "s3=cr:et" not in repr(key)
