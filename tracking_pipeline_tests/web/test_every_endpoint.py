"""Who may use which endpoint. The endpoints come from the application itself: a new one is an
admin's unless it is named here."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from tracking_pipeline.web.app import ROUTERS
from tracking_pipeline_tests.web.conftest import Serve
from tracking_pipeline_tests.web.people import SECRET, add_user, bearer, token
from tracking_pipeline_tests.web.serving import ADMIN_TOKEN, Served

# Whoever may call these is for other tests to say: logging in, being alive, posting events, pages.
OPEN_TO_ALL = {
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("POST", "/session"),
    ("POST", "/session/end"),
    ("POST", "/functions/v1/save-lead"),
    ("POST", "/functions/v1/log-event"),
    # The login form stands where the page would.
    ("GET", "/"),
    ("GET", "/event"),
    ("GET", "/assets/{name}"),
}
BODIES: dict[str, dict[str, Any]] = {
    "/functions/v1/alerts/acknowledge": {"types": ["no_data"]},
    "/functions/v1/alerts/resolve": {"types": ["no_data"]},
    "/functions/v1/alerts/silence": {"types": ["no_data"], "hours": 0},
}
# A run that nobody knows: 404 to those who may ask.
RUN_ID = uuid4()


def all_endpoints() -> Iterator[tuple[str, str]]:
    app = FastAPI(openapi_url=None)
    for router in ROUTERS:
        app.include_router(router)
    for found in iter_route_contexts(app.routes):
        if isinstance(found.original_route, APIRoute):
            for method in sorted(found.methods or ()):
                yield method, str(found.path)


ADMIN_ENDPOINTS = sorted(set(all_endpoints()) - OPEN_TO_ALL)


def ask(
    served: Served, headers: Mapping[str, str], cookies: Mapping[str, str] | None = None
) -> Iterator[tuple[str, str, httpx.Response]]:
    """Asks every admin endpoint."""
    with httpx.Client(base_url=served.url, headers=headers, cookies=cookies, timeout=60) as client:
        for method, path in ADMIN_ENDPOINTS:
            url = path.replace("{run_id}", str(RUN_ID))
            yield method, path, client.request(method, url, json=BODIES.get(path))


def admitted(status: int) -> bool:
    return status not in (401, 403) and status < 500


def test_there_are_endpoints_to_ask() -> None:
    assert len(ADMIN_ENDPOINTS) >= 10
    assert set(all_endpoints()) >= OPEN_TO_ALL


def test_without_an_admins_token_nobody_is_recognised(served: Served) -> None:
    for headers in (
        {},
        {"Authorization": ADMIN_TOKEN},
        {"Authorization": f"Basic {ADMIN_TOKEN}"},
        {"Authorization": "Bearer"},
        bearer(ADMIN_TOKEN + "x"),
        bearer(ADMIN_TOKEN[:-1]),
        bearer(ADMIN_TOKEN.upper()),
        bearer("a.b.c"),
        {"X-Forwarded-For": "127.0.0.1", "Host": "localhost"},
        {"apikey": ADMIN_TOKEN},
    ):
        for method, path, response in ask(served, headers):
            assert response.status_code == 401, (headers, method, path)
            challenge = response.headers["WWW-Authenticate"]
            assert challenge.startswith('Bearer realm="tracking_pipeline"')
            refusal = {"success": False, "error": "an admin's bearer token is needed"}
            assert response.json() == refusal


def test_the_admin_token_opens_every_endpoint(served: Served) -> None:
    for method, path, response in ask(served, bearer(ADMIN_TOKEN)):
        assert admitted(response.status_code), (method, path, response.text)


def test_the_scheme_is_read_whatever_its_case(served: Served) -> None:
    headers = {"Authorization": f"bearer  {ADMIN_TOKEN}"}
    assert served.client.get("/functions/v1/alerts", headers=headers).status_code == 200


def test_an_admin_of_the_site_is_let_in_and_another_user_is_not(
    serve: Serve, connection: psycopg.Connection
) -> None:
    admin, moderator = add_user(connection, "admin"), add_user(connection, "moderator")
    served = serve(SUPABASE_JWT_SECRET=SECRET)
    for method, path, response in ask(served, bearer(token(admin))):
        assert admitted(response.status_code), (method, path, response.text)
    for user in (moderator, uuid4()):
        for method, path, response in ask(served, bearer(token(user))):
            assert response.status_code == 403, (method, path)
            assert 'error="insufficient_scope"' in response.headers["WWW-Authenticate"]


def test_an_expired_token_opens_nothing(serve: Serve, connection: psycopg.Connection) -> None:
    expired = token(add_user(connection, "admin"), exp=time.time() - 60)
    served = serve(SUPABASE_JWT_SECRET=SECRET)
    for method, path, response in ask(served, bearer(expired)):
        assert response.status_code == 401, (method, path)
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


def test_a_session_opens_every_endpoint_to_a_page_of_this_server_alone(served: Served) -> None:
    own_page = {"Origin": served.url}
    login = served.client.post("/session", json={"token": ADMIN_TOKEN}, headers=own_page)
    cookies = dict(login.cookies)
    assert login.status_code == 200
    for method, path, response in ask(served, own_page, cookies):
        assert admitted(response.status_code), (method, path, response.text)
    for headers in (
        {},
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
        {"Origin": served.url, "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        for method, path, response in ask(served, headers, cookies):
            expected = admitted(response.status_code) if method == "GET" else False
            assert admitted(response.status_code) == expected, (method, path, headers)
            assert method == "GET" or response.status_code == 403
