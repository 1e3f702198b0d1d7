"""server.log: what the embedded server and its keeper print, and which line of it matters."""

from __future__ import annotations

import os
from pathlib import Path

from tracking_pipeline.postgres.folder import open_own_file

_KEPT_BYTES = 10_000_000
_LINE_CHARACTERS = 300
_FATAL = ("FATAL:", "PANIC:", "error:")
_TO_CLIENTS = ("the database system is", "terminating connection")
"""Fatal for one connection, like that of a user who calls too early, and not for the server."""


def open_log(log: Path) -> int:
    """Opens the log to append to it; gives a descriptor. Raises OSError."""
    return open_own_file(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def shorten_log(log: Path) -> None:
    """Begins a log anew that grew too long."""
    descriptor = open_log(log)
    try:
        if os.fstat(descriptor).st_size > _KEPT_BYTES:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def log_since(log: Path, offset: int) -> str:
    """Gives what was written from that offset on."""
    with log.open("rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace")


def fatal_line(text: str) -> str | None:
    """Gives the last line in which the server says what it cannot go on with, or None."""
    fatal = [
        line
        for line in _lines(text)
        if any(mark in line for mark in _FATAL) and not any(mark in line for mark in _TO_CLIENTS)
    ]
    return fatal[-1] if fatal else None


def useful_line(text: str) -> str:
    """Picks the line that says what went wrong: the last fatal one, else the last one."""
    return fatal_line(text) or (_lines(text) or ["it said nothing"])[-1]


def _lines(text: str) -> list[str]:
    return [line.strip()[:_LINE_CHARACTERS] for line in text.splitlines() if line.strip()]
