"""Which database this process serves, and which destinations serve it.

    TRACKING_DATABASE_URL set            that database, never migrated unasked
    a destination configured             the embedded database "tracking"
    "tracking" was made before           the embedded database "tracking"
    nothing of all that                  the embedded database "tracking_rehearsal"

The rehearsal database carries a mark. A marked database is served by the sandbox and by nothing
else, whatever is configured; an unmarked one never by the sandbox.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from tracking_pipeline.errors import ExplainedError
from tracking_pipeline.postgres.folder import EmbeddedFolder
from tracking_pipeline.postgres.server import EmbeddedPostgres, hold
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.access import AccessError, check_access
from tracking_pipeline.store.database import (
    POOL_ANSWER_SECONDS,
    Database,
    connect,
    describe_connection,
)
from tracking_pipeline.store.rehearsal import is_rehearsal, mark_rehearsal
from tracking_pipeline.wiring.destinations import (
    configured_destinations,
    missing_settings,
    sandbox_destinations,
)

if TYPE_CHECKING:
    from tracking_pipeline.delivery.engine.retry import MakeDestinations
    from tracking_pipeline.geo.enrich import MakeProviders
    from tracking_pipeline.sandbox.server import Sandbox

EMBEDDED_DATABASE = "tracking"
REHEARSAL_DATABASE = "tracking_rehearsal"
DAGSTER_DATABASE = "dagster"


class NothingHereError(ExplainedError):
    """No database is configured, and none was made here yet."""

    def __init__(self) -> None:
        super().__init__(
            "nothing is here yet: set TRACKING_DATABASE_URL and run tracking-pipeline migrate, or"
            " see it work on sample data with tracking-pipeline demo"
        )


@dataclass(frozen=True)
class Installation:
    """A database that is ready to be served, and the settings it is served by."""

    settings: Settings
    database: Database

    def missing_settings(self) -> dict[str, str]:
        """For each destination that is not configured, what to set."""
        return {} if self.database.rehearsal else missing_settings(self.settings)

    @contextmanager
    def destinations(self) -> Iterator[MakeDestinations]:
        """The destinations that serve this database, for the time of the block."""
        if self.database.rehearsal:
            with _sandbox(self.settings) as sandbox:
                yield partial(sandbox_destinations, self.settings, sandbox)
        else:
            yield lambda client, pool: configured_destinations(self.settings, client, pool)

    def missing_geo_settings(self) -> dict[str, str]:
        """For each source of places that is not configured, what to set."""
        from tracking_pipeline.wiring.geo import missing_geo_settings

        return {} if self.database.rehearsal else missing_geo_settings(self.settings)

    def missing_geo_sources(self) -> dict[str, str]:
        """For each source of places that cannot serve, what to do: what is not configured, and a
        file that is not there or not whole."""
        from tracking_pipeline.wiring.geo import missing_geo_file

        file = {} if self.database.rehearsal else missing_geo_file(self.settings)
        return {**self.missing_geo_settings(), **file}

    @contextmanager
    def geo_providers(self) -> Iterator[MakeProviders]:
        """The sources of places that serve this database, for the time of the block."""
        from tracking_pipeline.wiring.geo import configured_providers, sandbox_providers

        today = datetime.now(timezone.utc).date()
        if self.database.rehearsal:
            with _sandbox(self.settings) as sandbox:
                yield partial(sandbox_providers, sandbox, today=today)
        else:
            yield partial(configured_providers, self.settings, today=today)


@contextmanager
def open_installation(
    settings: Settings, *, rehearsal: bool | None = None, creates: bool = True
) -> Iterator[Installation]:
    """The installation that these settings name. ``rehearsal`` True or False insists on the
    embedded rehearsal database, or on a real one; None follows ``TRACKING_REHEARSAL``, then the
    rule above. Who only reads ``creates`` no embedded database.

    Raises :class:`~tracking_pipeline.store.database.DatabaseError`, ``EmbeddedPostgresError``,
    ``MigrationError``, ``AccessError`` or :class:`NothingHereError`, each with one line.
    """
    if rehearsal is None:
        rehearsal = settings.tracking_rehearsal
    if settings.tracking_database_url is not None and not rehearsal:
        url = settings.tracking_database_url.get_secret_value()
        with connect(url, answer_seconds=POOL_ANSWER_SECONDS) as connection:
            check_access(connection)
            marked = is_rehearsal(connection)
            label = describe_connection(connection)
        yield Installation(settings, Database(url, label, marked))
        return
    if not creates and not embedded_is_made(settings.home):
        raise NothingHereError
    with embedded_server(settings.home) as server:
        if rehearsal is None:
            rehearsal = settings.nothing_configured and not server.database_exists(
                EMBEDDED_DATABASE
            )
        name = REHEARSAL_DATABASE if rehearsal else EMBEDDED_DATABASE
        if not creates and not server.database_exists(name):
            raise NothingHereError
        yield Installation(settings, _embedded_database(server, name, written=creates))


def embedded_is_made(home: Path) -> bool:
    """Whether there is an embedded server under this TRACKING_HOME; asks the files alone."""
    return EmbeddedFolder.under(home).root.is_dir()


@contextmanager
def embedded_server(home: Path) -> Iterator[EmbeddedPostgres]:
    """The embedded server, running for the time of the block and as long as this process lives."""
    _keep_running(home)
    # A hold of its own each time: it starts the server again should it have been killed.
    with hold(home) as server:
        yield server


def revive_embedded_server(home: Path) -> None:
    """Starts the embedded server again should it have been killed, where this process uses it: for
    what runs long and opens nothing anew. Raises ``EmbeddedPostgresError``."""
    if _keep_running.cache_info().currsize:
        hold(home).release()


@cache
def _keep_running(home: Path) -> EmbeddedPostgres:
    """Without it, a process that opens its database every few seconds would start and stop the
    server each time."""
    return hold(home)


def _embedded_database(server: EmbeddedPostgres, name: str, *, written: bool) -> Database:
    url = server.ensure_database(name)
    with connect(url) as connection:
        # Only the embedded database is migrated unasked.
        if not (_is_ready(connection) if written else _is_readable(connection)):
            from tracking_pipeline.store.migrate import migrate

            migrate(url)
        if name == REHEARSAL_DATABASE:
            mark_rehearsal(connection)
        return Database(url, f"the embedded database {name}", is_rehearsal(connection))


def _is_ready(connection: psycopg.Connection[Any]) -> bool:
    from tracking_pipeline.store.migrate import is_migrated

    return is_migrated(connection)


def _is_readable(connection: psycopg.Connection[Any]) -> bool:
    """Whether the tables are there. Their indexes, and which words they take, are for those who
    write; to ask for them loads Alembic, which takes as long as a whole ``status``."""
    try:
        check_access(connection)
    except AccessError:
        return False
    return True


@contextmanager
def _sandbox(settings: Settings) -> Iterator[Sandbox]:
    from tracking_pipeline.sandbox.server import Sandbox

    with Sandbox(journal=sandbox_journal(settings.home)) as sandbox:
        yield sandbox


def sandbox_journal(home: Path) -> Path:
    """Where the sandbox of the rehearsal remembers, from one run to the next, what it received."""
    return home / "sandbox" / "received.ndjson"
