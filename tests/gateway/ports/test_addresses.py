"""Which addresses an allow-list lets in."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ports.addresses import is_allowed
from gateway.settings import GatewaySettings, Network


def networks(*texts: str) -> list[Network]:
    return [ipaddress.ip_network(text) for text in texts]


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("192.168.1.7", True),
        ("192.168.2.7", False),
        ("10.0.0.7", True),
        ("10.0.0.8", False),
        ("::ffff:192.168.1.7", True),
        ("::ffff:c0a8:0107", True),
        ("::ffff:192.168.2.7", False),
        ("::192.168.1.7", False),
        ("fe80::1", True),
        ("fe80::1%eth0", True),
        ("fe80::1%a/b", True),
        ("fe81::1%eth0", False),
        ("::1", False),
        ("", False),
        ("%eth0", False),
        ("localhost", False),
        ("192.168.1.7:5555", False),
    ],
)
def test_an_address_is_in_one_of_the_networks_or_not(address: str, allowed: bool) -> None:
    assert is_allowed(address, networks("192.168.1.0/24", "10.0.0.7", "fe80::/64")) is allowed


def test_without_a_list_everybody_is_allowed() -> None:
    assert is_allowed("203.0.113.9", None)
    assert is_allowed("no address", None)


def test_an_empty_list_allows_nobody() -> None:
    assert not is_allowed("127.0.0.1", [])


def test_networks_of_the_settings_are_taken() -> None:
    found = GatewaySettings(allow="192.168.1.0/24, 2001:db8::/32").networks
    assert [is_allowed(address, found) for address in ("192.168.1.1", "2001:db8::7", "10.1.1.1")] == [
        True,
        True,
        False,
    ]


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    assert is_allowed(text, networks("0.0.0.0/0")) in (True, False)
