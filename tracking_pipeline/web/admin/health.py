"""How tracking stands, as the admin dashboard shows it:
``GET /functions/v1/admin-tracking-health?start_date&end_date``; and one health check on demand:
``POST /functions/v1/check-tracking-health``, for cron and for the webhooks of monitoring systems.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from tracking_pipeline.defs.health.check import CHECKED, answer_of, check_tracking_health_job
from tracking_pipeline.events.policy import reading_policy
from tracking_pipeline.health.view.status import DestinationStatus
from tracking_pipeline.health.view.window import TrackingHealth, read_tracking_health
from tracking_pipeline.web.admin.runs import RUN_RESPONSES, run_and_answer
from tracking_pipeline.web.answers import AS_MEANT
from tracking_pipeline.web.context import Admin, Context
from tracking_pipeline.web.errors import ApiError
from tracking_pipeline.web.run_process import RunOrder
from tracking_pipeline.wiring.health import health_config

tracking_health_router = APIRouter(tags=["health"])

# A window costs what its roll-up and its failed events do; leads of many years belong in a report.
LONGEST_DAYS = 366
# Beyond it, another time zone's clock leaves Python's calendar.
_LAST_YEAR = 9998
# Smaller differences of the score are the traffic's own.
_STEADY = 0.1

Trend = Literal["up", "down", "stable"]


class DestinationMatch(BaseModel):
    """What one destination could match of the window's conversions."""

    matchable: float | None = Field(
        description="Percent of conversions with the match keys that its platform asks for at "
        "least; null: there were none, or it does not say."
    )
    breakdown: dict[str, float] = Field(
        description="Percent of conversions that carry each match key of its platform."
    )


class EmqScoreAnswer(BaseModel):
    """The estimated Event Match Quality of the window's conversions, 0 to 10."""

    overall: float | None = Field(description="The mean of all conversions; null: there were none.")
    breakdown: dict[str, float] = Field(
        description="Percent of conversions that carry each match key, by Meta's names (`em`, ...)."
    )
    trend: Trend | None = Field(
        description="Against the equal window before, from 0.1 on; null: one of them has no score."
    )
    previousScore: float | None = Field(description="Of the equal window before.")  # noqa: N815
    totalEvents: int = Field(description="Conversions that the score counts.")  # noqa: N815


class DestinationQueue(BaseModel):
    """One destination's part of the queue, now."""

    pendingCount: int = Field(description="Failed events that wait to be sent again.")  # noqa: N815
    deadLetterCount: int = Field(description="Those that are not tried again.")  # noqa: N815
    oldestPending: datetime | None = Field(description="The time of the oldest.")  # noqa: N815
    state: str = Field(description="`ok`, `throttled`, `paused` or `not_configured`.")
    detail: str = Field(description="What to do about it.")


class FixQueueAnswer(BaseModel):
    """The queue of failed events, now, whatever the window."""

    pendingCount: int = Field(description="Failed events that wait to be sent again.")  # noqa: N815
    deadLetterCount: int = Field(description="Those that are not tried again.")  # noqa: N815
    resolvedToday: int = Field(description="Resolved since midnight UTC.")  # noqa: N815
    withheldToday: int = Field(  # noqa: N815
        description="Settled since midnight UTC without being sent: a person's refusal, or the "
        "site's own rule. They are not in `resolvedToday`."
    )
    oldestPending: datetime | None = Field(description="The time of the oldest.")  # noqa: N815
    byDestination: dict[str, DestinationQueue]  # noqa: N815


class ConversionIntegrity(BaseModel):
    """Leads of the window that are 10 minutes old: is their conversion in the ledger?"""

    ok: int = Field(description="Leads with a conversion event.")
    missing: int = Field(description="Leads without one.")


class DiagnosticsAnswer(BaseModel):
    """What does not fit together in the window. Null: the window holds too much to count it within
    a few seconds; choose a shorter one."""

    orphanEvents: int | None = Field(  # noqa: N815
        description="Conversions of the ledger that name a lead which does not exist."
    )
    duplicateEvents: int | None = Field(  # noqa: N815
        description="Conversions beyond the first of one lead, event name and day (UTC): they may "
        "count twice."
    )
    conversionIntegrity: ConversionIntegrity | None  # noqa: N815
    errorRate: float | None = Field(  # noqa: N815
        description="Percent of events that failed at some destination; null: no events, or the "
        "ledger is not counted to the window's end."
    )
    totalEvents: int = Field(  # noqa: N815
        description="Conversions of the ledger and failed events that are not in it, each once."
    )


class CostImpact(BaseModel):
    """An estimate, and no bill: what the events are worth that the ad platforms do not have, were
    each a lead of `LEAD_VALUE`. A platform that learns of them later makes it smaller."""

    undeliveredEvents: int = Field(  # noqa: N815
        description="Events that failed in the window and are still not delivered somewhere."
    )
    valuePerLead: float = Field(description="`LEAD_VALUE`.")  # noqa: N815
    estimatedValue: float = Field(description="Their product.")  # noqa: N815
    currency: str = Field(description="`LEAD_VALUE_CURRENCY`.")


class TrackingHealthAnswer(BaseModel):
    """How tracking stands."""

    systemStatus: Literal["healthy", "degraded", "critical"]  # noqa: N815
    statusReason: str = Field(description="What makes it so, a sentence.")  # noqa: N815
    emqScore: EmqScoreAnswer  # noqa: N815
    matchByDestination: dict[str, DestinationMatch] = Field(  # noqa: N815
        description="What each destination could match, by its name."
    )
    fixQueue: FixQueueAnswer  # noqa: N815
    diagnostics: DiagnosticsAnswer
    costImpact: CostImpact | None = Field(  # noqa: N815
        description="Null where `LEAD_VALUE` is not set."
    )
    startDate: datetime = Field(description="The window's beginning.")  # noqa: N815
    endDate: datetime = Field(  # noqa: N815
        description="Its end, which is not within it; now at the latest."
    )
    countedUntil: datetime | None = Field(  # noqa: N815
        description="How far the ledger is counted: short of the window's end while the first "
        "checks still count its history; null: not at all."
    )
    lastCheck: datetime | None = Field(description="When the last check was.")  # noqa: N815


_IS_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def _kind_of(given: object) -> str:
    """Only a day is one: pydantic would take a midnight for the day that it begins, too."""
    return "day" if isinstance(given, str) and _IS_DAY.fullmatch(given) else "moment"


Day = Annotated[
    Annotated[
        Annotated[date, Tag("day")] | Annotated[datetime | None, Tag("moment")],
        Discriminator(_kind_of),
    ],
    AS_MEANT,
    Query(
        description="A day, or a moment in ISO 8601; in SITE_TIMEZONE (else UTC) where it names no "
        "zone. The window begins with start_date; it includes end_date where that is a day, and "
        "ends before it where it is a moment."
    ),
]


@tracking_health_router.get("/admin-tracking-health", response_model=TrackingHealthAnswer)
async def tracking_health(
    context: Context, start_date: Day = None, end_date: Day = None
) -> TrackingHealthAnswer:
    """How tracking stands: status, match quality, queue, what does not fit together.

    Exactly the window that is asked for: a day as `end_date` is included, a moment is where it
    ends. Days and times without a zone are those of `SITE_TIMEZONE`. Without dates: the window of
    the EMQ score (`EMQ_WINDOW_DAYS`).
    """
    settings = context.settings
    zone = reading_policy(settings).zone or timezone.utc
    since, until = moment_of(start_date, zone), moment_of(end_date, zone, is_end=True)
    config, missing = health_config(settings), context.installation.missing_settings()
    now = datetime.now(timezone.utc)
    if since is not None and min(until or now, now) - since > timedelta(days=LONGEST_DAYS):
        raise ApiError(422, f"the window may be {LONGEST_DAYS} days at most")
    found = await context.query(
        lambda connection: read_tracking_health(connection, config, missing, since, until)
    )
    if found is None:
        raise ApiError(422, "start_date must be before end_date and before now")
    cost = (
        None
        if settings.lead_value is None
        else CostImpact(
            undeliveredEvents=found.undelivered,
            valuePerLead=settings.lead_value,
            estimatedValue=round(found.undelivered * settings.lead_value, 2),
            currency=settings.lead_value_currency,
        )
    )
    return TrackingHealthAnswer(
        systemStatus=found.summary.system.status,
        statusReason=found.summary.system.sentence,
        emqScore=_emq_score(found),
        matchByDestination={
            name: DestinationMatch(
                matchable=_rounded(each.matchable_percent),
                breakdown={key: round(share, 1) for key, share in each.percent_by_key.items()},
            )
            for name, each in found.platforms.items()
        },
        fixQueue=_fix_queue(found),
        diagnostics=_diagnostics(found),
        costImpact=cost,
        startDate=found.window.since,
        endDate=found.window.until,
        countedUntil=found.counted_until,
        lastCheck=found.summary.checked_at,
    )


def moment_of(
    given: date | datetime | None, zone: tzinfo, *, is_end: bool = False
) -> datetime | None:
    """The moment that is meant: of a day its beginning, or as an end the next day's."""
    if given is None or (is_end and given.year > _LAST_YEAR):
        # An end that is to come is now, however far off it is.
        return None
    if not 2 <= given.year <= _LAST_YEAR:
        raise ApiError(422, "a day must be in the years 2 to 9998")
    if isinstance(given, datetime):
        local = given if given.tzinfo else given.replace(tzinfo=zone)
    else:
        local = datetime.combine(given + timedelta(days=int(is_end)), time(), zone)
    # Differences within one zone would be those of its clocks, and not of time.
    return local.astimezone(timezone.utc)


def _emq_score(found: TrackingHealth) -> EmqScoreAnswer:
    overall, previous = found.score.overall, found.previous.overall
    return EmqScoreAnswer(
        overall=_rounded(overall),
        breakdown={key: round(share, 1) for key, share in found.score.coverage_percent.items()},
        trend=trend(overall, previous),
        previousScore=_rounded(previous),
        totalEvents=found.score.events,
    )


def trend(overall: float | None, previous: float | None) -> Trend | None:
    """Which way a score has gone."""
    if overall is None or previous is None:
        return None
    if abs(overall - previous) < _STEADY:
        return "stable"
    return "up" if overall > previous else "down"


def _fix_queue(found: TrackingHealth) -> FixQueueAnswer:
    queues = {name: _queue(each, found.summary.now) for name, each in found.destinations.items()}
    oldest = [each.oldestPending for each in queues.values() if each.oldestPending is not None]
    return FixQueueAnswer(
        pendingCount=sum(each.pendingCount for each in queues.values()),
        deadLetterCount=sum(each.deadLetterCount for each in queues.values()),
        resolvedToday=found.settled_today.resolved,
        withheldToday=found.settled_today.withheld,
        oldestPending=min(oldest, default=None),
        byDestination=queues,
    )


def _queue(status: DestinationStatus, now: datetime) -> DestinationQueue:
    age = status.waiting.oldest_age_seconds
    # A row that claims to be as old as the calendar has a broken clock.
    known = age is not None and 0 <= age < timedelta(days=36500).total_seconds()
    return DestinationQueue(
        pendingCount=status.waiting.waiting,
        deadLetterCount=status.waiting.dead_letters,
        oldestPending=now - timedelta(seconds=age) if age is not None and known else None,
        state=status.state,
        detail=status.detail,
    )


def _diagnostics(found: TrackingHealth) -> DiagnosticsAnswer:
    failures, integrity = found.failures, found.integrity
    events = failures.with_conversions(found.conversions)
    # Failures are read to the end: a part of the events would make their share too large.
    has_rate = events > 0 and found.counted_until == found.window.until
    return DiagnosticsAnswer(
        orphanEvents=integrity.orphans if integrity else None,
        duplicateEvents=integrity.duplicates if integrity else None,
        conversionIntegrity=ConversionIntegrity(
            ok=integrity.leads_with, missing=integrity.leads_without
        )
        if integrity
        else None,
        errorRate=round(100.0 * failures.events / events, 2) if has_rate else None,
        totalEvents=events,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


check_router = APIRouter(tags=["health"])


class CheckMetrics(BaseModel):
    """The values of the check; null where there was no data."""

    emq_score: float | None = Field(description="Estimated Event Match Quality, 0 to 10.")
    queue_depth: int = Field(description="Failed events that wait.")
    error_rate: float | None = Field(description="Percent of events that failed.")
    geo_coverage: float | None = Field(description="Percent of new leads with a complete location.")


class CheckAnswer(BaseModel):
    """What the check found: the keys of `tracking-pipeline check --json`."""

    model_config = ConfigDict(extra="allow")

    success: bool = Field(description="The check came to its end, whatever it found.")
    status: str = Field(description="`healthy`, `degraded` or `critical`.")
    reason: str = Field(description="What makes it so.")
    metrics: CheckMetrics
    alerts_created: int = Field(description="Alerts that this check opened.")
    alerts_resolved: int = Field(description="Alerts that this check ended.")
    active_alerts: list[dict[str, Any]] = Field(description="All open alerts, critical first.")
    run_id: str = Field(description="The run, also in the Dagster UI.")
    joined: bool = Field(description="The run was under way already.")


@check_router.post("/check-tracking-health", response_model=CheckAnswer, responses=RUN_RESPONSES)
async def check_tracking_health(request: Request, context: Context, admin: Admin) -> JSONResponse:
    """Check tracking's health: one run of `check_tracking_health_job`, without its report. A breach
    is a result."""
    # Without the report, which takes longer than somebody waits.
    order = RunOrder(check_tracking_health_job.name, {}, answer_of, assets=tuple(CHECKED))
    return await run_and_answer(context, request, admin, order, action="check")
