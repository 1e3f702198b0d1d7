"""Who a request came from, by what its headers claim and whom we trust."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from tracking_pipeline.web.security.client_address import client_address, is_local

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


THIS_MACHINE = (ip_network("127.0.0.0/8"), ip_network("::1"))


def request(
    peer: str | None, *forwarded_for: str, host: str = "localhost:8000", **others: str
) -> Request:
    headers = [(b"x-forwarded-for", each.encode("latin-1")) for each in forwarded_for]
    headers += [(name.replace("_", "-").encode(), each.encode()) for name, each in others.items()]
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [*headers, (b"host", host.encode())],
        "client": None if peer is None else (peer, 1234),
    }
    return Request(scope)


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("81.2.69.160", (), "81.2.69.160"),
        ("81.2.69.160", ("1.1.1.1",), "81.2.69.160"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("81.2.69.160",), "81.2.69.160"),
        ("10.0.0.1", ("6.6.6.6, 81.2.69.160",), "81.2.69.160"),
        ("10.0.0.1", ("6.6.6.6", "81.2.69.160, 10.9.9.9"), "81.2.69.160"),
        ("10.0.0.1", ("10.1.1.1, 10.2.2.2",), "10.1.1.1"),
        ("10.0.0.1", ("81.2.69.160:5555",), "81.2.69.160"),
        ("10.0.0.1", ("[2001:4860:4860::8888]:443",), "2001:4860:4860::8888"),
        ("10.0.0.1", ("2001:4860:4860:0::8888",), "2001:4860:4860::8888"),
        ("::ffff:10.0.0.1", ("81.2.69.160",), "81.2.69.160"),
        ("fd00::1", ("81.2.69.160",), "81.2.69.160"),
        ("10.0.0.1", ("81.2.69.160, unknown",), "10.0.0.1"),
        ("10.0.0.1", ("'; drop table leads; --",), "10.0.0.1"),
        ("10.0.0.1", ("",), "10.0.0.1"),
        (None, ("81.2.69.160",), None),
    ],
)
def test_the_first_from_the_right_that_is_no_proxy_of_ours_is_the_client(
    peer: str | None, forwarded_for: tuple[str, ...], expected: str | None
) -> None:
    assert client_address(request(peer, *forwarded_for), TRUSTED) == expected


@given(st.text(st.characters(max_codepoint=255)))
def test_a_header_of_anything_breaks_nothing_and_moves_no_stranger(header: str) -> None:
    assert client_address(request("81.2.69.160", header), TRUSTED) == "81.2.69.160"
    assert client_address(request("10.0.0.1", header), TRUSTED)


@pytest.mark.parametrize(
    ("peer", "host", "local"),
    [
        ("127.0.0.1", "localhost:8000", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "[::1]:8000", True),
        ("127.0.0.1", "rebound.example.com", False),
        ("81.2.69.160", "localhost", False),
        ("10.0.0.1", "localhost", False),
        (None, "localhost", False),
    ],
)
def test_local_is_who_asks_this_machine_from_this_machine(
    peer: str | None, host: str, local: bool
) -> None:
    assert is_local(request(peer, host=host), TRUSTED) is local


@pytest.mark.parametrize(
    "sign",
    [
        *("x_forwarded_for", "x_forwarded_host", "x_forwarded_proto", "forwarded", "via"),
        *("x_real_ip", "cf_connecting_ip", "true_client_ip"),
    ],
)
def test_behind_a_proxy_nobody_is_local(sign: str) -> None:
    assert not is_local(request("127.0.0.1", **{sign: "127.0.0.1"}), TRUSTED)


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_where_a_proxy_of_ours_is_on_this_machine_nobody_is_local(peer: str) -> None:
    assert is_local(request(peer), TRUSTED)
    assert not is_local(request(peer), THIS_MACHINE)
