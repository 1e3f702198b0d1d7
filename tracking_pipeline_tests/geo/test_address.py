from __future__ import annotations

import string
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st

from tracking_pipeline.geo.address import RefusedAddress, lead_address, masked_address
from tracking_pipeline.identity import normalize

V4 = "81.2.69.160"
V6 = "2001:4860:4860::8888"


@pytest.mark.parametrize(
    ("stored", "address"),
    [
        (V4, V4),
        (f"  {V4}\n", V4),
        (f"{V4}:51234", V4),
        (f'"{V4}"', V4),
        (f"'{V4}'", V4),
        (f"{V4}/32", V4),
        (f"{V4}/24", V4),
        (f"{V6}/48", V6),
        (f"{V4}.AQYBAQAA", V4),
        (V6, V6),
        (V6.upper(), V6),
        ("2001:4860:4860:0:0:0:0:8888", V6),
        (f"[{V6}]", V6),
        (f"[{V6}]:443", V6),
        (f"{V6}%eth0", V6),
        (f"[{V6}%25en0]:443", V6),
        (f"{V6}/128", V6),
        (f"::ffff:{V4}", V4),
        (f"::FFFF:{V4}", V4),
        (f"[::ffff:{V4}]:8080", V4),
        (f"::ffff:{V4}/128", V4),
        ("2002:5102:45a0::1", V4),
        ("64:ff9b::5102:45a0", V4),
        (f"64:ff9b::{V4}", V4),
        (ip_address(V4), V4),
        (ip_address(f"::ffff:{V4}"), V4),
        (ip_interface(V6), V6),
    ],
)
def test_an_address_is_read_in_every_form_that_sites_store(stored: object, address: str) -> None:
    assert lead_address(stored) == address


@pytest.mark.parametrize(
    "stored",
    [
        f"{V4}, 10.0.0.1",
        f"10.1.2.3, 192.168.0.1,{V4}, 8.8.8.8",
        f"unknown, {V4}",
        f",, {V4}",
        f"fe80::1%eth0, [::1]:80, ::ffff:10.0.0.1, {V4}:80",
        f"for={V4}",
        f"For={V4};proto=https;by=8.8.4.4",
        f"proto=https;by=8.8.4.4;for={V4}",
        f'for=_hidden, for="[fe80::1]:4711", for="{V4}:_port"',
        f"for = {V4}",
        f'["{V4}","10.0.0.1"]',
        f' [ "10.0.0.1", "[::1]:80", "{V4}" ] ',
        f"['{V4}']",
        f"{V4} 10.0.0.1",
        f"10.0.0.1  unknown\t{V4}:443",
    ],
)
def test_the_first_public_address_of_a_list_is_taken(stored: str) -> None:
    assert lead_address(stored) == V4


def test_who_received_a_request_is_not_who_sent_it() -> None:
    assert lead_address(f"by={V4};host=8.8.8.8;proto=http") is RefusedAddress.INVALID
    assert lead_address(f"by = {V4}") is RefusedAddress.INVALID


@pytest.mark.parametrize("blank", [None, "", " ", "\t\n", "\u200b"])
def test_a_blank_value_is_no_address_and_no_mistake(blank: object) -> None:
    assert lead_address(blank) is None


@pytest.mark.parametrize(
    "stored",
    ["unknown", "(not set)", "localhost", "example.com", "8.8.8", "8.8.8.8.8", "256.1.1.1",
     "08.8.8.8", "0x8.8.8.8", "8.8.8.0/24", "8.8.8.8/99", "2001:4860:4860::/48", "8,8.8.8",
     "1:2:3", "[8.8.8.8", "2001:::1",
     "８.８.８.８", "http://8.8.8.8/", 134744072, 8.8, True, [], ["8.8.8.8"], {}, b"8.8.8.8",
     "\ud800", f"{V4}, " * 500],
)  # fmt: skip
def test_what_is_no_address_is_invalid(stored: object) -> None:
    assert lead_address(stored) is RefusedAddress.INVALID


# First and last address of each block, by IANA's registries.
NOBODYS_BLOCKS = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    "::/96", "100::/64", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "5f00::/16",
    "64:ff9b:1::/48", "2001::/32", "2001:2::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28",
    "2001:db8::/32", "3fff::/20",
]  # fmt: skip


@pytest.mark.parametrize("block", NOBODYS_BLOCKS)
def test_a_block_of_nobody_is_private_from_its_first_to_its_last_address(block: str) -> None:
    network = ip_network(block)
    for address in (network[0], network[-1]):
        assert lead_address(str(address)) is RefusedAddress.PRIVATE
        assert lead_address(f"nonsense, {address}") is RefusedAddress.PRIVATE


@pytest.mark.parametrize(
    "address",
    ["1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
     "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0",
     "191.255.255.255", "192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0",
     "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.255",
     "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
     "2001:200::", "2001:db7:ffff::1", "2001:db9::1", "2003::1", "2a00::1", "3ffe:ffff::1"],
)  # fmt: skip
def test_the_neighbours_of_those_blocks_are_somebodys(address: str) -> None:
    assert lead_address(address) == address


@pytest.mark.parametrize(
    "wrapping",
    ["::ffff:10.0.0.1", "2002:0a00:0001::1", "64:ff9b::10.0.0.1", "[::ffff:127.0.0.1]:80"],
)
def test_a_private_address_stays_private_however_it_is_wrapped(wrapping: str) -> None:
    assert lead_address(wrapping) is RefusedAddress.PRIVATE


@settings(deadline=None, max_examples=300)
@given_any(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    )
)
def test_no_value_makes_the_parser_raise(value: object) -> None:
    assert isinstance(lead_address(value), (str, RefusedAddress, type(None)))


_PIECES = st.sampled_from(
    [V4, V6, "10.0.0.1", "::ffff:", "64:ff9b::", "2002:", "for=", "by=", ":80", "[", "]", "%", '"',
     "'", ",", ";", " ", "/32", "/128", ".AB", "unknown", "=", "\n", "\0"]
)  # fmt: skip


@settings(deadline=None, max_examples=500)
@given_any(st.lists(_PIECES | st.text(string.hexdigits + ".:", max_size=5), max_size=12))
def test_nothing_but_a_public_address_in_its_one_spelling_comes_out(pieces: list[str]) -> None:
    found = lead_address("".join(pieces))
    if isinstance(found, str):
        assert str(ip_address(found)) == found
        assert lead_address(found) == found


@settings(deadline=None)
@given_any(st.ip_addresses())
def test_the_platforms_get_the_address_that_is_looked_up(address: object) -> None:
    found = lead_address(str(address))
    assert normalize("client_ip_address", str(address), "google") == (
        found if isinstance(found, str) else None
    )


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (V4, "81.2.69.0/24"),
        ("81.2.69.0", "81.2.69.0/24"),
        ("2a00:1450:4001:82a::200e", "2a00:1450:4001::/48"),
    ],
)
def test_the_last_part_of_an_address_is_hidden(address: str, shown: str) -> None:
    assert masked_address(address) == shown
