"""Delivery accounting as it is shown: as JSON for programs, as funnels for people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.delivery.engine.readiness import (
    CONSENT_DENIED,
    EXPIRED_AT_ARRIVAL,
    NO_CONSENT,
)
from tracking_pipeline.health import formatting
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.formatting import count_of, percent, signed
from tracking_pipeline.health.metrics import Measured
from tracking_pipeline.health.readings.accounting import (
    ACCOUNTING_DAYS,
    BECAME_WORDS,
    MISSING,
    AccountingReading,
    DestinationAccount,
    Line,
    Reason,
    read_accounting,
)
from tracking_pipeline.health.readings.arrivals import (
    ASSUMED,
    BECAME,
    DEAD,
    DELIVERED,
    NEVER,
    WAITING,
    WITHHELD,
    account,
)
from tracking_pipeline.health.readings.deduplication import Deduplication
from tracking_pipeline.health.readings.rollup import full_hour, hour_after, roll_up
from tracking_pipeline.health.thresholds import Thresholds, evaluate
from tracking_pipeline.store.database import one_moment

HOW_DELIVERED = ("first_try", "retry", "warning", "by_hand")
CONSENTS = ("granted", "refused", "unknown")
_KINDS = {CONSENT_DENIED: "consent", NO_CONSENT: "consent", EXPIRED_AT_ARRIVAL: "age"}
_MOST_REASONS = 5
# https://developers.facebook.com/docs/marketing-api/conversions-api/dataset-quality-api
COVERAGE_GOAL_PERCENT = 75.0
# Less is what a week moves by itself.
_STEADY_POINTS = 0.1


def account_for(
    connection: psycopg.Connection[Any],
    config: HealthConfig,
    since: datetime | None = None,
    until: datetime | None = None,
    destinations: Sequence[str] = DESTINATIONS,
    *,
    time_budget_seconds: float,
) -> AccountingReading | None:
    """Counts what has changed since the last check, then reads the accounting of [since, until), of
    the full hours that these are in; the last :data:`ACCOUNTING_DAYS` where it is not said. None
    where it is empty. ``connection`` is in autocommit mode."""
    roll_up(connection, config.counting, time_budget_seconds=time_budget_seconds)
    account(connection, config.accounting, time_budget_seconds=time_budget_seconds)
    with one_moment(connection) as now:
        end = min(until or now, now)
        begin = full_hour(since or end - timedelta(days=ACCOUNTING_DAYS))
        if begin >= end:
            return None
        return read_accounting(connection, config, begin, min(hour_after(end), now), destinations)


def accounting_json(found: AccountingReading) -> dict[str, Any]:
    """The accounting as JSON values."""
    return {
        "success": True,
        "since": found.since.isoformat(),
        "until": found.until.isoformat(),
        "counted_at": found.counted_at.isoformat() if found.counted_at else None,
        "hours_left": found.hours_left,
        "destinations": {name: _destination(each) for name, each in found.destinations.items()},
        "consent": [
            {
                "day": day.date().isoformat(),
                "event_name": name,
                **{each: said.get(each, 0) for each in CONSENTS},
            }
            for (day, name), said in found.consent.items()
        ],
        "deduplication": _deduplication(found.deduplication),
        "repeated_orders": {
            "count": found.repeated_orders,
            "orders": [
                {
                    "order_id": each.order_id,
                    "event_name": each.event_name,
                    "event_ids": [str(one) for one in each.event_ids],
                    "first_at": each.first_at.isoformat(),
                    "last_at": each.last_at.isoformat(),
                }
                for each in found.repeated
            ],
        },
    }


def _deduplication(found: Deduplication) -> dict[str, Any]:
    return {
        "orders": found.orders,
        "orders_under_one_id": found.under_one_id,
        "one_id_percent": _rounded(found.one_id_percent),
        "meta": [asdict(each) for each in found.meta],
        "google_events": found.google_events,
        "google_duplicates": found.google_duplicates,
    }


def _destination(found: DestinationAccount) -> dict[str, Any]:
    return {
        "delivered_percent": _rounded(found.total.percent),
        "previous_percent": _rounded(found.before.percent),
        "change_points": _rounded(found.trend),
        **line_json(found.total),
        "reasons": [
            {"became": each.became, "kind": _kind(each), **_reason_json(each)}
            for each in found.reasons
        ],
        "funnel": [
            {
                "step": each.step,
                "events": each.events,
                "previous": each.previous,
                "change_percent": _rounded(each.change_percent),
            }
            for each in steps_of(found)
        ],
        "at_risk": asdict(found.at_risk),
        "missing_since": found.missing_since.isoformat() if found.missing_since else None,
        "saved": asdict(found.saved),
        "not_in_ledger": {each: found.outside.get(each, 0) for each in BECAME},
        "by_event": [
            {"day": day.date().isoformat(), "event_name": name, **line_json(line)}
            for (day, name), line in found.lines.items()
        ],
    }


def line_json(line: Line) -> dict[str, Any]:
    """The numbers of one line: ``conversions`` are all the others together."""
    return {
        "conversions": line.conversions,
        "delivered": {
            "total": line.became.get(DELIVERED, 0),
            **{how: line.delivered.get(how, 0) for how in HOW_DELIVERED},
            "matched_nobody": line.unmatched,
        },
        "assumed_delivered": line.became.get(ASSUMED, 0),
        **{each: line.became.get(each, 0) for each in (*MISSING, WITHHELD)},
        "difference": line.difference,
        "should_have_been": line.due,
    }


def _reason_json(each: Reason) -> dict[str, Any]:
    return {"reason": each.reason, "events": each.events, "samples": list(each.samples)}


def _kind(each: Reason) -> str | None:
    """What a withheld event was withheld by; None for all else."""
    return _KINDS.get(each.reason, "not for this destination") if each.became == WITHHELD else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a funnel: so many events, and so many in the equal period before; None: the
    platform does not tell."""

    step: str
    events: int | None
    previous: int | None

    @property
    def change_percent(self) -> float | None:
        if self.events is None or not self.previous:
            return None
        return 100.0 * (self.events - self.previous) / self.previous


def steps_of(found: DestinationAccount) -> list[Step]:
    """The funnel of a destination, from the top."""
    now, before = found.total, found.before
    return [
        Step("received", now.conversions, before.conversions),
        Step("withheld", now.became.get(WITHHELD, 0), before.became.get(WITHHELD, 0)),
        Step("sent", now.sent, before.sent),
        Step("accepted", now.accepted, before.accepted),
        Step("matched", now.matched, before.matched),
    ]


@dataclass(frozen=True, slots=True)
class StepView:
    """A step for people: ``share`` is that of what was received."""

    name: str
    label: str
    events: str
    share: float
    change: str


@dataclass(frozen=True, slots=True)
class ReasonView:
    """Why so many events are not there; ``samples`` are ids of some."""

    what: str
    why: str
    events: str
    samples: Sequence[str]


@dataclass(frozen=True, slots=True)
class FunnelView:
    """How much arrived at one destination. ``level``: as the metric's thresholds have it."""

    name: str
    title: str
    level: str
    percent: str
    summary: str
    trend: str
    notes: Sequence[str]
    steps: Sequence[StepView]
    missing: str
    since: str
    worth: str
    to_do: str
    reasons: Sequence[ReasonView]
    withheld: Sequence[ReasonView]


@dataclass(frozen=True, slots=True)
class ConsentView:
    """What was said of consent to advertising, with the conversions of one name."""

    event_name: str
    events: str
    shares: Sequence[str]


@dataclass(frozen=True, slots=True)
class OrderView:
    """One order that came under several event ids."""

    order_id: str
    event_name: str
    event_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class ArrivalsView:
    """Did the conversions arrive: worst destination first. ``days`` long, ``counting`` says what is
    still to be counted."""

    days: int
    funnels: Sequence[FunnelView]
    consent: Sequence[ConsentView]
    meeting: Sequence[str]
    repeated: str
    orders: Sequence[OrderView]
    counting: str


# Why what waits does.
_WAITING = {
    "first_try": "for the first attempt",
    "retry": "to be sent again",
    "postponed": "until the event's own time",
}
_TO_DO = {
    WAITING: "What waits is sent again by itself: `tracking-pipeline status` says when.",
    DEAD: "Fix the cause of what was given up, then send it again: `tracking-pipeline replay`.",
    NEVER: "Hand over what nobody tried: `tracking-pipeline backfill --destination {name}`.",
}
STEP_LABELS = {
    "received": "Received",
    "withheld": "Withheld",
    "sent": "Sent",
    "accepted": "Accepted",
    "matched": "Matched",
}


def arrivals_view(found: AccountingReading, limits: Thresholds) -> ArrivalsView:
    """The accounting for people. ``limits`` are those of the metric ``delivery_rate``."""
    accounts = sorted(
        found.destinations.values(),
        key=lambda each: 101.0 if each.total.percent is None else each.total.percent,
    )
    days = max(round((found.until - found.since).total_seconds() / 86_400), 1)
    repeated = found.repeated_orders
    return ArrivalsView(
        days=days,
        funnels=[funnel_view(each, limits, days) for each in accounts],
        consent=_consent(found.consent),
        meeting=list(meeting_words(found.deduplication)),
        repeated=f"{count_of(repeated, 'order')} came under several event ids" if repeated else "",
        orders=[
            OrderView(each.order_id, each.event_name, [str(one) for one in each.event_ids])
            for each in found.repeated
        ],
        counting=f"{count_of(found.hours_left, 'hour')} of the history are still to be counted."
        if found.hours_left
        else "",
    )


def meeting_words(found: Deduplication) -> Iterator[str]:
    """How the browser's events and the server's meet, in sentences."""
    if found.one_id_percent is not None:
        yield (
            f"Ledger: {percent(found.one_id_percent)} of {count_of(found.orders, 'order')} came "
            "under one event id. An order that only one side reported counts as one of these."
        )
    for each in found.meta:
        if each.covered_percent is None:
            continue
        carry = [
            f"{percent(share)} of the {side}'s events carry it"
            for side, share in (("pixel", each.browser_percent), ("server", each.server_percent))
            if share is not None
        ]
        told = f"Meta, {each.event_name}: {percent(each.covered_percent)} of the pixel's events "
        told += f"have a server event with the same {each.key}"
        yield f"{told} ({', '.join(carry)})." if carry else f"{told}."
        if each.key == "event_id" and each.covered_percent < COVERAGE_GOAL_PERCENT:
            yield (
                f"Meta's goal is {COVERAGE_GOAL_PERCENT:g} %: give the server's event the very id "
                "that the pixel used (`eventID`), in `event_id`."
            )
    if found.google_percent is not None:
        yield (
            f"Google had {found.google_duplicates:,} of {count_of(found.google_events, 'event')} "
            f"already ({percent(found.google_percent)}): from the tag on the page, or from an "
            "earlier try."
        )


def funnel_view(found: DestinationAccount, limits: Thresholds, days: int) -> FunnelView:
    """The funnel of one destination."""
    total = found.total
    shown = found.reasons
    return FunnelView(
        name=found.name,
        title=formatting.destination_title(found.name),
        level=_level(total, limits),
        percent="–" if total.percent is None else percent(total.percent),
        summary=f"of {count_of(total.due, 'conversion')} that should have arrived",
        trend=_trend(found.trend, days),
        notes=_notes(found),
        steps=[_step(each, total.conversions) for each in steps_of(found)],
        missing=f"{total.missing:,}" if total.missing else "",
        since=_since(found),
        worth=found.at_risk.words if total.missing else "",
        to_do=_to_do(found),
        reasons=_reasons([each for each in shown if each.became in MISSING]),
        withheld=_reasons([each for each in shown if each.became == WITHHELD]),
    )


def _level(total: Line, limits: Thresholds) -> str:
    return evaluate(limits, Measured(total.percent, total.due)).level


def _trend(trend: float | None, days: int) -> str:
    if trend is None:
        return ""
    if abs(trend) < _STEADY_POINTS:
        return f"as in the {days} days before"
    direction = "up" if trend > 0 else "down"
    return f"{direction} {abs(trend):.1f} points on the {days} days before"


def _since(found: DestinationAccount) -> str:
    return f"{found.missing_since:%d %b %H:%M} UTC" if found.missing_since else ""


def _to_do(found: DestinationAccount) -> str:
    """What to do about most of what is missing."""
    became = found.total.became
    most = max(MISSING, key=lambda each: became.get(each, 0))
    return _TO_DO[most].format(name=found.name) if became.get(most) else ""


def _notes(found: DestinationAccount) -> list[str]:
    """What has to be known beside the numbers."""
    total, notes = found.total, []
    if assumed := total.became.get(ASSUMED, 0):
        notes.append(
            f"{assumed:,} of those that arrived are assumed to: the site sends them itself, and "
            "reported no failure."
        )
    if warned := total.delivered.get("warning", 0):
        notes.append(f"{count_of(warned, 'event')} delivered with a warning.")
    if by_hand := total.delivered.get("by_hand", 0):
        notes.append(f"{count_of(by_hand, 'event')} settled by hand.")
    if total.difference:
        notes.append(f"{count_of(total.difference, 'conversion')} not accounted for yet.")
    if outside := sum(found.outside.values()):
        notes.append(f"{count_of(outside, 'failed event')} beside these are not in the ledger.")
    return notes


def _step(step: Step, received: int) -> StepView:
    change = step.change_percent
    return StepView(
        name=step.step,
        label=STEP_LABELS[step.step],
        events="not told" if step.events is None else f"{step.events:,}",
        share=100.0 * min((step.events or 0) / received, 1.0) if received else 0.0,
        change="" if change is None else f"{signed(change, 0)} %",
    )


def _reasons(found: Sequence[Reason]) -> list[ReasonView]:
    """The most frequent of them."""
    ordered = sorted(found, key=lambda each: -each.events)[:_MOST_REASONS]
    return [
        ReasonView(
            what=BECAME_WORDS[each.became],
            why=_WAITING.get(each.reason) or formatting.reason_text(each.reason),
            events=f"{each.events:,}",
            samples=each.samples,
        )
        for each in ordered
    ]


def _consent(found: Mapping[tuple[datetime, str], Mapping[str, int]]) -> list[ConsentView]:
    by_name: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (_, name), said in found.items():
        by_name[name].update(said)
    ordered = sorted(by_name.items(), key=lambda item: -item[1].total())
    return [
        ConsentView(
            name,
            f"{said.total():,}",
            [percent(100.0 * said[each] / said.total()) for each in CONSENTS],
        )
        for name, said in ordered
    ]
