"""The keeper: a small process that stops the server when its last user died without leaving.

The protocol it is part of is written at the top of `server.py`. It imports nothing heavy, holds no
file but its locks, and ends by itself when the server is no longer used.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tracking_pipeline.postgres.folder import EmbeddedFolder, open_log
from tracking_pipeline.postgres.lock import try_exclusive, wait_exclusive
from tracking_pipeline.postgres.process import bare_environment, stop_server

_logger = logging.getLogger(__name__)
_READY = b"ready"


def ensure_keeper(folder: EmbeddedFolder) -> None:
    """Starts a keeper where none lives; call it under start.lock, holding bell.lock shared.

    Returns when the keeper stands by. Fails open: without a keeper (an embedded interpreter that
    cannot be called, for one) the server serves as well, and only outlives a killed last user.
    """
    lock = try_exclusive(folder.keeper_lock)
    if lock is None:
        return
    lock.close()
    log = open_log(folder.log)
    try:
        # An orphan from the start, as in process.launch_detached; here the pipe is kept
        # by the keeper until it says that it stands by.
        with subprocess.Popen(  # noqa: S603  # fixed script, the command as arguments
            ["/bin/sh", "-c", '"$@" &', "sh", sys.executable, "-m", __name__, str(folder.root)],
            cwd="/",
            env={**bare_environment(), "PYTHONPATH": _where_we_found_our_modules()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        ) as shell:
            stands_by = _READY in shell.communicate()[0]
    finally:
        os.close(log)
    if not stands_by:
        _logger.warning(
            "no keeper could be started for %s (see server.log there): if every process that uses "
            "the server is killed, it runs on until the next one that uses it ends",
            folder.root,
        )


def _where_we_found_our_modules() -> str:
    """Gives a PYTHONPATH for the keeper; not each installation is found without one."""
    return os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])


def keep(folder: EmbeddedFolder) -> None:
    """Waits for the users to go; then, if nobody uses the server, stops it and returns.

    The bell only says when to look. The decision is made under start.lock, like a leaver's, and
    keeper.lock is let go before it: whoever takes start.lock next finds a keeper that stays, or
    none.
    """
    with wait_exclusive(folder.keeper_lock) as being_the_keeper:
        _close_standard_output_after(_READY)
        while True:
            wait_exclusive(folder.bell_lock, create=False).close()
            with wait_exclusive(folder.start_lock, create=False):
                alone = try_exclusive(folder.users_lock)
                if alone is None:
                    continue
                with alone:
                    stop_server(folder.data)
                    being_the_keeper.close()
                    return


def _close_standard_output_after(word: bytes) -> None:
    os.write(sys.stdout.fileno(), word)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    with suppress(FileNotFoundError):  # the whole home was deleted: nothing is left to keep
        keep(EmbeddedFolder(Path(sys.argv[1])))
