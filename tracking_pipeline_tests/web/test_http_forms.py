"""HTTP as clients write it: HEAD, slashes, compressed bodies, beacons, and clients that leave."""

from __future__ import annotations

import gzip
import json
import socket
import zlib
from collections.abc import Callable

import httpx
import pytest

from tracking_pipeline_tests.web.conftest import Serve
from tracking_pipeline_tests.web.serving import ADMIN_TOKEN, FUNCTIONS, Served

LOG_EVENT = f"{FUNCTIONS}/log-event"
EVENT = json.dumps({"event_name": "Lead", "email": "emily@example.com"}).encode()


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve(MAX_BODY_BYTES="4096")


def test_head_tells_what_get_tells_without_the_body(served: Served) -> None:
    for path in ("/healthz", "/", "/metrics", "/docs", f"{FUNCTIONS}/alerts"):
        asked, head = served.admin.get(path), served.admin.head(path)
        assert head.status_code == asked.status_code == 200, path
        assert head.headers["content-type"] == asked.headers["content-type"]
        assert head.content == b""


def test_a_slash_at_the_end_asks_for_the_same(served: Served) -> None:
    for path in ("/healthz/", "/metrics//", f"{FUNCTIONS}/admin-tracking-health/"):
        answer = served.admin.get(path, headers={"X-Forwarded-Proto": "https"})
        assert answer.status_code == 200, path
        assert not answer.history


PACKED: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("GZIP", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("identity", bytes),
]


def test_a_compressed_body_is_read(served: Served) -> None:
    for encoding, pack in PACKED:
        headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
        answer = served.client.post(LOG_EVENT + "/", content=pack(EVENT), headers=headers)
        assert answer.status_code == 200, (encoding, answer.text)
        assert answer.json()["success"] is True


UNPACKABLE = [
    ("br", b"x", 415),
    ("gzip, gzip", gzip.compress(gzip.compress(EVENT)), 415),
    ("gzip", EVENT, 400),
    ("gzip", gzip.compress(EVENT)[:-9], 400),
    ("deflate", b"\xff" * 100, 400),
    ("gzip", gzip.compress(b" " * 1_000_000), 413),
]


def test_a_body_that_cannot_be_unpacked_is_told_so(served: Served) -> None:
    for encoding, body, status in UNPACKABLE:
        answer = served.client.post(LOG_EVENT, content=body, headers={"Content-Encoding": encoding})
        assert answer.status_code == status, (encoding, answer.text)
        assert answer.json()["success"] is False
        assert (status != 415) or "gzip" in answer.headers["accept-encoding"]


def test_a_beacon_brings_its_key_in_the_query(serve: Serve) -> None:
    key = "a-key-of-the-intake"
    served = serve(INTAKE_KEY=key)
    for parameters, status in (({"apikey": key}, 200), ({"apikey": "another-key"}, 401), ({}, 401)):
        answer = served.client.post(
            LOG_EVENT,
            params=parameters,
            content=EVENT,
            headers={"Content-Type": "text/plain;charset=UTF-8"},
        )
        assert answer.status_code == status


def test_a_client_that_leaves_in_the_middle_of_its_body_shows_no_trace(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    port = httpx.URL(served.url).port
    head = (
        f"POST {FUNCTIONS}/admin-retry-failed-events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {ADMIN_TOKEN}\r\nContent-Type: application/json\r\n"
        "Content-Length: 100\r\n\r\n{"
    )
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(head.encode())
    assert served.client.get("/healthz").status_code == 200
    assert "should not happen" not in caplog.text
