"""The entry point, and what becomes of errors."""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import NoReturn

import orjson
from typer.exceptions import TyperException

from tracking_pipeline.cli.app import app
from tracking_pipeline.cli.output import err
from tracking_pipeline.errors import ExplainedError, WrongUseError

WRONG_USE = 2
INTERRUPTED = 128 + signal.SIGINT
CLOSED_PIPE = 128 + signal.SIGPIPE


def main() -> NoReturn:
    """The entry point: every error becomes one line and an exit status."""
    as_json = "--json" in sys.argv
    try:
        # Typer gives back the status that a verb ends with, where it is not 0.
        status = app(standalone_mode=False) or 0
        sys.stdout.flush()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            _leave_closed_pipe()
        raise
    except BrokenPipeError:
        _leave_closed_pipe()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except TyperException as error:
        error.message = error.message.replace("Value error, ", "")  # pydantic's own words
        # On standard error: what is wrong with the arguments, and how they are meant.
        error.show()  # type: ignore[attr-defined]
        if as_json:
            _show_failure(f"wrong use: {error.format_message()}")
        sys.exit(WRONG_USE)
    except ExplainedError as error:
        status = WRONG_USE if isinstance(error, WrongUseError) else 1
        _fail(str(error), status, as_json=as_json)
    except OSError as error:
        full = error.errno == errno.ENOSPC
        if full:
            _drop_output()
        told = error.strerror or type(error).__name__
        _fail(told, 1, as_json=as_json and not full)
    except Exception as error:
        if os.environ.get("TRACKING_DEBUG"):
            raise
        _fail(
            f"{type(error).__name__}, which should not happen: set TRACKING_DEBUG=1 to see where",
            1,
            as_json=as_json,
        )
    if status == INTERRUPTED:
        _fail(
            "interrupted; nothing is lost, what was claimed is due again",
            INTERRUPTED,
            as_json=as_json,
        )
    sys.exit(status)


def _leave_closed_pipe() -> NoReturn:
    """Whoever reads no more is no failure, and nothing is said of it. The status is that of a
    process that such a pipe has ended."""
    _drop_output()
    sys.exit(CLOSED_PIPE)


def _drop_output() -> None:
    """What cannot be written is not tried again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, status: int, *, as_json: bool) -> NoReturn:
    err.print(f"error: {message}", style="red", markup=False, soft_wrap=True)
    if as_json:
        _show_failure(message)
    sys.exit(status)


def _show_failure(message: str) -> None:
    sys.stdout.buffer.write(orjson.dumps({"success": False, "error": message}) + b"\n")
    sys.stdout.buffer.flush()
