"""Which account the embedded server runs as, and what that account can reach.

PostgreSQL refuses to run as root. As a plain user the server simply is that user's. As root it
takes an account that exists; none is created, and no folder of anybody else is opened up for it.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from tracking_pipeline.postgres.error import EmbeddedPostgresError

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
