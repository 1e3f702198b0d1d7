"""What all tests share: one PostgreSQL a worker, and a migrated database for each test."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.migrate import migrate
from tracking_pipeline_tests.delivery.failed_event_queue import Queue
from tracking_pipeline_tests.servers import (
    TestServer,
    find_server_binaries,
    reachable_folder,
    start_server,
)

# No test is red because the machine is busy.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# A database is hundreds of files, and each test has one: in memory they cost a fifth. (A disk file
# system may search long for an inode that was not freed just now.)
_MEMORY = Path("/dev/shm")
if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 6 << 30:
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)

# Who imports one of these calls the command as its users do, in processes of its own.
_OF_THE_COMMAND = {"COMMAND", "running_dev"}
_POSTGRESQL_FIXTURES = {"server", "sites", "home"}

_OURS = (
    "TRACKING_",
    "META_",
    "GOOGLE_",
    "GTM_",
    "DAGSTER_",
    "GEO_",
    "IP_",
    "IPINFO_",
    "ALERT_",
    "REPLAY_",
    "ADMIN_",
    "SUPABASE_",
    "INTAKE_",
    "CORS_",
    "TRUSTED_",
    "LOG_EVENT_",
    "LEAD_VALUE",
    "MAX_BODY_",
)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Each test is of one level, by what it uses: ``unit`` needs no PostgreSQL, ``integration``
    does, ``acceptance`` calls the whole command."""
    assert isinstance(item, pytest.Function)
    if _OF_THE_COMMAND & vars(item.module).keys():
        level = "acceptance"
    elif _POSTGRESQL_FIXTURES & {*item.fixturenames} or item.path.parent.name == "postgres":
        level = "integration"
    else:
        level = "unit"
    item.add_marker(level)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, so that no worker ends alone with one of them."""
    items.sort(key=lambda item: item.get_closest_marker("acceptance") is None)


def pytest_collection_finish() -> None:
    """Fifteen thousand tests are no garbage, and need not be looked through again for it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine reaches a test, nor does a ``.env`` of the checkout."""
    monkeypatch.setattr("tracking_pipeline.settings.ENV_FILE", ".env-of-the-tests")
    for name in list(os.environ):
        if name.startswith(_OURS):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def server() -> Iterator[TestServer]:
    """The wheel's newest PostgreSQL, without its care for the disk."""
    binaries = find_server_binaries()
    running = start_server(binaries[max(binaries)], reachable_folder())
    yield running
    running.stop()


@pytest.fixture(scope="session")
def migrated_template(server: TestServer) -> str:
    name = f"template_{uuid4().hex}"
    migrate(server.create_database(name))
    return name


@pytest.fixture
def database_url(server: TestServer, migrated_template: str) -> Iterator[str]:
    """A fresh database with our tables, dropped after the test."""
    name = f"test_{uuid4().hex}"
    yield server.create_database(name, template=migrated_template)
    server.drop_database(name)


@pytest.fixture
def storage_url(server: TestServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty database for Dagster's storage, which is set, and dropped after the test."""
    name = f"dagster_{uuid4().hex}"
    url = server.create_database(name)
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    yield url
    server.drop_database(name)


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as opened:
        yield opened


@pytest.fixture
def queue(connection: psycopg.Connection) -> Queue:
    """The failed and the accepted events of the test's database."""
    return Queue(connection)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running
