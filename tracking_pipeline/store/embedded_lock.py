"""flock(2) on the lock files of the embedded server.

A lock lives as long as its file is open and the kernel drops it when the process dies, however it
dies. It is left by closing, never by LOCK_UN: a forked child shares the open file, and unlocking
there would take the lock away from its parent.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from tracking_pipeline.store.embedded_folder import open_own_file


class FileLock:
    """One lock that is held; `close()` leaves it, once or more often."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def close(self) -> None:
        """Leave the lock; a child forked meanwhile keeps it until that child ends."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_exclusive(path: Path, *, create: bool = True) -> FileLock:
    """Wait until nobody else holds the lock, and hold it alone. A signal handler may interrupt.

    Raises OSError, FileNotFoundError among them when `create` is false and there is no file.
    """
    return _locked(path, fcntl.LOCK_EX, create)


def wait_shared(path: Path) -> FileLock:
    """Wait until nobody holds the lock alone, and hold it with others. Raises OSError."""
    return _locked(path, fcntl.LOCK_SH, create=True)


def try_exclusive(path: Path) -> FileLock | None:
    """Hold the lock alone, or give None at once when somebody holds it. Raises OSError."""
    try:
        return _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB, create=True)
    except BlockingIOError:
        return None


def _locked(path: Path, operation: int, create: bool) -> FileLock:
    descriptor = open_own_file(path, os.O_RDWR | (os.O_CREAT if create else 0))
    try:
        fcntl.flock(descriptor, operation)
    except BaseException:
        os.close(descriptor)
        raise
    return FileLock(descriptor)
