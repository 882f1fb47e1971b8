"""Which format a message of port 5555 has, by its first byte."""

import pickle
import zipfile
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RequestError, UnsafePickleError
from gateway.protocol.formats.formats import MSGPACK, PICKLE, REFUSED_PICKLE, format_of
from gateway.protocol.messages import Reply
from tests.paths import PICKLES

KEYS = st.text(max_size=3)
VALUES = st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=3) | st.binary(max_size=3)
REQUESTS = st.dictionaries(KEYS, VALUES, min_size=1, max_size=20)


@given(REQUESTS, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_every_dict_that_is_pickled_counts_as_a_pickle(fields: dict[str, object], protocol: int) -> None:
    assert format_of(pickle.dumps(fields, protocol)) is PICKLE


@given(REQUESTS)
def test_every_dict_that_is_packed_counts_as_msgpack(fields: dict[str, object]) -> None:
    assert format_of(msgpack.packb(fields)) is MSGPACK


@pytest.mark.parametrize("count", [1, 15, 16, 65_535, 65_536])
def test_a_map_of_any_size_counts_as_msgpack(count: int) -> None:
    assert format_of(msgpack.packb(dict.fromkeys(map(str, range(count))))) is MSGPACK


@pytest.mark.parametrize("archive", sorted(PICKLES.glob("*.zip")), ids=lambda path: path.stem)
def test_stored_pickles_of_real_clients_count_as_pickles(archive: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        assert {format_of(file.read(name)) for name in file.namelist()} == {PICKLE}


@pytest.mark.parametrize("nothing", [b"", b"\x80", b"\xff", b"\x93\x01\x02\x03"])
def test_what_is_neither_gets_an_error_as_a_pickle(nothing: bytes) -> None:
    format_ = format_of(nothing)
    with pytest.raises(RequestError):
        format_.decode_request(nothing)
    assert pickle.loads(format_.encode_reply(Reply(error="no"))) == {"status": "error", "message": "no"}


def test_a_pickle_that_is_not_taken_is_not_read_but_answered_as_a_pickle() -> None:
    format_ = format_of(b"\x80\x04 this would be a torn pickle", takes_pickle=False)
    assert format_ is REFUSED_PICKLE
    with pytest.raises(UnsafePickleError, match="send msgpack"):
        format_.decode_request(b"\x80\x04 this would be a torn pickle")
    assert pickle.loads(format_.encode_reply(Reply())) == {"status": "ok"}


def test_msgpack_is_taken_where_pickles_are_not() -> None:
    assert format_of(msgpack.packb({"type": "info"}), takes_pickle=False) is MSGPACK
