"""The command line ``tracking-pipeline``. Thin: each verb calls one service and shows what it gave.

Every verb takes ``--json``: one JSON object on standard output, everything else on standard error.
Exit status: 0 done, 1 the work failed, 2 wrong use. One file a family of verbs; ``app.py`` lists
them all.
"""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """The console script. Its imports take a second, in which Ctrl-C says as little as later."""
    try:
        from tracking_pipeline.cli.entry import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()
