"""What the server does not wait for, does not hold, and does not tell."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from tracking_pipeline_tests.web.conftest import Serve
from tracking_pipeline_tests.web.serving import ADMIN_TOKEN, FUNCTIONS, Served

RETRY = f"{FUNCTIONS}/admin-retry-failed-events"
ORIGIN = "https://dashboard.example.com"


def raw(served: Served, request: str, *, then: bytes = b"") -> str:
    """What a client gets that writes its request by hand and then sends no more."""
    port = httpx.URL(served.url).port
    assert port is not None
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode() + then)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer.decode()


def test_a_body_that_is_too_long_is_refused_unread(serve: Serve) -> None:
    served = serve(MAX_BODY_BYTES="2048")
    assert served.admin.post(RETRY, content=b" " * 2048).status_code != 413
    for path in (RETRY, "/session", f"{FUNCTIONS}/alerts/resolve", "/nowhere"):
        response = served.admin.post(path, content=b"x" * 2049)
        assert response.status_code == 413, path
        assert response.json()["error"] == "the body is longer than 2048 bytes (MAX_BODY_BYTES)"


def test_a_body_whose_length_is_not_said_is_counted(serve: Serve) -> None:
    served = serve(MAX_BODY_BYTES="2048")
    pulled = []

    def endless() -> Iterator[bytes]:
        for number in range(1000):
            pulled.append(number)
            yield b"x" * 65536

    try:
        status = served.admin.post(RETRY, content=endless()).status_code
    except httpx.TransportError:
        status = 413  # the server was gone before all was written
    assert status == 413
    assert served.client.get("/healthz").status_code == 200


def test_a_length_that_is_a_lie_does_no_harm(serve: Serve) -> None:
    served = serve()
    head = f"POST {RETRY} HTTP/1.1\nHost: x\nAuthorization: Bearer {ADMIN_TOKEN}\n"
    for length in ("-1", "99999999999999999999", "1e3", "0x10", "5, 6"):
        answer = raw(served, f"{head}Connection: close\nContent-Length: {length}\n\n")
        assert answer.startswith(("HTTP/1.1 400", "HTTP/1.1 413")), (length, answer)
    assert served.client.get("/healthz").status_code == 200


def test_a_body_that_never_comes_is_not_waited_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracking_pipeline.web.app.BODY_SECONDS", 0.05)
    served = serve()
    answer = raw(
        served,
        f"POST {RETRY} HTTP/1.1\nHost: x\nAuthorization: Bearer {ADMIN_TOKEN}\n"
        "Content-Type: application/json\nContent-Length: 20\n\n",
        then=b'{"ret',
    )
    assert answer.startswith("HTTP/1.1 408")
    assert "the body did not come in time" in answer


def test_answers_carry_what_browsers_need_to_be_careful(served: Served) -> None:
    for path in ("/healthz", f"{FUNCTIONS}/alerts", "/nowhere"):
        headers = served.client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert "Server" not in headers


def test_a_header_cannot_be_smuggled_into_an_answer(served: Served) -> None:
    for path in ("/healthz%0d%0aSet-Cookie:%20a=b", f"{FUNCTIONS}/runs/%0d%0aX-Evil:%201"):
        response = served.admin.get(path)
        assert "Set-Cookie" not in response.headers
        assert "X-Evil" not in response.headers


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/functions/v1/../../healthz",
        "//functions/v1/alerts",
        "/functions/v1/alerts/..;/runs",
        "/FUNCTIONS/V1/ALERTS",
        "/functions/v1/alerts%00",
    ],
)
def test_no_path_leads_around_the_token(served: Served, path: str) -> None:
    answer = raw(served, f"GET {path} HTTP/1.1\nHost: x\nConnection: close\n\n")
    assert answer.startswith(("HTTP/1.1 401", "HTTP/1.1 404", "HTTP/1.1 400")), answer
    assert "root:" not in answer


def test_no_origin_is_let_in_unless_it_is_named(served: Served) -> None:
    response = served.admin.get(f"{FUNCTIONS}/alerts", headers={"Origin": ORIGIN})
    assert "Access-Control-Allow-Origin" not in response.headers


def test_a_named_origin_may_call_with_a_token_and_never_with_a_cookie(serve: Serve) -> None:
    served = serve(CORS_ORIGINS=f"{ORIGIN},https://www.example.com")
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,apikey,x-client-info,prefer,"
        "x-retry-count,x-region,x-supabase-api-version,accept-profile,content-profile,"
        "x-requested-with,traceparent,sentry-trace,baggage,idempotency-key",
    }
    preflight = served.client.options(RETRY, headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Access-Control-Allow-Credentials" not in preflight.headers
    refused = served.client.get(f"{FUNCTIONS}/alerts", headers={"Origin": ORIGIN})
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, ORIGIN)
    stranger = {**asked, "Origin": "https://evil.example.com"}
    assert served.client.options(RETRY, headers=stranger).status_code == 400
