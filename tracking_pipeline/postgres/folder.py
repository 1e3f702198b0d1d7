"""Where the parts of the embedded server lie under TRACKING_HOME, and what is on record of it.

    home/postgres/
      data/          the data folder; its owner is the account that the server runs as
      server.json    port, password, major version, machine; mode 0600
      server.log     what the server and its keeper print; never a statement (start.py)
      *.lock         see the protocol in server.py
      binaries-*/    a copy of the binaries, made only where the server's account cannot reach them

As root the folder itself belongs to root and the account may only pass through it, so nothing in
it is followed or written on that account's word. Files take the owner of the folder: when root
works in a folder of a plain user, that user is not locked out afterwards.
"""

from __future__ import annotations

import json
import os
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from tracking_pipeline.errors import ExplainedError

HOST = "127.0.0.1"
SUPERUSER = "postgres"

_PASSABLE = 0o711
_PRIVATE = 0o700


@dataclass(frozen=True)
class EmbeddedFolder:
    """The paths of one embedded server; makes no file by itself."""

    root: Path

    @classmethod
    def under(cls, home: Path) -> EmbeddedFolder:
        """Gives the folder of the server of this TRACKING_HOME (links resolved, made absolute)."""
        return cls(Path(os.path.realpath(home)) / "postgres")

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def record_file(self) -> Path:
        return self.root / "server.json"

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    @property
    def start_lock(self) -> Path:
        return self.root / "start.lock"

    @property
    def users_lock(self) -> Path:
        return self.root / "users.lock"

    @property
    def bell_lock(self) -> Path:
        return self.root / "bell.lock"

    @property
    def keeper_lock(self) -> Path:
        return self.root / "keeper.lock"

    def create(self) -> None:
        """Makes the folder and those above it that are missing; changes none that was there.

        As root, what is made here can be passed by other accounts whatever the umask says: the
        server's account has to get through. Raises OSError.
        """
        as_root = os.geteuid() == 0
        missing = [path for path in (self.root, *self.root.parents) if not path.exists()]
        for path in reversed(missing):
            try:
                path.mkdir()
            except FileExistsError:  # another process made it first
                if not path.is_dir():
                    raise
                continue
            if path == self.root:
                path.chmod(_PASSABLE if as_root else _PRIVATE)
            elif as_root:
                path.chmod(path.stat().st_mode | _PASSABLE)


def open_own_file(path: Path, flags: int) -> int:
    """Opens a file of the folder, readable by its owner alone; gives a descriptor.

    A link is refused (`O_NOFOLLOW`): root must not write where another account points it.
    Raises OSError.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


@dataclass(frozen=True)
class ServerRecord:
    """`server.json`: what a process must know to reach the server.

    machine: where it was last started, as `this_machine()` tells it.
    """

    port: int
    password: str
    major: int
    machine: str

    def url(self, database: str) -> str:
        """Gives the URL of a database of this server.

        `sslmode` is set because a PGSSLMODE meant for another server would shut us out of this one.
        """
        return (
            f"postgresql://{SUPERUSER}:{self.password}@{HOST}:{self.port}/"
            f"{quote(database, safe='')}?sslmode=disable"
        )

    def __repr__(self) -> str:
        """Leaves the password out: a repr ends up in logs."""
        return f"ServerRecord(port={self.port}, major={self.major}, machine={self.machine!r})"


def read_record(folder: EmbeddedFolder) -> ServerRecord | None:
    """Gives what `server.json` says, or None where there is no such file or it cannot be parsed.

    Raises OSError when it is there and may not be read.
    """
    try:
        fields = json.loads(folder.record_file.read_text())
        return ServerRecord(
            port=int(fields["port"]),
            password=str(fields["password"]),
            major=int(fields["major"]),
            machine=str(fields["machine"]),
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def write_record(folder: EmbeddedFolder, record: ServerRecord) -> None:
    """Replaces `server.json` in one step, on the disk before this returns.

    The password is nowhere else, so no crash may leave half a file. Raises OSError.
    """
    draft = folder.root / "server.json.new"
    draft.unlink(missing_ok=True)
    with open(
        open_own_file(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w", encoding="utf-8"
    ) as file:
        json.dump(asdict(record), file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder.record_file)
    sync_folder(folder.root)


def sync_folder(path: Path) -> None:
    """Puts the names in a folder on the disk (fsync(2): a rename is only safe after this)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def this_machine() -> str:
    """Names the world whose processes this process can see: the boot and its PID namespace.

    Two containers on one volume differ here: neither sees the other's server, and PostgreSQL's
    own interlocks (a pid and a shared memory segment) are as blind.
    """
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return platform.node()


class EmbeddedPostgresError(ExplainedError):
    """The embedded PostgreSQL cannot be used; one line that names the thing and the remedy.

    It never carries the server's password or a statement.
    """


# server.log: what the embedded server and its keeper print, and which line of it matters.

_KEPT_BYTES = 10_000_000
_LINE_CHARACTERS = 300
_FATAL = ("FATAL:", "PANIC:", "error:")
_TO_CLIENTS = ("the database system is", "terminating connection")
"""Fatal for one connection, like that of a user who calls too early, and not for the server."""


def open_log(log: Path) -> int:
    """Opens the log to append to it; gives a descriptor. Raises OSError."""
    return open_own_file(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def shorten_log(log: Path) -> None:
    """Begins a log anew that grew too long."""
    descriptor = open_log(log)
    try:
        if os.fstat(descriptor).st_size > _KEPT_BYTES:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def log_since(log: Path, offset: int) -> str:
    """Gives what was written from that offset on."""
    with log.open("rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace")


def fatal_line(text: str) -> str | None:
    """Gives the last line in which the server says what it cannot go on with, or None."""
    fatal = [
        line
        for line in _lines(text)
        if any(mark in line for mark in _FATAL) and not any(mark in line for mark in _TO_CLIENTS)
    ]
    return fatal[-1] if fatal else None


def useful_line(text: str) -> str:
    """Picks the line that says what went wrong: the last fatal one, else the last one."""
    return fatal_line(text) or (_lines(text) or ["it said nothing"])[-1]


def _lines(text: str) -> list[str]:
    return [line.strip()[:_LINE_CHARACTERS] for line in text.splitlines() if line.strip()]
