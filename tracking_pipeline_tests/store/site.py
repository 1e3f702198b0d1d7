"""A site's database for tests of the schema: empty or long in use, with or without Supabase.

The role that owns its tables is never a superuser, as on Supabase. Roles belong to a server, so a
test module has servers of its own, and a Supabase site takes its roles along when it goes. Tests
that begin with the same site each get a copy of one.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg

from tracking_pipeline_tests.servers import TestServer, start_server

OWNER = "site_owner"
PASSWORD = "only-for-tests"
TABLES = ("leads", "wm_event_log", "tracking_failed_events", "tracking_health_alerts")
"""The tables that an existing installation has."""

_FILES = Path(__file__).parent


@dataclass(frozen=True)
class Site:
    """One database and the addresses it has for different roles."""

    superuser_url: str

    @property
    def url(self) -> str:
        """The address for the owner of the tables."""
        return self.url_for(OWNER)

    def url_for(self, role: str) -> str:
        """The address for a login role that was made with `PASSWORD`."""
        parts = urlsplit(self.superuser_url)
        return parts._replace(
            netloc=f"{quote(role)}:{PASSWORD}@{parts.hostname}:{parts.port}"
        ).geturl()

    def run(self, statements: str, *, superuser: bool = False) -> list[tuple[Any, ...]]:
        """Run statements as the owner, or as a superuser; give the rows of the last, if any."""
        url = self.superuser_url if superuser else self.url
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statements.encode())
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def run_file(self, name: str, *, superuser: bool = False) -> None:
        """Run one of the SQL files beside this one."""
        self.run((_FILES / name).read_text(encoding="utf-8"), superuser=superuser)


@contextmanager
def site_server(bin_folder: Path, folder: Path) -> Iterator[TestServer]:
    """Give a running server that knows the owner's role."""
    server = start_server(bin_folder, folder)
    try:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(f"create role {OWNER} login password '{PASSWORD}'".encode())
        yield server
    finally:
        server.stop()


@contextmanager
def copy_of(original: Site, server: TestServer) -> Iterator[Site]:
    """Give a copy of a site of this server, to which nobody is connected; drop it afterwards."""
    with _database(server, template=urlsplit(original.superuser_url).path.lstrip("/")) as site:
        yield site


@contextmanager
def new_site(server: TestServer, *, supabase: bool = False, in_use: bool = False) -> Iterator[Site]:
    """Give a database of its own to one test; drop it, and Supabase's roles, afterwards."""
    try:
        with _database(server) as site:
            if supabase:
                site.run_file("supabase_roles.sql", superuser=True)
            if in_use:
                site.run_file("existing_installation.sql")
            yield site
    finally:
        if supabase:
            Site(server.url("postgres")).run(
                "drop role anon, authenticated, service_role", superuser=True
            )


@contextmanager
def _database(server: TestServer, template: str | None = None) -> Iterator[Site]:
    """Give a database of the owner's; drop it afterwards."""
    name = f"site_{uuid.uuid4().hex}"
    url = server.create_database(name, template, OWNER)
    try:
        yield Site(url)
    finally:
        server.drop_database(name)


@contextmanager
def login_role(site: Site, role: str) -> Iterator[str]:
    """Give a login role without any right of its own; take it away with what it was given."""
    quoted = '"' + role.replace('"', '""') + '"'
    site.run(f"create role {quoted} login password '{PASSWORD}'", superuser=True)
    try:
        yield role
    finally:
        site.run(f"drop owned by {quoted}; drop role {quoted}", superuser=True)
