"""HOST:PORT, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.endpoint import Endpoint, parse_endpoint, parse_endpoints

NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,60}", fullmatch=True)
ADDRESSES = st.ip_addresses().map(str)
ENDPOINTS = st.builds(Endpoint, NAMES | ADDRESSES, st.integers(1, 65535))


@given(st.lists(ENDPOINTS, min_size=1, max_size=5))
def test_what_is_written_is_what_is_read(endpoints: list[Endpoint]) -> None:
    assert parse_endpoints(",".join(map(str, endpoints))) == tuple(endpoints)


@pytest.mark.parametrize(
    ("text", "host"),
    [("[::1]:8001", "::1"), ("[fe80::1%eth0]:8001", "fe80::1%eth0"), ("triton:8001", "triton")],
)
def test_an_ipv6_address_stands_in_brackets(text: str, host: str) -> None:
    assert parse_endpoint(text) == (host, 8001)
    assert str(parse_endpoint(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "here", "here:", ":8001", "here:0", "here:65536", "here:08001", "here:٣", "here:-1"),
        *("::1:8001", "[::1]", "[::1:8001", "[]:8001", "[here]:8001", "http://here:8001", "here: 8001"),
        *("here:8001\n", "he re:8001", "here:8001,there:8001"),
    ],
)
def test_anything_else_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT") as raised:
        parse_endpoint(text)
    assert repr(text) in str(raised.value)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        host, port = parse_endpoint(text)
    except ValueError:
        return
    assert 0 < port <= 65535
    assert host in text
