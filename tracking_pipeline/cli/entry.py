"""The entry point, and what becomes of errors."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import orjson

from tracking_pipeline.cli.app import app
from tracking_pipeline.cli.output import err
from tracking_pipeline.errors import ExplainedError, WrongUseError

WRONG_USE = 2


def main() -> NoReturn:
    """The entry point: every error becomes one line and an exit status."""
    as_json = "--json" in sys.argv
    try:
        app()
        sys.exit(0)
    except SystemExit as end:
        # Typer has said on standard error what is wrong with the arguments.
        if as_json and end.code == WRONG_USE:
            _show_failure("wrong use: standard error says what is wrong with the arguments")
        raise
    except KeyboardInterrupt:
        _fail("interrupted; nothing is lost, what was claimed is due again", 130, as_json=as_json)
    except WrongUseError as error:
        _fail(str(error), WRONG_USE, as_json=as_json)
    except ExplainedError as error:
        _fail(str(error), 1, as_json=as_json)
    except Exception as error:
        if os.environ.get("TRACKING_DEBUG"):
            raise
        _fail(
            f"{type(error).__name__}, which should not happen: set TRACKING_DEBUG=1 to see where",
            1,
            as_json=as_json,
        )


def _fail(message: str, status: int, *, as_json: bool) -> NoReturn:
    err.print(f"error: {message}", style="red", markup=False, soft_wrap=True)
    if as_json:
        _show_failure(message)
    sys.exit(status)


def _show_failure(message: str) -> None:
    sys.stdout.buffer.write(orjson.dumps({"success": False, "error": message}) + b"\n")
    sys.stdout.buffer.flush()
