"""The weekly digest: what arrived, what retries saved, what it was worth, what to do next.

It tells what the health report tells, of the same moment, in a message that is read in a minute; as
a page it shows the funnels, too. No personal data: numbers, names of destinations, and the words of
alerts.

Whoever makes it in one week (ISO 8601, in UTC) owes the channels the same message, so each gets it
once, whatever runs twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg

from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.formatting import count_of
from tracking_pipeline.health.readings.accounting import ACCOUNTING_DAYS, DestinationAccount
from tracking_pipeline.health.readings.arrivals import ASSUMED
from tracking_pipeline.health.view.accounting import FunnelView
from tracking_pipeline.health.view.report import HealthReport, ReportStatus, make_report
from tracking_pipeline.health.view.report_data import ReportData, read_report_data
from tracking_pipeline.store.alert_notifications import (
    WEEKLY_DIGEST,
    Notification,
    Severity,
    enqueue,
)
from tracking_pipeline.store.database import Database, DatabaseError, connect

_MOST_STEPS = 5
_SEVERITY: Mapping[ReportStatus, Severity] = {
    "critical": "critical",
    "warning": "warning",
    "unknown": "warning",
    "healthy": "ok",
}


@dataclass(frozen=True, slots=True)
class Arrived:
    """What became of a week's conversions at one destination, in words; empty where there is
    nothing to tell."""

    title: str
    arrived: str
    saved: str
    missing: str


@dataclass(frozen=True, slots=True)
class WeeklyDigest:
    """The digest of the week up to the report's moment. ``week`` is that in which it is made."""

    report: HealthReport
    week: str
    since: datetime
    accounts: Mapping[str, DestinationAccount]
    destinations: Sequence[Arrived]
    next_steps: Sequence[str]

    @property
    def title(self) -> str:
        return f"Tracking, the week to {self.report.made_at:%d %b %Y}: {self.report.status}"

    @property
    def body(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield self.report.headline
        yield ""
        for each in self.destinations:
            yield f"{each.title}: {each.arrived}."
            if each.saved:
                yield f"- saved by sending it again: {each.saved}"
            if each.missing:
                yield f"- missing: {each.missing}"
        if not self.destinations:
            yield f"No conversion is accounted for in these {ACCOUNTING_DAYS} days."
        yield ""
        yield "What to do next:"
        yield from (f"{place}. {step}" for place, step in enumerate(self.next_steps, 1))
        if not self.next_steps:
            yield "Nothing."


def read_weekly_digest(
    database: Database, config: HealthConfig, *, asks_meta: bool
) -> WeeklyDigest:
    """The digest of the last seven days. Raises :class:`DatabaseError`."""
    data = read_report_data(database, config, asks_meta=asks_meta)
    return weekly_digest(data, make_report(data))


def weekly_digest(data: ReportData, report: HealthReport) -> WeeklyDigest:
    """The digest of what the report was made of."""
    year, week, _ = report.made_at.astimezone(timezone.utc).isocalendar()
    accounts = data.accounting.destinations if data.accounting else {}
    funnels = report.arrivals.funnels if report.arrivals else []
    return WeeklyDigest(
        report=report,
        week=f"{year}-W{week:02}",
        since=report.made_at - timedelta(days=ACCOUNTING_DAYS),
        accounts=accounts,
        destinations=[
            Arrived(
                title=funnel.title,
                arrived=_arrived(funnel, accounts[funnel.name]),
                saved=_saved(accounts[funnel.name]),
                missing=", worth ".join(filter(None, (funnel.missing, funnel.worth))),
            )
            for funnel in funnels
        ],
        next_steps=_next_steps(report),
    )


def _arrived(funnel: FunnelView, account: DestinationAccount) -> str:
    told = f"{funnel.percent} arrived {funnel.summary}"
    if assumed := account.total.became.get(ASSUMED, 0):
        told += f" ({assumed:,} are assumed to: the site sends them itself)"
    return f"{told}, {funnel.trend}" if funnel.trend else told


def _saved(account: DestinationAccount) -> str:
    events = account.saved_events
    told = (count_of(events, "event"), account.saved.words)
    return ", worth ".join(filter(None, told)) if events else ""


def _next_steps(report: HealthReport) -> list[str]:
    """Of the open alerts first, then of what is missing, then what is worth doing; each once, with
    all that it is for."""
    funnels = report.arrivals.funnels if report.arrivals else []
    for_what: dict[str, list[str]] = {}
    for title, step in (
        *((each.title, each.next_step) for each in report.problems),
        *((each.title, each.to_do) for each in funnels),
    ):
        if step:
            for_what.setdefault(step, []).append(title)
    steps = [f"{'; '.join(titles)}: {step}" for step, titles in for_what.items()]
    return [*steps, *report.advice][:_MOST_STEPS]


def digest_json(digest: WeeklyDigest) -> dict[str, Any]:
    """The digest as JSON values."""
    return {
        "success": True,
        "week": digest.week,
        "status": digest.report.status,
        "since": digest.since.isoformat(),
        "until": digest.report.made_at.isoformat(),
        "title": digest.title,
        "text": digest.body,
        "destinations": {
            name: {
                "delivered_percent": each.total.percent,
                "should_have_been": each.total.due,
                "change_points": each.trend,
                "saved_events": each.saved_events,
                "saved": asdict(each.saved),
                "missing": each.total.missing,
                "at_risk": asdict(each.at_risk),
            }
            for name, each in digest.accounts.items()
        },
        "next_steps": list(digest.next_steps),
    }


def owe_digest(database: Database, digest: WeeklyDigest, channels: Sequence[str]) -> int:
    """Owes the digest to the channels (fingerprints) that were not owed this week's yet. Returns
    how many these are. Raises :class:`DatabaseError`."""
    notification = Notification(
        alert_id=None,
        alert_type=WEEKLY_DIGEST,
        kind="digest",
        severity=_SEVERITY[digest.report.status],
        title=digest.title,
        body=digest.body,
        dedupe_key=f"{WEEKLY_DIGEST}/{digest.week}",
    )
    with connect(database.url) as connection:
        try:
            return enqueue(connection, [notification], channels)
        except psycopg.Error as error:
            raise DatabaseError(
                f"the database failed while the digest was written (SQLSTATE "
                f"{error.sqlstate or 'none'}): make it again, no channel gets it twice"
            ) from None
