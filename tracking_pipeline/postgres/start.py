"""How the server gets from nothing, or from a crash, to answering.

Everything here runs under start.lock. All settings are on the command line and none in the data
folder's files: a new release of this package changes them for old folders too.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path

import psutil
import psycopg

from tracking_pipeline.postgres.account import (
    Account,
    blocking_folder,
    choose_account,
    run_as,
)
from tracking_pipeline.postgres.binaries import major_of, reachable_binaries
from tracking_pipeline.postgres.error import EmbeddedPostgresError
from tracking_pipeline.postgres.folder import (
    HOST,
    EmbeddedFolder,
    ServerRecord,
    this_machine,
    write_record,
)
from tracking_pipeline.postgres.initdb import existing_data, make_data, remove_left_overs
from tracking_pipeline.postgres.log import (
    fatal_line,
    log_since,
    open_log,
    shorten_log,
    useful_line,
)
from tracking_pipeline.postgres.process import (
    bare_environment,
    is_alive,
    launch_detached,
    postmaster,
    remove_stale_pid_file,
    says_ready,
    stop_server,
)

_READY_SECONDS = 300
"""Recovery after a crash replays about `max_wal_size` (1 GB) at most: minutes on a slow disk."""
_POLL_SECONDS = 0.03
_TRIES = 5

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": HOST,
    # A socket's path may have 107 bytes at most; a home may be deeper. TCP works everywhere.
    "unix_socket_directories": "",
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_destination": "stderr",
    # Rows carry personal data, and statements and error details carry rows. The client gets its
    # errors whole; the log gets what the server itself does (LOG ranks above ERROR here).
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class _Answer(Enum):
    READY = auto()
    NOTHING = auto()
    REFUSED = auto()


def answers(folder: EmbeddedFolder, record: ServerRecord) -> bool:
    """Tells whether the server of this folder serves on the recorded port, by asking it."""
    return _ask(folder, record) is _Answer.READY


def start(
    folder: EmbeddedFolder, binaries: Path, extra_settings: Mapping[str, str]
) -> ServerRecord:
    """Starts the server, makes its data folder first where there is none; gives how to reach it.

    It returns when the server answers, crash recovery included. Raises EmbeddedPostgresError,
    OSError.
    """
    major = major_of(binaries)
    account = choose_account(folder.data)
    if account is not None:
        _refuse_unreachable(folder, account)
        binaries = reachable_binaries(binaries, account, folder)
    remove_left_overs(folder)
    if folder.data.exists():
        record = existing_data(folder, major)
    else:
        record = make_data(folder, binaries, major, account)
    shorten_log(folder.log)
    return _bring_up(folder, record, binaries, account, extra_settings)


def _bring_up(
    folder: EmbeddedFolder,
    record: ServerRecord,
    binaries: Path,
    account: Account | None,
    extra_settings: Mapping[str, str],
) -> ServerRecord:
    """Launches the server until it stays; tries again only where another program was in the way.

    A server that ends without a fatal word was ended from outside: that is tried again too.
    """
    deadline = time.monotonic() + _READY_SECONDS
    log_start = folder.log.stat().st_size
    for _ in range(_TRIES):
        chief = postmaster(folder.data)
        if chief is not None:
            # On its way up (its starter was killed) or on its way down: either is waited for.
            if _wait_until_ready(folder, record, chief, deadline):
                return record
            continue
        stop_server(folder.data)
        remove_stale_pid_file(folder.data)
        record = replace(record, port=_free_port(record.port), machine=this_machine())
        write_record(folder, record)
        log_start = folder.log.stat().st_size
        chief = _launch(folder, binaries, account, record.port, extra_settings)
        if chief is not None and _wait_until_ready(folder, record, chief, deadline):
            return record
        said = log_since(folder.log, log_start)
        if fatal_line(said) and not _may_try_again(folder, said):
            break
    raise EmbeddedPostgresError(
        f"the embedded PostgreSQL on {folder.data} did not start: "
        f"{useful_line(log_since(folder.log, log_start))} (more in {folder.log})"
    )


def _may_try_again(folder: EmbeddedFolder, said: str) -> bool:
    """Tells whether another program was quicker: to the port, or to this data folder."""
    return "Address already in use" in said or postmaster(folder.data) is not None


def _refuse_unreachable(folder: EmbeddedFolder, account: Account) -> None:
    blocked = blocking_folder(account, folder.root)
    if blocked is not None:
        raise EmbeddedPostgresError(
            f"the account {account.name}, which the embedded PostgreSQL runs as because you are "
            f"root, cannot enter {blocked}: set TRACKING_HOME to a folder that it can reach, "
            "for example one under /var/lib"
        )


def _ask(folder: EmbeddedFolder, record: ServerRecord) -> _Answer:
    """Connects and compares the data folder: a port, like a pid, may have become a stranger's."""
    try:
        # SQL_ASCII: the folder's name comes as the bytes it is, in whatever encoding.
        with psycopg.connect(
            record.url("postgres"), client_encoding="sql_ascii", connect_timeout=5
        ) as connection:
            row = connection.execute("SELECT current_setting('data_directory')").fetchone()
    except psycopg.OperationalError as error:
        # libpq gives no SQLSTATE for a refused connection; the server's messages are in English.
        text = str(error)
        if "too many clients" in text or "connection slots are reserved" in text:
            return _Answer.READY if postmaster(folder.data) else _Answer.NOTHING
        return _Answer.REFUSED if "password authentication failed" in text else _Answer.NOTHING
    try:
        ours = row is not None and os.path.samefile(row[0], folder.data)
    except OSError:
        ours = False
    return _Answer.READY if ours else _Answer.REFUSED


def _launch(
    folder: EmbeddedFolder,
    binaries: Path,
    account: Account | None,
    port: int,
    extra_settings: Mapping[str, str],
) -> psutil.Process | None:
    settings = {**_SETTINGS, "port": str(port), **extra_settings}
    log = open_log(folder.log)
    try:
        return launch_detached(
            [
                binaries / "postgres",
                *("-D", folder.data),
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            ],
            bare_environment(),
            # Already here and not only from its own chdir on: it can be told for the server's.
            folder.data,
            log,
            run_as(account),
        )
    finally:
        os.close(log)


def _wait_until_ready(
    folder: EmbeddedFolder, record: ServerRecord, chief: psutil.Process, deadline: float
) -> bool:
    """Gives True when the server answers, False when it ended; raises when neither comes."""
    while True:
        if not is_alive(chief):
            return False
        if says_ready(folder.data, chief):
            answer = _ask(folder, record)
            if answer is _Answer.READY:
                return True
            if answer is _Answer.REFUSED:
                raise EmbeddedPostgresError(
                    f"the PostgreSQL on {folder.data} refuses the password in "
                    f"{folder.record_file}: put the right file back"
                )
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"the PostgreSQL on {folder.data} did not answer within {_READY_SECONDS} s "
                f"(see {folder.log}): wait for its recovery to end, then start again"
            )
        time.sleep(_POLL_SECONDS)


def _free_port(preferred: int) -> int:
    """Gives the port of the last time if it is free, so that URLs in use come alive again."""
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise EmbeddedPostgresError(f"no port is free on {HOST}: end some programs, then start again")
