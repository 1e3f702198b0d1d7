"""What the page says about one reading: words, numbers and the order of what needs a human. Pure.

The templates only lay out what stands here, in ``score_view.py`` and in ``dead_letters.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from tracking_pipeline.delivery.failures import remedy_of
from tracking_pipeline.geo.coverage import WINDOW_DAYS
from tracking_pipeline.health import formatting
from tracking_pipeline.health.formatting import (
    Moment,
    about,
    capital,
    count_of,
    moment_near,
    percent,
)
from tracking_pipeline.health.metrics import MetricSpec, figures
from tracking_pipeline.health.view.accounting import ArrivalsView, arrivals_view
from tracking_pipeline.health.view.alerts import AlertView, EndedAlert, ended_alerts, open_alerts
from tracking_pipeline.health.view.rows import WithheldLine, withheld_lines
from tracking_pipeline.health.view.status import DestinationStatus
from tracking_pipeline.health.view.summary import HealthSummary, SystemState
from tracking_pipeline.identity import plain_reason
from tracking_pipeline.store.attempts import LastError
from tracking_pipeline.store.dagster_runs import PastRun
from tracking_pipeline.web.page.dead_letters import (
    DeadLetterFilter,
    DeadLettersView,
    Offer,
    dead_letters_view,
    offers,
)
from tracking_pipeline.web.page.reading import PageReading
from tracking_pipeline.web.page.score_view import ScoreView, score_view


@dataclass(frozen=True, slots=True)
class RunView:
    """One run. ``job`` is the job's name in words; ``took`` is empty until its end."""

    job: str
    url: str
    state: str
    words: str
    started: Moment | None
    took: str


@dataclass(frozen=True, slots=True)
class PageView:
    """The whole page. ``places`` None: no check has counted leads. ``runs`` None: Dagster's storage
    cannot be read."""

    database: str
    rehearsal: bool
    made: Moment
    status: StatusView
    figures: Sequence[Figure]
    alerts: Sequence[AlertView]
    notices: Sequence[Notice]
    offers: Sequence[Offer]
    arrivals: ArrivalsView
    ended_alerts: Sequence[EndedAlert]
    score: ScoreView
    queue: QueueView
    dead_letters: DeadLettersView
    withheld: Sequence[WithheldLine]
    places: PlacesView | None
    runs: Sequence[RunView] | None
    dagster_url: str
    shows_db_ip: bool

    @property
    def needs_nobody(self) -> bool:
        """Whether there is nothing for a human to do."""
        return not self.needs and self.status.level == "healthy"

    @property
    def needs(self) -> int:
        """How many things wait for a human."""
        return len(self.alerts) + len(self.notices) + len(self.offers)


def page_view(
    reading: PageReading,
    runs: Sequence[PastRun] | None,
    chosen: DeadLetterFilter,
    *,
    database: str,
    rehearsal: bool,
    dagster_url: str,
) -> PageView:
    """The page of this reading. ``chosen`` is what the dead letters were narrowed to."""
    now = reading.summary.now
    alerts = open_alerts(reading.summary.alerts, now)
    arrivals = arrivals_view(reading.accounting, reading.config.thresholds["delivery_rate"])
    return PageView(
        database=database,
        rehearsal=rehearsal,
        made=moment_near(now, now),
        status=status_view(reading.summary, arrivals, alerts),
        figures=figures_view(reading),
        alerts=alerts,
        notices=notices(reading),
        offers=offers(reading.offers),
        arrivals=arrivals,
        ended_alerts=ended_alerts(reading.ended_alerts, now),
        score=score_view(reading.summary, reading.course, reading.config),
        queue=queue_view(reading.destinations, now),
        dead_letters=dead_letters_view(reading.dead_letters, reading.destinations, chosen, now),
        withheld=withheld_lines(reading.summary),
        places=places_view(reading.summary.detail("geo_coverage")),
        runs=None if runs is None else [_run(each, now, dagster_url) for each in runs],
        dagster_url=dagster_url,
        shows_db_ip=reading.shows_db_ip,
    )


def _run(run: PastRun, now: datetime, dagster_url: str) -> RunView:
    started = (
        None
        if run.started_at is None
        else moment_near(datetime.fromtimestamp(run.started_at, timezone.utc), now)
    )
    return RunView(
        job=capital(run.job.removesuffix("_job").replace("_", " ")),
        url=f"{dagster_url}/runs/{run.run_id}",
        state=run.status,
        words=formatting.RUN_STATE_WORDS.get(run.status, run.status.capitalize()),
        started=started,
        took=_took(run.seconds),
    )


def _took(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return "under 1 s" if seconds < 1 else about(seconds)


# So many destinations are named in the first lines.
_MOST_SHARES = 4
_TITLES: dict[SystemState, str] = {
    "healthy": "Tracking is healthy",
    "degraded": "Tracking is degraded",
    "critical": "Tracking needs attention now",
}


@dataclass(frozen=True, slots=True)
class StatusView:
    """The first thing to read; ``reason`` is a sentence. ``checked`` None: no check has run yet.
    ``points``, by what they are about, tell what arrived, what is missing, why, and what to do."""

    level: SystemState
    title: str
    reason: str
    checked: Moment | None
    points: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that tells how things stand. ``level``: ``ok``, ``warning``, ``critical``, or
    ``no_data``."""

    label: str
    value: str
    note: str
    level: str


def status_view(
    summary: HealthSummary, arrivals: ArrivalsView, alerts: Sequence[AlertView]
) -> StatusView:
    """The status, from the last check, the alerts that are open, the first one first, and whether
    checks still come."""
    level, reason = summary.system.status, summary.system.sentence
    checked_at = summary.checked_at
    checked = moment_near(checked_at, summary.now) if checked_at else None
    return StatusView(level, _TITLES[level], reason, checked, _points(arrivals, alerts))


def _points(arrivals: ArrivalsView, alerts: Sequence[AlertView]) -> dict[str, str]:
    found = {}
    if arrivals.funnels:
        shares = [f"{each.title} {each.percent}" for each in arrivals.funnels]
        rest = len(shares) - _MOST_SHARES
        more = [f"and {rest} more"] if rest > 0 else []
        found["Arrived"] = f"{', '.join(shares[:_MOST_SHARES] + more)} in {arrivals.days} days"
    missing = [each for each in arrivals.funnels if each.missing]
    if missing:
        found["Missing"] = "; ".join(
            f"{each.missing} at {each.title} since {each.since}"
            + (f", worth {each.worth}" if each.worth else "")
            for each in missing[:_MOST_SHARES]
        )
    if alerts:
        if alerts[0].cause:
            found["Why"] = alerts[0].cause
        found["To do"] = alerts[0].next_step
    elif missing:
        found["To do"] = missing[0].to_do
    return {what: text for what, text in found.items() if text}


def figures_view(reading: PageReading) -> list[Figure]:
    """The numbers that tell at a glance how things stand, as of the last check; how much waits is
    as of now."""
    return [_figure(reading, spec) for spec in figures()]


def _figure(reading: PageReading, spec: MetricSpec) -> Figure:
    found = reading.summary.snapshot(spec.name)
    value, level = (found.value, found.state) if found else (None, None)
    note = _note(spec.name, reading.summary.detail(spec.name))
    if spec.name == "queue_depth":
        queues = [each.waiting for each in reading.destinations.values()]
        value, due = sum(each.waiting for each in queues), sum(each.due for each in queues)
        level = level if value else "ok"
        note = f"{due:,} due now" if value else "The queue is empty"
    written = "–" if value is None else spec.written(value)
    return Figure(spec.title, written, note, level or "no_data")


def _note(metric: str, detail: Mapping[str, Any]) -> str:
    if metric == "error_rate":
        if not detail.get("events"):
            return "No events in the window"
        return f"of {count_of(detail['events'], 'event')} in {detail['window_hours']} h"
    if metric == "delivery_rate":
        return _of_destination(detail)
    return {
        "emq_score": "of 10",
        "geo_coverage": "with city, state and zip, of 7 days",
        "dead_letters": "in 24 h, as of the last check",
        "recovery_rate": "of the failed events of 7 days",
    }.get(metric, "As of the last check")


def _of_destination(detail: Mapping[str, Any]) -> str:
    """Whose share it is: the lowest of all."""
    if not detail:
        return "Nothing to deliver yet"
    due, hours = count_of(detail["due"], "conversion"), detail["window_hours"]
    return f"{formatting.destination_title(detail['destination'])}, of {due} in {hours} h"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something for a human that no alert tells."""

    title: str
    message: str


def notices(reading: PageReading) -> list[Notice]:
    """Alerts that reach nobody; and events that wait for a destination which nobody has set up wait
    for ever."""
    silent = [
        Notice(f"Alerts do not reach channel {each.position}", f"{each.words}.")
        for each in reading.summary.silent_channels
    ]
    return silent + [
        Notice(
            f"{formatting.destination_title(name)} is not set up",
            f"{count_of(each.waiting.waiting, 'event')} wait for it. To have them sent, "
            f"{each.detail}.",
        )
        for name, each in reading.destinations.items()
        if each.state == "not_configured" and each.waiting.waiting
    ]


STATE_WORDS = {
    "ok": "Open",
    "paused": "Paused",
    "throttled": "Throttled",
    "not_configured": "Not set up",
}


@dataclass(frozen=True, slots=True)
class DestinationView:
    """One destination. ``state`` is that of
    :class:`~tracking_pipeline.health.view.status.DestinationStatus`, ``next_try`` a sentence.
    ``first_attempts`` is empty where no event waits for its first one. ``failure`` is the public
    code of what paused it, ``remedy`` what to do about that."""

    name: str
    title: str
    state: str
    state_words: str
    detail: str
    failure: str
    remedy: str
    waiting: str
    first_attempts: str
    oldest: str
    next_try: str
    dead_letters: str
    last_error: str
    last_error_at: Moment | None
    last_error_said: str


@dataclass(frozen=True, slots=True)
class QueueView:
    """All destinations, those in trouble first. ``waiting`` is the sum."""

    waiting: int
    destinations: Sequence[DestinationView]


_TROUBLE_FIRST = ("paused", "throttled", "ok", "not_configured")


def queue_view(destinations: Mapping[str, DestinationStatus], now: datetime) -> QueueView:
    """The queue of these destinations."""
    shown = [_destination(name, each, now) for name, each in destinations.items()]
    return QueueView(
        waiting=sum(each.waiting.waiting for each in destinations.values()),
        destinations=sorted(shown, key=lambda each: _TROUBLE_FIRST.index(each.state)),
    )


def _destination(name: str, status: DestinationStatus, now: datetime) -> DestinationView:
    waiting, error = status.waiting, status.last_error
    oldest = waiting.oldest_age_seconds
    detail = capital(plain_reason(status.detail)) if status.detail else ""
    last_error = capital(plain_reason(error.message)) if error else ""
    return DestinationView(
        name=name,
        title=formatting.destination_title(name),
        state=status.state,
        state_words=STATE_WORDS[status.state],
        detail=detail,
        failure=status.failure or "",
        remedy=remedy_of(status.failure) or "",
        waiting=f"{waiting.waiting:,}",
        first_attempts=f"{status.first_attempts:,}" if status.first_attempts else "",
        oldest="–" if oldest is None else about(oldest),
        next_try=_next_try(status),
        dead_letters=f"{waiting.dead_letters:,}",
        # What paused the destination is its last error.
        last_error="" if detail.startswith(last_error) else last_error,
        last_error_at=moment_near(error.attempted_at, now) if error else None,
        last_error_said=_said(error),
    )


def _said(error: LastError | None) -> str:
    """The public code, what the platform said to people, where, and its id of the request."""
    if error is None:
        return ""
    parts = (error.failure_code, error.platform_message, error.field_path, error.trace_id)
    return " · ".join(filter(None, parts))


def _next_try(status: DestinationStatus) -> str:
    seconds = status.next_try_seconds
    if status.state == "not_configured":
        return "Once it is set up" if status.waiting.waiting or status.first_attempts else "–"
    if status.waiting.leased and not status.waiting.due:
        return "Being sent now"
    if seconds is None:
        return "–"
    return "At the next run" if seconds <= 0 else f"In {about(seconds)}"


@dataclass(frozen=True, slots=True)
class SourceView:
    """Leads with a place from one source."""

    name: str
    leads: str
    percent: float


@dataclass(frozen=True, slots=True)
class PartView:
    """How many leads have one part of a place: now, and ``before`` anybody looked it up."""

    name: str
    share: str
    percent: float
    before: str


@dataclass(frozen=True, slots=True)
class PlacesView:
    """How many of the last days' leads have a place."""

    parts: Sequence[PartView]
    sources: Sequence[SourceView]
    summary: str


def places_view(found: Mapping[str, Any]) -> PlacesView | None:
    """The places of the last check's ``geo_coverage``; None where it counted no lead."""
    if not found.get("leads"):
        return None
    leads = found["leads"]
    by_source: dict[str, int] = found["by_source"]
    summary = f"Leads of the last {WINDOW_DAYS} days: {leads:,}"
    waiting = found["waiting"]
    return PlacesView(
        parts=[
            PartView(
                name=name,
                share=percent(found[f"with_{key}_percent"]),
                percent=found[f"with_{key}_percent"],
                before=percent(found[f"before_{key}_percent"]),
            )
            for name, key in (("City", "city"), ("State", "state"), ("Zip code", "zip"))
        ],
        sources=[
            SourceView(formatting.SOURCE_WORDS.get(name, name), f"{n:,}", 100.0 * n / leads)
            for name, n in sorted(by_source.items(), key=lambda item: -item[1])
        ],
        summary=f"{summary}; {waiting:,} still to be looked up." if waiting else f"{summary}.",
    )
