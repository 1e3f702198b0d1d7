"""How the server gets from nothing, or from a crash, to answering.

Everything here runs under start.lock. All settings are on the command line and none in the data
folder's files: a new release of this package changes them for old folders too.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path

import psutil
import psycopg

from tracking_pipeline.postgres.binaries import major_of, reachable_binaries
from tracking_pipeline.postgres.folder import (
    HOST,
    SUPERUSER,
    EmbeddedFolder,
    EmbeddedPostgresError,
    ServerRecord,
    fatal_line,
    log_since,
    open_log,
    open_own_file,
    read_record,
    shorten_log,
    sync_folder,
    this_machine,
    useful_line,
    write_record,
)
from tracking_pipeline.postgres.process import (
    Account,
    bare_environment,
    blocking_folder,
    choose_account,
    is_alive,
    launch_detached,
    postmaster,
    remove_stale_pid_file,
    run_as,
    says_ready,
    stop_server,
)

# How a data folder is made, and whether one that is there can be served.

_WORKSHOP = "initdb-"
_FIRST_MAJOR_WITH_BUILTIN_LOCALES = 17


def existing_data(folder: EmbeddedFolder, major: int) -> ServerRecord:
    """Gives the record of a data folder that a server of version `major` can serve.

    Raises EmbeddedPostgresError when it cannot; the folder is not touched.
    """
    try:
        found = int((folder.data / "PG_VERSION").read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise EmbeddedPostgresError(
            f"{folder.data} is not a PostgreSQL data folder: move it away, then start again"
        ) from None
    if found != major:
        raise EmbeddedPostgresError(
            f"{folder.data} was made by PostgreSQL {found} and this is PostgreSQL {major}: dump it "
            f"with the binaries of {found} and load it again, or move the folder away, or set "
            "TRACKING_DATABASE_URL to a server that has the data"
        )
    record = read_record(folder)
    if record is None:
        raise EmbeddedPostgresError(
            f"{folder.record_file}, which has the server's password, is missing or damaged: put it "
            f"back, or move {folder.data} away to begin anew"
        )
    return record


def make_data(
    folder: EmbeddedFolder, binaries: Path, major: int, account: Account | None
) -> ServerRecord:
    """Makes the data folder with initdb, owned by the account, and gives its record (no port yet).

    It is made elsewhere and renamed when whole. Each try has a place of its own, because the
    initdb of a starter that was killed may still be writing. Raises EmbeddedPostgresError, OSError.
    """
    workshop = Path(tempfile.mkdtemp(prefix=_WORKSHOP, dir=folder.root))
    record = ServerRecord(
        port=0, password=secrets.token_urlsafe(24), major=major, machine=this_machine()
    )
    try:
        _run_initdb(workshop, binaries, record, account)
        write_record(folder, record)
        (workshop / "data").rename(folder.data)
        sync_folder(folder.root)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    return record


def remove_left_overs(folder: EmbeddedFolder) -> None:
    """Removes what starters left that were killed during `make_data`; call it under start.lock.

    What an initdb that still runs writes again is removed by the next start.
    """
    for left_over in folder.root.glob(f"{_WORKSHOP}*"):
        shutil.rmtree(left_over, ignore_errors=True)


def _run_initdb(
    workshop: Path, binaries: Path, record: ServerRecord, account: Account | None
) -> None:
    data, password_file = workshop / "data", workshop / "password"
    data.mkdir(mode=0o700)
    descriptor = open_own_file(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(record.password)
    if account is not None:
        workshop.chmod(0o711)
        for path in (data, password_file):
            os.chown(path, account.uid, account.gid)
    made = subprocess.run(  # noqa: S603  # a PostgreSQL binary
        [
            binaries / "initdb",
            *("-D", data),
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            *_locale_arguments(record.major),
        ],
        cwd=workshop,
        env=bare_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        umask=0o077,
        check=False,
        **run_as(account),
    )
    if made.returncode != 0:
        reason = useful_line(made.stderr.decode(errors="replace"))
        raise EmbeddedPostgresError(f"initdb could not make a data folder in {workshop}: {reason}")


def _locale_arguments(major: int) -> list[str]:
    """Gives upper and lower case for all scripts, and an order that no system update changes."""
    if major >= _FIRST_MAJOR_WITH_BUILTIN_LOCALES:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--locale=C.UTF-8"] if sys.platform == "linux" else ["--locale=C"]


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
