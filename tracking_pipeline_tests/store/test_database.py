"""What is said of a database's address: nothing of the user or the password, however odd. And what
a pool leaves with the server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.store.database import (
    UNTOLD,
    DatabaseError,
    connect,
    connection_pool,
    describe,
    describe_connection,
    unreachable_because,
)
from tracking_pipeline_tests.servers import TestServer
from tracking_pipeline_tests.transaction_pooler import transaction_pooler

RESERVED = ":/?#[]@!$&'()*+,;=%\"<>\\^`{|} \u00e9"
USER, PASSWORD = ("opuser", "OpUser"), ("S3cr", "etTail")


def secrets(*parts: str) -> set[str]:
    return {part.lower() for part in parts}


def addresses() -> Iterator[str]:
    """Every reserved character in every part of what is secret, raw and encoded."""
    for character in RESERVED:
        for written in {character, quote(character, safe="")}:
            user = written.join(USER)
            password = written.join(PASSWORD)
            for rest in ("@127.0.0.1:1/tracking", "@db.example.invalid/tracking", "@127.0.0.1", ""):
                yield f"postgresql://{user}:{password}{rest}"
                yield f"postgresql://{user}{rest}"
            yield f"postgresql://127.0.0.1:1/tracking?user={user}&password={password}"
            yield f"postgresql://{user}:{password}@127.0.0.1:1/tracking?pgbouncer=true"


@pytest.mark.parametrize("url", sorted(set(addresses())))
def test_nothing_of_user_or_password_is_told(url: str) -> None:
    told = describe(url).lower()
    assert not [part for part in secrets(*USER, *PASSWORD) if part in told]


@given(st.text(alphabet="ab@/:?#[]%.1", min_size=3, max_size=12))
def test_no_password_is_taken_for_a_place(password: str) -> None:
    told = describe(f"postgresql://u:X{password}X@db.example.com:5432/tracking")
    assert told in (UNTOLD, "tracking on db.example.com")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://u:p@db.example.com:5432/tracking", "tracking on db.example.com"),
        (
            "postgres://u:p#a?b:c@db.example.com/tracking?sslmode=require",
            "tracking on db.example.com",
        ),
        ("postgresql://u@localhost", "postgres on localhost"),
        ("postgresql://u:p@[::1]:5432/d", "d on [::1]"),
        ("postgresql://localhost/d", "d on localhost"),
        ("postgresql:///d", "d on the local socket"),
        ("postgresql://opuser:123/d", UNTOLD),
        ("host=h password=p", UNTOLD),
    ],
)
def test_a_plain_address_is_told(url: str, told: str) -> None:
    assert describe(url) == told


def test_a_connection_says_where_it_leads(server: TestServer) -> None:
    with psycopg.connect(server.url("postgres")) as connection:
        assert describe_connection(connection).startswith("postgres on ")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://u:p@127.0.0.1:1/d", "connection refused on that port"),
        ("postgresql://u:p@127.0.0.1:1/d?pgbouncer=true", "does not know the parameter pgbouncer"),
        ("postgresql://u:p%ss@127.0.0.1:1/d", "a percent sign is not encoded"),
        ("postgresql://u:S3cr/etTail@127.0.0.1:1/d", "in a password"),
        ("postgresql://u:p@db.example.invalid/d", "the host is not known"),
        ("postgresql://u:p@127.0.0.1:1/d?sslmode=nonsense", "impossible value"),
    ],
)
def test_why_there_is_no_connection_is_told_in_one_line(url: str, why: str) -> None:
    with pytest.raises(DatabaseError) as caught, connect(url, setting="DAGSTER_POSTGRES_URL"):
        pass
    assert why in str(caught.value)
    assert "check DAGSTER_POSTGRES_URL" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "S3cr" not in str(caught.value)
    assert "etTail" not in str(caught.value)


def test_words_that_are_not_known_are_not_repeated() -> None:
    assert (
        unreachable_because(psycopg.OperationalError('role "opuser" did something'))
        == "no connection"
    )


async def prepared_statements(url: str) -> list[str]:
    async with connection_pool(url, size=1) as pool, pool.connection() as connection:
        for number in range(5):
            await connection.execute("select %s::integer", (number,))
        cursor = await connection.execute("select statement from pg_prepared_statements")
        return [row[0] for row in await cursor.fetchall()]


def test_a_pool_prepares_what_it_asks_often(server: TestServer) -> None:
    assert asyncio.run(prepared_statements(server.url("postgres"))) == ["select $1::integer"]


def test_behind_a_pooler_nothing_is_prepared(server: TestServer) -> None:
    with transaction_pooler(server.url("postgres")) as pooler:
        assert asyncio.run(prepared_statements(pooler.url)) == []
        assert pooler.left_behind() == []
