"""Real rows and rehearsal rows are kept apart for certain."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import psycopg
import pytest

from tracking_pipeline.delivery.destinations.registry import REGISTRY
from tracking_pipeline.delivery.engine.destination import Destination, NotConfigured
from tracking_pipeline.settings import Settings, read_settings
from tracking_pipeline.store.access import AccessError, check_access
from tracking_pipeline.store.database import AsyncPool, DatabaseError, connect
from tracking_pipeline.store.rehearsal import is_rehearsal, mark_rehearsal
from tracking_pipeline.wiring.destinations import preparing_destinations
from tracking_pipeline.wiring.installation import Installation, open_installation
from tracking_pipeline_tests.servers import TestServer, reachable_folder


@pytest.fixture(scope="module")
def home() -> Path:
    return reachable_folder()


@pytest.fixture(autouse=True)
def _embedded(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("TRACKING_HOME", str(home))


@pytest.fixture
def configured_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("META_DATASET_ID", "123")
    monkeypatch.setenv("META_ACCESS_TOKEN", "real-token")
    monkeypatch.setenv("META_GRAPH_URL", "https://graph.facebook.example")


async def _meta_url(installation: Installation) -> str:
    """Where this installation's Meta destination sends to, or why it does not."""
    with installation.destinations() as make:
        async with httpx.AsyncClient() as client:
            pool: AsyncPool = AsyncPool("", open=False)
            meta = _named(list(make(client, pool)), "meta_capi")
            return meta.missing if isinstance(meta, NotConfigured) else meta._url  # type: ignore[attr-defined]


def _named(made: list[Destination | NotConfigured], name: str) -> Destination | NotConfigured:
    return next(each for each in made if each.name == name)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_a_marked_database_is_served_by_the_sandbox_whatever_is_configured(
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
    connection: psycopg.Connection,
    configured_meta: None,
) -> None:
    mark_rehearsal(connection)
    monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
    with open_installation(read_settings()) as installation:
        assert installation.database.rehearsal
        assert (await _meta_url(installation)).startswith("http://127.0.0.1:")


@pytest.mark.parametrize("rehearsal", [True, False])
@pytest.mark.anyio
async def test_each_destination_is_tried_for_as_long_as_its_own_horizon(
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
    connection: psycopg.Connection,
    configured_meta: None,
    rehearsal: bool,
) -> None:
    if rehearsal:
        mark_rehearsal(connection)
    monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
    monkeypatch.setenv("META_RETRY_HORIZON_HOURS", "48")
    monkeypatch.setenv("GTM_RETRY_HORIZON_HOURS", "24")
    with (
        open_installation(read_settings()) as installation,
        installation.destinations() as make,
    ):
        async with httpx.AsyncClient() as client:
            made = list(make(client, AsyncPool("", open=False)))
    for name, hours in (("meta_capi", 48), ("gtm_server", 24), ("supabase", None)):
        each = _named(made, name)
        if not isinstance(each, NotConfigured):
            horizon = None if hours is None else timedelta(hours=hours)
            assert each.limits.retry_horizon == horizon


def test_what_may_have_arrived_goes_again_only_where_a_copy_is_recognised() -> None:
    by_name = {each.name: each for each in preparing_destinations(Settings(), rehearsal=True)}
    again = {
        name: each.limits.unknown_end is None
        for name, each in by_name.items()
        if not isinstance(each, NotConfigured)
    }
    assert again == {spec.name: spec.recognises_copies for spec in REGISTRY}


@pytest.mark.anyio
async def test_an_unmarked_database_is_never_served_by_the_sandbox(
    monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
    with open_installation(read_settings()) as installation:
        assert not installation.database.rehearsal
        assert await _meta_url(installation) == "set META_DATASET_ID and META_ACCESS_TOKEN"
    monkeypatch.setenv("META_DATASET_ID", "123")
    with open_installation(read_settings()) as installation:
        assert await _meta_url(installation) == "set META_ACCESS_TOKEN"


@pytest.mark.anyio
async def test_a_real_database_goes_to_the_configured_destination(
    monkeypatch: pytest.MonkeyPatch, database_url: str, configured_meta: None
) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
    with open_installation(read_settings()) as installation:
        url = await _meta_url(installation)
    assert url == "https://graph.facebook.example/v26.0/123/events"


def test_nothing_configured_is_a_rehearsal_until_real_rows_were_put_in(home: Path) -> None:
    settings = read_settings()
    with open_installation(settings) as installation:
        assert installation.database.rehearsal
    with open_installation(settings, rehearsal=False) as installation:  # as a plain import does
        assert not installation.database.rehearsal
    with open_installation(settings) as installation:
        assert not installation.database.rehearsal
        assert installation.database.label == "the embedded database tracking"
    with open_installation(settings, rehearsal=True) as installation:
        assert installation.database.rehearsal


def test_a_configured_destination_means_the_real_embedded_database(configured_meta: None) -> None:
    with open_installation(read_settings()) as installation:
        assert not installation.database.rehearsal


def test_who_only_reads_the_embedded_database_finds_its_tables_too() -> None:
    with (
        open_installation(read_settings(), rehearsal=True) as installation,
        connect(installation.database.url) as connection,
    ):
        connection.execute("drop schema public cascade")
        connection.execute("create schema public")
    with (
        open_installation(read_settings(), rehearsal=True, creates=False) as installation,
        connect(installation.database.url) as connection,
    ):
        check_access(connection)


def test_insisting_on_a_rehearsal_leaves_the_configured_database_alone(
    monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
    with open_installation(read_settings(), rehearsal=True) as installation:
        assert installation.database.url != database_url
        assert installation.database.rehearsal
    with connect(database_url) as connection:
        assert not is_rehearsal(connection)


def test_a_configured_database_is_not_migrated_unasked(
    monkeypatch: pytest.MonkeyPatch, server: TestServer, empty_database: str
) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", empty_database)
    with (
        pytest.raises(AccessError, match="tracking-pipeline migrate"),
        open_installation(read_settings()),
    ):
        pass
    with connect(empty_database) as connection:
        assert connection.execute("select to_regclass('tracking_failed_events')").fetchone() == (
            None,
        )


def test_a_server_that_is_not_there_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", "postgresql://someone:s3cret@127.0.0.1:1/shop")
    with pytest.raises(DatabaseError) as caught, open_installation(read_settings()):
        pass
    message = str(caught.value)
    assert "shop on 127.0.0.1" in message
    assert "\n" not in message
    assert "s3cret" not in message
    assert "someone" not in message


@pytest.fixture
def empty_database(server: TestServer) -> Iterator[str]:
    url = server.create_database("not_migrated")
    yield url
    server.drop_database("not_migrated")
