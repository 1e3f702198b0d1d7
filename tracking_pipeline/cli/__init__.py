"""The command line ``tracking-pipeline``. Thin: each verb calls one service and shows what it gave.

Every verb takes ``--json``: one JSON object on standard output, everything else on standard error.
Exit status: 0 done, 1 the work failed, 2 wrong use. One file a family of verbs; ``app.py`` lists
them all.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

# Python looks for garbage each 700 objects, which is a quarter of the time that the imports take,
# and a tenth of a drain's. What is not found for longer is a few megabytes at most.
_OBJECTS_BETWEEN_COLLECTIONS = 50_000


def main() -> NoReturn:
    """The console script. Its imports take a second, in which Ctrl-C says as little as later."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    try:
        from tracking_pipeline.cli.entry import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


@contextmanager
def loading() -> Iterator[None]:
    """For the imports of a verb that runs a job, two thousand modules: they leave no garbage, and
    what they made is never looked through again. A tenth of such a verb's processor time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
