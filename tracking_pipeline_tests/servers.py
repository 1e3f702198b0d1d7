"""PostgreSQL servers for tests: one of each major version that this machine has.

They are the embedded server without its care for the disk. A test run that is killed leaves none
behind, and processes that name the same folder (the workers of xdist) share one.
"""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from pathlib import Path

import psycopg
from psycopg import sql

from tracking_pipeline.postgres.binaries import wheel_binaries
from tracking_pipeline.postgres.process import blocking_folder, choose_account
from tracking_pipeline.postgres.server import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
    hold_with,
)

_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # Red Hat
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


def find_server_binaries() -> dict[int, Path]:
    """Give the bin folder of each major version found here: the wheel's, and the system's."""
    found: dict[int, Path] = {}
    for pattern in _SYSTEM_FOLDERS:
        for folder in Path("/").glob(pattern.lstrip("/")):
            major = re.search(r"(\d+)(?=/bin$)", str(folder))
            if major is not None and (folder / "initdb").exists():
                found[int(major.group(1))] = folder
    for wheel_major in (16, 18):
        found[wheel_major] = wheel_binaries(wheel_major)
    return dict(sorted(found.items()))


def reachable_folder() -> Path:
    """Make a temporary folder that an unprivileged server can reach.

    As root, pytest's `tmp_path` is closed to every other account. The folder is removed at the end
    of the process, after the servers in it that were started later have been left.
    """
    folder = Path(tempfile.mkdtemp(prefix="tracking-test-"))
    folder.chmod(0o711)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class TestServer:
    """A running server; made by `start_server`, ended by `stop` or at the end of the process."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    def __init__(self, server: EmbeddedPostgres, own_folder: Path | None) -> None:
        self._server = server
        self._own_folder = own_folder
        # One for all databases: to open it costs about what a database does.
        self._session = self._connect()
        if self._session.info.server_version >= 160_000:
            self._quicken_logins()

    def url(self, database: str) -> str:
        """Give the URL of a database; the role is a superuser."""
        return self._server.url(database)

    def create_database(
        self, name: str, template: str | None = None, owner: str | None = None
    ) -> str:
        """Create a database, as a copy of `template` if one is named, and give its URL.

        Raises psycopg.errors.DuplicateDatabase when there is one of that name.
        """
        # By files is twice as quick as by the log, which is PostgreSQL 15's new default.
        by_files = "STRATEGY FILE_COPY" if self._session.info.server_version >= 150_000 else ""
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} {} {}").format(
                sql.Identifier(name),
                sql.Identifier(template or "template1"),
                sql.SQL("OWNER {}").format(sql.Identifier(owner)) if owner else sql.SQL(""),
                sql.SQL(by_files),
            )
        )
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self.url("postgres"), autocommit=True)

    def _execute(self, statement: sql.Composed) -> None:
        try:
            self._session.execute(statement)
        except psycopg.OperationalError:
            if not self._session.broken:
                raise
            # A test has killed the server since; it is up again.
            self._session = self._connect()
            self._session.execute(statement)

    def _quicken_logins(self) -> None:
        """Have passwords hashed once and not 4,096 times: half of what a login costs a client."""
        self._session.execute("set scram_iterations = 1")
        self._session.execute("alter role all set scram_iterations = 1")
        self._session.execute(
            sql.SQL("alter role current_user password {}").format(self._session.info.password)
        )

    def stop(self) -> None:
        """Leave the server; it stops when nobody else uses its folder. Again: does nothing."""
        self._session.close()
        self._server.release()
        if self._own_folder is not None:
            shutil.rmtree(self._own_folder, ignore_errors=True)


def start_server(bin_folder: Path, folder: Path) -> TestServer:
    """Start the PostgreSQL of a bin folder with its files under `folder`, or join it if it runs.

    As root, when the server's account cannot reach `folder`, the files go to a temporary folder
    instead, which `stop` removes; such a server is not shared. Raises EmbeddedPostgresError.
    """
    account = choose_account(folder / "postgres" / "data")
    folder.mkdir(parents=True, exist_ok=True)
    if account is None or blocking_folder(account, folder) is None:
        return TestServer(hold_with(folder, bin_folder, _NOT_DURABLE), None)
    own = reachable_folder()
    try:
        return TestServer(hold_with(own, bin_folder, _NOT_DURABLE), own)
    except EmbeddedPostgresError:
        shutil.rmtree(own, ignore_errors=True)
        raise
