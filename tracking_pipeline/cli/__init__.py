"""The command line ``tracking-pipeline``. Thin: each verb calls one service and shows what it gave.

Every verb takes ``--json``: one JSON object on standard output, everything else on standard error.
Exit status: 0 done, 1 the work failed, 2 wrong use. One file a family of verbs; ``app.py`` lists
them all.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from tracking_pipeline import OBJECTS_BETWEEN_COLLECTIONS

# What libraries load where they find it, and do without where they do not: Mako's and structlog's
# colours for tracebacks, HTTPX's command line. Pygments, for all of them, is a twentieth of an
# empty retry.
_NOT_LOADED = ("mako.ext.pygmentplugin", "rich.traceback", "httpx._main")


def main() -> NoReturn:
    """The console script. Its imports take a second, in which Ctrl-C says as little as later."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    sys.modules.update(dict.fromkeys(_NOT_LOADED))  # type: ignore[arg-type]
    statuses: list[int] = []
    # Registered first, it is called last: threads have ended, and the embedded server is left.
    atexit.register(_leave, statuses)
    try:
        with loading():
            from tracking_pipeline.cli.entry import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        run()
    except SystemExit as end:
        if isinstance(end.code, int):
            statuses.append(end.code)
        raise


def _leave(statuses: list[int]) -> None:
    """Ends the process where its status is known. The interpreter would look through all objects
    once more and take two thousand modules apart: a tenth of a second, and a quarter after a check.
    """
    if not statuses:
        return
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except (OSError, ValueError):
        return  # the interpreter says so
    os._exit(statuses[0])


@contextmanager
def loading() -> Iterator[None]:
    """For the imports of a verb that runs a job or serves, two thousand modules: they leave no
    garbage, and what they made is never looked through again. A tenth of a job's processor time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
