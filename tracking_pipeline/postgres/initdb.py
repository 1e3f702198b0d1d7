"""How a data folder is made, and whether one that is there can be served."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tracking_pipeline.postgres.account import Account, run_as
from tracking_pipeline.postgres.error import EmbeddedPostgresError
from tracking_pipeline.postgres.folder import (
    SUPERUSER,
    EmbeddedFolder,
    ServerRecord,
    open_own_file,
    read_record,
    sync_folder,
    this_machine,
    write_record,
)
from tracking_pipeline.postgres.log import useful_line
from tracking_pipeline.postgres.process import bare_environment

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
