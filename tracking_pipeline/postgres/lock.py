"""flock(2) on the lock files of the embedded server.

A lock lives as long as its file is open and the kernel drops it when the process dies, however it
dies. A forked child shares the open file. So a shared lock is left by closing: unlocking in the
child would take it away from its parent. A lock held alone is unlocked: a child that another thread
forked meanwhile would keep it shut for everybody.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from tracking_pipeline.postgres.folder import open_own_file


class FileLock:
    """One lock that is held; `close()` leaves it, once or more often."""

    def __init__(self, descriptor: int, *, shared: bool) -> None:
        self._descriptor: int | None = descriptor
        self._shared = shared

    def close(self) -> None:
        """Leaves the lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            if not self._shared:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_exclusive(path: Path, *, create: bool = True) -> FileLock:
    """Waits until nobody else holds the lock, and holds it alone. A signal handler may interrupt.

    Raises OSError, FileNotFoundError among them when `create` is false and there is no file.
    """
    return _locked(path, fcntl.LOCK_EX, create)


def wait_shared(path: Path) -> FileLock:
    """Waits until nobody holds the lock alone, and holds it with others. Raises OSError."""
    return _locked(path, fcntl.LOCK_SH, create=True)


def try_exclusive(path: Path) -> FileLock | None:
    """Holds the lock alone, or give None at once when somebody holds it. Raises OSError."""
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
    return FileLock(descriptor, shared=operation == fcntl.LOCK_SH)
