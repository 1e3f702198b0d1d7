"""server.log: what the embedded server and its keeper print, and which line of it matters."""

from __future__ import annotations

import os
from pathlib import Path

from tracking_pipeline.store.embedded_folder import open_own_file

_KEPT_BYTES = 10_000_000
_LINE_CHARACTERS = 300


def open_log(log: Path) -> int:
    """Open the log to append to it; gives a descriptor. Raises OSError."""
    return open_own_file(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def begin_log(log: Path) -> int:
    """Give the offset at which a new start will write; a log that grew too long begins anew."""
    descriptor = open_log(log)
    try:
        if os.fstat(descriptor).st_size > _KEPT_BYTES:
            os.ftruncate(descriptor, 0)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def log_since(log: Path, offset: int) -> str:
    """Give what was written from that offset on."""
    with log.open("rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace")


def useful_line(text: str) -> str:
    """Pick the line that says what went wrong: the last fatal one, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = [line for line in lines if "FATAL:" in line or "PANIC:" in line or "error:" in line]
    return (fatal or lines or ["it said nothing"])[-1][:_LINE_CHARACTERS]
