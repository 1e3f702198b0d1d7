"""Which processes are the embedded server, how it is launched, and how it is stopped.

A pid proves nothing: after a crash or a restart of the machine the one in `postmaster.pid` may be
a stranger's. A process is taken for the server's only when it runs a program `postgres` and works
in the data folder, as the postmaster and all its children do. Nothing else is ever signalled.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import psutil
from psycopg.pq import PGconn, Ping

from tracking_pipeline.postgres.folder import EmbeddedPostgresError

# Which account the embedded server runs as, and what that account can reach.
#
# PostgreSQL refuses to run as root. As a plain user the server simply is that user's. As root it
# takes an account that exists; none is created, and no folder of anybody else is opened up for it.

_CANDIDATES = ("postgres", "nobody")


class RunAs(TypedDict, total=False):
    """The part of `subprocess.Popen`'s arguments that changes the user; empty to stay."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """An unprivileged account that root runs the server as."""

    name: str
    uid: int
    gid: int


def choose_account(data: Path) -> Account | None:
    """Gives the account for the server on this data folder; None: the present user, not root.

    An existing data folder decides by its owner: PostgreSQL serves nobody else's. Else `postgres`,
    which machines with a PostgreSQL have, else `nobody`. Raises EmbeddedPostgresError.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        try:
            name = pwd.getpwuid(owner.st_uid).pw_name
        except KeyError:
            name = f"uid {owner.st_uid}"
        return Account(name, owner.st_uid, owner.st_gid)
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedPostgresError(
        "PostgreSQL does not run as root and there is no account `postgres` or `nobody`: "
        "run as another user, or set TRACKING_DATABASE_URL"
    )


def run_as(account: Account | None) -> RunAs:
    """Gives the arguments with which a child process becomes that account and nothing more."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def blocking_folder(account: Account, folder: Path) -> Path | None:
    """Gives the first folder on the way to `folder` that the account cannot enter, or None.

    It is tried as that account and not read off the mode bits: access lists, read-only mounts and
    security modules have their say too. Raises EmbeddedPostgresError.
    """
    way = [*reversed(folder.parents), folder]
    script = 'n=0; for f; do cd "$f" 2>/dev/null || { echo $n; exit; }; n=$((n+1)); done'
    try:
        answer = subprocess.run(  # noqa: S603  # fixed script, paths as arguments
            ["/bin/sh", "-c", script, "sh", *map(str, way)],
            cwd="/",
            env={},
            stdout=subprocess.PIPE,
            check=True,
            **run_as(account),
        ).stdout.strip()
    except OSError as error:  # a container may give root without the right to change users
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root, and root cannot become {account.name} here "
            f"({error.strerror}): run as another user, or set TRACKING_DATABASE_URL"
        ) from error
    return way[int(answer)] if answer else None


def can_run(account: Account, program: Path) -> bool:
    """Tries as that account whether the program starts (`--version`), its libraries included."""
    try:
        return (
            subprocess.run(  # noqa: S603  # a PostgreSQL binary
                [program, "--version"],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
                **run_as(account),
            ).returncode
            == 0
        )
    except PermissionError:
        return False


_FAST_STOP_SECONDS = 60
"""A fast stop writes one checkpoint. Past this the server is told to drop everything: it is as
safe as a power cut, and the next start replays the log."""
_HARD_STOP_SECONDS = 10
_POLL_SECONDS = 0.02

# Of postmaster.pid: https://www.postgresql.org/docs/current/storage-file-layout.html
_PORT_LINE = 4

_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")


def bare_environment() -> dict[str, str]:
    """Gives the environment for server processes: what a program needs to run, in English.

    Tokens and PG* variables of the caller do not get there, and messages can be recognised.
    """
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**kept, "LC_ALL": "C"}


def launch_detached(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    working_folder: Path,
    output: int,
    account: RunAs,
) -> psutil.Process | None:
    """Starts a process that outlives this one and is not its child; None when it ended at once.

    It gets a session of its own (a Ctrl-C in the terminal does not reach it) and no open file but
    `output`, a descriptor, for both its outputs. It is an orphan from the start, so that its end
    never leaves a zombie with us, and `sh` does the forking: forking a Python process that has
    threads is not safe. Raises OSError.
    """
    with subprocess.Popen(  # noqa: S603  # fixed script, the command as arguments
        ["/bin/sh", "-c", '"$@" >&2 & echo $!', "sh", *map(str, command)],
        cwd=working_folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=output,
        start_new_session=True,
        umask=0o077,
        **account,
    ) as shell:
        pid = int(shell.communicate()[0])
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def is_alive(process: psutil.Process) -> bool:
    """Tells whether it still runs; a zombie does not, nor does a new process with its old pid."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def server_processes(data: Path) -> list[psutil.Process]:
    """Gives every live process of a server on this data folder, orphaned backends included."""
    # Not psutil.process_iter: it remembers a process, and what it ran before it became `postgres`.
    found = []
    for pid in psutil.pids():
        with suppress(psutil.Error):  # gone, a zombie, or of another user and so not ours
            process = psutil.Process(pid)
            if os.path.basename(process.exe()) == "postgres" and _is_in(process, data):
                found.append(process)
    return found


def postmaster(data: Path) -> psutil.Process | None:
    """Gives the verified postmaster of this data folder, or None when it has none."""
    pid = pid_on_file(data)
    return next((found for found in server_processes(data) if found.pid == pid), None)


def says_ready(data: Path, chief: psutil.Process) -> bool:
    """Tells whether that postmaster has written that it takes connections.

    It does so in `postmaster.pid`, as pg_ctl reads it. Knocking instead would fill the log.
    """
    lines = [line.strip() for line in _pid_file(data)]
    return lines[:1] == [str(chief.pid)] and lines[-1] == "ready"


def pid_on_file(data: Path) -> int | None:
    """Gives the pid in `postmaster.pid`, perhaps a stranger's; None without a whole file."""
    lines = _pid_file(data)
    return int(lines[0]) if lines and lines[0].isdecimal() else None


def stop_server(data: Path) -> None:
    """Stops whatever serves this data folder, and returns when it is gone.

    Call it under start.lock. Backends whose postmaster was killed are ended too: while one lives,
    no new server may touch the folder. Raises EmbeddedPostgresError when a process will not go.
    """
    chief = postmaster(data)
    if chief is not None:
        _stop_fast(data, chief)
    if remaining := server_processes(data):
        _signal(remaining, signal.SIGQUIT)
        remaining = _wait_gone(remaining, _HARD_STOP_SECONDS)
    if remaining:
        raise EmbeddedPostgresError(
            f"process {remaining[0].pid} of the PostgreSQL on {data} does not stop: "
            "end it by hand, then start again"
        )


def remove_stale_pid_file(data: Path) -> None:
    """Removes a `postmaster.pid` whose pid is now a stranger's; call it when no server runs here.

    PostgreSQL clears the file itself when the pid is nobody's, after checks that are better than
    ours, so those cases are left to it.
    """
    pid = pid_on_file(data)
    if pid is not None and psutil.pid_exists(pid) and not server_processes(data):
        (data / "postmaster.pid").unlink(missing_ok=True)


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _is_in(process: psutil.Process, data: Path) -> bool:
    try:
        return os.path.samefile(process.cwd(), data)
    except OSError:
        return False


def _stop_fast(data: Path, chief: psutil.Process) -> None:
    """Asks the postmaster to stop, and waits while it is worth it.

    In crash recovery it is not: 18.4 then takes note of the request and never ends, and a hard
    stop loses nothing, as nobody has written since the crash. Its process may be there for
    milliseconds only, or not yet, so the server itself is asked.
    """
    deadline = time.monotonic() + _FAST_STOP_SECONDS
    if _turns_clients_away(data):
        return
    _signal([chief], signal.SIGINT)
    while is_alive(chief) and not _is_in_recovery(data) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _turns_clients_away(data: Path) -> bool:
    """Tells whether the server says that it takes no connections yet, as in crash recovery."""
    lines = _pid_file(data)
    if len(lines) < _PORT_LINE:
        return False
    address = f"host=127.0.0.1 port={lines[_PORT_LINE - 1].strip()} connect_timeout=2"
    return PGconn.ping(address.encode()) == Ping.REJECT


def _is_in_recovery(data: Path) -> bool:
    """Tells whether the server has a startup process, by the title that PostgreSQL gives it."""
    for process in server_processes(data):
        with suppress(psutil.Error):
            if " ".join(process.cmdline()).startswith("postgres: startup"):
                return True
    return False


def _signal(processes: Sequence[psutil.Process], number: int) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # psutil checks that the pid is still the same process
            process.send_signal(number)


def _wait_gone(processes: Sequence[psutil.Process], timeout_seconds: float) -> list[psutil.Process]:
    deadline = time.monotonic() + timeout_seconds
    while remaining := [process for process in processes if is_alive(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_SECONDS)
    return remaining
