"""Reads what somebody wrote into a launchpad; what cannot be used fails the run in one line."""

from datetime import datetime

import dagster as dg

from tracking_pipeline.events.times import read_moment_or_day


def require(holds: bool, otherwise: str) -> None:
    """Raises ``dagster.Failure``, which is not tried again, with the line ``otherwise``."""
    if not holds:
        raise dg.Failure(otherwise, allow_retries=False)


def launchpad_moment(name: str, text: str) -> datetime | None:
    """The moment in the field of that name; None where it is empty. Raises ``dagster.Failure``."""
    if not text.strip():
        return None
    found = read_moment_or_day(text)
    require(found is not None, f"{name} must be a time in ISO 8601, as in 2026-11-24T10:00Z")
    return found
