"""Whose token is believed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tracking_pipeline.web.security import supabase_tokens
from tracking_pipeline.web.security.supabase_tokens import KeySet, _keys_of
from tracking_pipeline_tests.web.conftest import Serve
from tracking_pipeline_tests.web.people import (
    ES256_KEY,
    SECRET,
    KeyServer,
    add_user,
    bearer,
    claims,
    es256_token,
    forged_token,
    key_server,
    token,
    unsigned_token,
)
from tracking_pipeline_tests.web.serving import ADMIN_TOKEN, Served

ALERTS = "/functions/v1/alerts"


@pytest.fixture
def admin(connection: psycopg.Connection) -> UUID:
    return add_user(connection, "admin")


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    with key_server() as running:
        yield running


def status(served: Served, text: str) -> int:
    return served.client.get(ALERTS, headers=bearer(text)).status_code


@pytest.mark.parametrize(
    "others",
    [
        {"exp": None},
        {"exp": time.time() - 60},
        {"exp": "tomorrow"},
        {"aud": None},
        {"aud": "anon"},
        {"sub": None},
        {"sub": "admin"},
        {"nbf": time.time() + 86_400},
        {"secret": "another-secret-that-is-long-enough-too"},
    ],
)
def test_a_token_that_proves_nothing_is_refused(
    serve: Serve, admin: UUID, others: dict[str, Any]
) -> None:
    served = serve(SUPABASE_JWT_SECRET=SECRET)
    assert status(served, token(admin)) == 200
    assert status(served, token(admin, **others)) == 401


def test_an_unsigned_token_is_refused(serve: Serve, admin: UUID, keys: KeyServer) -> None:
    keys.offer("first")
    served = serve(SUPABASE_JWT_SECRET=SECRET, SUPABASE_JWKS_URL=keys.url)
    for algorithm in ("none", "None", "NONE", "HS256", "ES256", "RS256", "HS512", ""):
        assert status(served, unsigned_token(admin, algorithm, "first")) == 401


def test_a_public_key_is_not_taken_for_a_secret(serve: Serve, admin: UUID, keys: KeyServer) -> None:
    keys.offer("first")
    served = serve(SUPABASE_JWKS_URL=keys.url)
    public = ES256_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    forged = forged_token(admin, "first", public)
    assert status(served, forged) == 401
    assert status(served, es256_token(admin, "first")) == 200


def test_a_symmetric_key_among_the_public_ones_counts_for_nothing(
    serve: Serve, admin: UUID, keys: KeyServer
) -> None:
    keys.offer("first")
    secret = jwt.utils.base64url_encode(SECRET.encode()).decode()
    keys.keys.append({"kty": "oct", "kid": "shared", "k": secret, "alg": "HS256"})
    served = serve(SUPABASE_JWKS_URL=keys.url)
    signed = jwt.encode(claims(admin), SECRET, algorithm="HS256", headers={"kid": "shared"})
    assert status(served, signed) == 401
    assert status(served, token(admin)) == 401


def test_a_key_of_another_pair_proves_nothing(serve: Serve, admin: UUID, keys: KeyServer) -> None:
    keys.offer("first")
    served = serve(SUPABASE_JWKS_URL=keys.url)
    stranger = ec.generate_private_key(ec.SECP256R1())
    assert status(served, es256_token(admin, "first", stranger)) == 401
    assert status(served, es256_token(admin, "unknown")) == 401


def test_a_provider_that_lists_no_key_is_logged_as_its_other_faults_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    symmetric = {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"}
    for listed in ([], [symmetric], [{"kty": "EC", "kid": "broken"}]):
        caplog.clear()
        assert _keys_of({"keys": listed}) == {}
        assert "SUPABASE_JWKS_URL lists no key that can be used" in caplog.text
        assert "c2VjcmV0" not in caplog.text


def test_keys_are_fetched_once_and_unknown_ones_do_not_make_us_ask_again_and_again(
    serve: Serve, admin: UUID, keys: KeyServer
) -> None:
    keys.offer("first")
    served = serve(SUPABASE_JWKS_URL=keys.url)
    for _ in range(5):
        assert status(served, es256_token(admin, "first")) == 200
    assert keys.answers == 1
    for name in "abcde":
        assert status(served, es256_token(admin, name)) == 401
    assert keys.answers == 1


def test_a_document_without_keys_does_not_replace_those_that_are_known(
    keys: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supabase_tokens, "SHORTEST_PAUSE_SECONDS", 0.0)

    async def judge() -> None:
        async with httpx.AsyncClient() as client:
            known = KeySet(keys.url, client)
            keys.offer("first")
            assert await known.key("first")
            keys.keys.clear()
            assert not await known.key("other")
            assert await known.key("first")
            keys.offer("second")
            assert await known.key("second")
            assert not await known.key("first")

    asyncio.run(judge())


def test_while_no_keys_can_be_had_nobody_is_judged(
    serve: Serve, admin: UUID, keys: KeyServer
) -> None:
    keys.status = 500
    served = serve(SUPABASE_JWKS_URL=keys.url)
    response = served.client.get(ALERTS, headers=bearer(es256_token(admin, "first")))
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert status(served, ADMIN_TOKEN) == 200


def test_without_the_sites_settings_no_user_is_recognised(serve: Serve, admin: UUID) -> None:
    assert status(serve(), token(admin)) == 401


def test_a_role_that_is_taken_away_ends_the_session_too(
    serve: Serve, admin: UUID, connection: psycopg.Connection
) -> None:
    served = serve(SUPABASE_JWT_SECRET=SECRET)
    login = served.client.post(
        "/session", json={"token": token(admin)}, headers={"Origin": served.url}
    )
    assert login.status_code == 200
    assert served.client.get(ALERTS).status_code == 200
    connection.execute("delete from user_roles")
    assert served.client.get(ALERTS).status_code == 403


def test_without_the_sites_table_of_roles_no_user_is_an_admin(
    serve: Serve, admin: UUID, connection: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    connection.execute("drop table user_roles")
    assert status(serve(SUPABASE_JWT_SECRET=SECRET), token(admin)) == 403
    assert "public.user_roles cannot be read" in caplog.text


def test_what_an_admin_does_is_on_record(
    serve: Serve, admin: UUID, connection: psycopg.Connection
) -> None:
    served = serve(SUPABASE_JWT_SECRET=SECRET, TRUSTED_PROXIES="127.0.0.0/8")
    silence = {"types": ["no_data"], "hours": 2}
    path = "/functions/v1/alerts/silence"
    assert served.admin.post(path, json=silence).status_code == 200
    headers = {**bearer(token(admin)), "X-Forwarded-For": "6.6.6.6, 81.2.69.160"}
    assert served.client.post(path, json=silence, headers=headers).status_code == 200
    rows = connection.execute(
        "select actor, action, outcome, detail, remote, at > now() - interval '1 minute'"
        " from tracking_admin_actions order by id"
    ).fetchall()
    (token_actor, *_), (user_actor, *user_row) = rows
    assert token_actor.startswith("token ")
    assert ADMIN_TOKEN not in str(rows)
    assert user_actor == f"user {admin}"
    detail = {"changed": ["no_data"], "not_open": [], "hours": 2}
    assert user_row == ["alerts: silence", "done", detail, "81.2.69.160", True]
