"""What one question to a destination, in which nothing real is sent, says of it. Pure.

ok              it answers, and lets us in
refused         it answers, and somebody has to mend something: a token, an account, an address
unreachable     nothing can be said now: no answer, a fault of the other side, a rate limit
not_configured  there is nobody to ask
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal

from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    PerEvent,
    Refused,
    Retry,
    Suspected,
    Throttled,
    Uniform,
    Verdict,
)
from tracking_pipeline.delivery.failures import Failure, failure_of
from tracking_pipeline.store.destination_checks import Ending, RecordedDestinationCheck

CheckState = Literal["ok", "refused", "not_configured", "unreachable"]


EndingLevel = Literal["ok", "warning", "critical"]
# People are told so many days ahead, and once more between the two.
WARNING_DAYS = 60.0
REMINDER_DAYS = 14.0
CRITICAL_DAYS = 2.0


@dataclass(frozen=True, slots=True)
class DestinationCheck:
    """``detail`` and ``code`` are without secrets and personal data; ``failure`` is the public one,
    ``code`` the platform's own.

    ``endings``: what the destination's events need and that ends one day, with the moment: a token,
    a version of an API. ``all_endings`` is False where some of them could not be asked for just
    now, so that what was known of them before still holds.
    """

    state: CheckState
    detail: str = ""
    failure: Failure | None = None
    code: str | None = None
    duration_ms: int = 0
    endings: Mapping[str, datetime] = field(default_factory=dict)
    all_endings: bool = True


def judged(verdict: Verdict, *, duration_ms: int = 0) -> DestinationCheck:
    """The check whose request, about one event or none, came to this verdict."""
    if isinstance(verdict, PerEvent):
        verdict = Uniform(verdict.outcomes[0]) if verdict.outcomes else Uniform(Delivered())
    if isinstance(verdict, Uniform):
        outcome = verdict.outcome
        if isinstance(outcome, Delivered):
            return DestinationCheck("ok", duration_ms=duration_ms)
        passing = isinstance(outcome, (Retry, Throttled))
        state: CheckState = "unreachable" if passing else "refused"
        fault = outcome.fault
    else:
        assert isinstance(verdict, (Refused, Suspected))  # noqa: S101  there is no other
        state = "refused"
        fault = verdict.rejected.fault if isinstance(verdict, Refused) else verdict.paused.fault
    return DestinationCheck(state, fault.message, fault.failure, fault.code, duration_ms)


def ending_level(days_left: float) -> EndingLevel:
    """How urgent it is that something ends in so many days; below 0 it has ended."""
    if days_left < CRITICAL_DAYS:
        return "critical"
    return "warning" if days_left < WARNING_DAYS else "ok"


def ending_words(what: str, at: datetime, days_left: float) -> str:
    """As in "META_ACCESS_TOKEN ends in 13 days (2026-12-13 10:05 UTC)"."""
    moment = f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
    if days_left < 0:
        return f"{what} ended on {moment}"
    number, unit = (days_left, "day") if days_left >= CRITICAL_DAYS else (days_left * 24, "hour")
    count = int(number)
    return f"{what} ends in {count} {unit}{'' if count == 1 else 's'} ({moment})"


def soonest(checks: Mapping[str, RecordedDestinationCheck]) -> list[tuple[str, Ending]]:
    """What ends one day, by destination, the first to end first."""
    endings = [(name, each) for name, check in checks.items() for each in check.endings]
    return sorted(endings, key=lambda pair: pair[1].at)


def answer_json(check: RecordedDestinationCheck) -> dict[str, Any]:
    """A check as commands show it."""
    failure = failure_of(check.failure_code)
    return {
        "destination": check.destination,
        "state": check.state,
        "detail": check.detail,
        "failure_code": check.failure_code,
        "remedy": failure.remedy if failure else None,
        "error_code": check.error_code,
        "duration_ms": check.duration_ms,
        "checked_at": check.checked_at.isoformat(),
        "expires": [
            {
                "what": each.what,
                "at": each.at.isoformat(),
                "days_left": round(each.days_left, 1),
                "level": ending_level(each.days_left),
                "detail": ending_words(each.what, each.at, each.days_left),
            }
            for each in check.endings
        ],
    }
