"""Where the health report's files are: the newest under a name that stays, and one of each day.

reports/latest.html
reports/health-2026-11-24.html    the last one of that day (UTC)
"""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path

LATEST = "latest.html"
DAYS_KEPT = 30


class ReportFileError(Exception):
    """The report cannot be written. One line: where, and what to do."""


def reports_folder(home: Path) -> Path:
    """The folder of the reports under ``TRACKING_HOME``."""
    return home / "reports"


def write_report(folder: Path, html: str, made_at: datetime) -> Path:
    """Writes the report under both names, each whole or not at all, and removes days that are too
    many. Returns the path that stays. Raises :class:`ReportFileError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        day = made_at.astimezone(timezone.utc).date()
        for name in (f"health-{day.isoformat()}.html", LATEST):
            _replace(folder / name, html)
        for old in sorted(folder.glob("health-????-??-??.html"))[:-DAYS_KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise ReportFileError(
            f"the report cannot be written to {folder} ({error.strerror}): "
            "make the folder writable, or set TRACKING_HOME"
        ) from None
    return folder / LATEST


def _replace(path: Path, text: str) -> None:
    # Two runs at once write two parts, and the last one wins.
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
