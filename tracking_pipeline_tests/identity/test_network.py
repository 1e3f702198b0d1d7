from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st

from tracking_pipeline.identity import normalize
from tracking_pipeline.identity.ip_address import _SPECIAL_V4, _is_public, usual_address
from tracking_pipeline.identity.refusal import Refusal


@pytest.mark.parametrize("platform", ["meta", "google"])
@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("8.8.8.8", "8.8.8.8"),
        (" 8.8.8.8 ", "8.8.8.8"),
        ("8.8.8.8:443", "8.8.8.8"),
        ("2001:4860:4860::8888", "2001:4860:4860::8888"),
        ("2001:4860:4860:0:0:0:0:8888", "2001:4860:4860::8888"),
        ("2001:4860:4860::8888".upper(), "2001:4860:4860::8888"),
        ("[2001:4860:4860::8888]", "2001:4860:4860::8888"),
        ("[2001:4860:4860::8888]:443", "2001:4860:4860::8888"),
        ("2001:4860:4860::8888%eth0", "2001:4860:4860::8888"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("64:ff9b::808:808", "8.8.8.8"),
        ("8.8.8.8, 10.0.0.1", "8.8.8.8"),
        ("10.0.0.1, 192.168.1.1, 8.8.8.8, 1.1.1.1", "8.8.8.8"),
        ("unknown, 8.8.8.8", "8.8.8.8"),
        ("for=8.8.8.8", "8.8.8.8"),
        ('for="[2001:4860:4860::8888]:443"', "2001:4860:4860::8888"),
    ],
)
def test_the_first_public_address_is_sent(given: str, address: str, platform: str) -> None:
    assert normalize("client_ip_address", given, platform) == address


@pytest.mark.parametrize("platform", ["meta", "google"])
@pytest.mark.parametrize(
    "given",
    ["", "n/a", "localhost", "example.com", "256.1.1.1", "8.8.8", "8.8.8.8.8", "08.8.8.8",
    "8.8.8.0/24",
     "0.0.0.0", "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.1.1", "100.64.0.1",
     "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "224.0.0.1", "239.1.1.1",
     "240.0.0.1",
     "255.255.255.255", "192.88.99.1", "::", "::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1",
     "2001:db8::1", "3fff::1", "5f00::1", "fec0::1", "64:ff9b::a00:1", "::ffff:10.0.0.1",
     "10.0.0.1, 192.168.1.1", 134744072, True, None, [], {}, "8.8.8.8" * 500],
)  # fmt: skip
def test_an_address_of_nobody_is_left_out(given: object, platform: str) -> None:
    assert normalize("client_ip_address", given, platform) is None


def test_the_suffix_of_the_parameter_builder_is_for_meta_only() -> None:
    assert normalize("client_ip_address", "8.8.8.8.AQYBAQAA") == "8.8.8.8.AQYBAQAA"
    assert normalize("client_ip_address", "8.8.8.8.AQYBAQAA", "google") == "8.8.8.8"


@pytest.mark.parametrize("platform", ["meta", "google"])
def test_a_user_agent_is_sent_as_it_is(platform: str) -> None:
    agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X)  AppleWebKit/605.1.15"
    assert normalize("client_user_agent", f" {agent}\n", platform) == agent


@pytest.mark.parametrize("given", ["", " ", "undefined", "null", 5.5, True, None, [], "M" * 5000])
def test_what_is_no_user_agent_is_left_out(given: object) -> None:
    assert normalize("client_user_agent", given) is None


def test_what_is_judged_at_a_glance_is_judged_rightly() -> None:
    # The finest special block is a /24: each of those in a /16 that holds one, and each /16 at both
    # of its ends.
    fine = {int(block.network_address) >> 16 for block in _SPECIAL_V4 if block.prefixlen > 16}
    parts = [block << 16 | rest for block in range(2**16) for rest in (0, 0xFFFF)]
    parts += [block << 16 | rest << 8 for block in fine for rest in range(256)]
    for address in map(IPv4Address, parts):
        expected = str(address) if _is_public(address) else Refusal.NOT_PUBLIC_IP
        assert usual_address(str(address)) == expected


@settings(deadline=None, max_examples=300)
@given_any(
    st.ip_addresses(v=4).map(str)
    | st.lists(st.integers(0, 300).map(str) | st.sampled_from(["00", "08", "1\n"]), max_size=5).map(
        ".".join
    )
)
def test_an_address_that_is_judged_at_a_glance_is_in_its_one_spelling(text: str) -> None:
    if usual_address(text) is not None:
        assert text == str(IPv4Address(text))
