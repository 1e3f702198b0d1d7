"""What became of each conversion at each destination, counted by hour.

    delivered      first_try, retry, with a warning, by_hand: somebody settled it
    assumed        the site sends first attempts itself, and reported no failure of this one
    waiting        in one of the queues
    dead           given up, with the reason
    withheld       the person's refusal or the site's own rule kept it back, with the reason
    never_handed_over    nobody has tried, and nothing says why

Each conversion of the ledger is exactly one of these at each destination in use, so they add up to
the ledger's conversions. A failed event whose conversion is not in the ledger is counted apart.

What becomes of an event may change for weeks: a retry, a replay, a late answer. So an hour is
counted anew, whole, whenever something has become of one of its events since it was counted, and
the last days once a day for what nothing tells of. An hour of many events is counted in slices, of
which only those with such an event are counted anew: a change costs the same however long the
ledger is, and however dense. The newest hours are counted first; a pass that spends its time budget
leaves the rest to the next one, and one that is killed loses a few seconds of work.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg

from tracking_pipeline.delivery.destinations.registry import (
    ADVERTISING_NEEDS,
    DESTINATIONS,
    spec_of,
)
from tracking_pipeline.delivery.engine.outcomes import Withheld
from tracking_pipeline.delivery.engine.readiness import (
    AGE_MARGIN,
    EXPIRED_AT_ARRIVAL,
    without_consent,
)
from tracking_pipeline.delivery.worth import stated_value
from tracking_pipeline.events.consent import Said
from tracking_pipeline.events.conversion import Conversion, read_conversion
from tracking_pipeline.events.row import StoredRow
from tracking_pipeline.health.config import AccountingRule
from tracking_pipeline.health.readings.rollup import OLDEST, final_until, full_hour, look_again
from tracking_pipeline.store.delivery_accounting import (
    LONGEST_ORDER_ID,
    AccountedRow,
    ConversionRow,
    Counted,
    CountedEvent,
    OrderEvent,
    Slice,
    Trace,
    Traces,
    find_changed_hours,
    find_destinations_with_failures,
    find_full_hours,
    find_slice_end,
    forget_hours,
    forget_slices,
    read_counted,
    read_slices,
    read_traces,
    stream_counted_events,
    write_hour,
    write_orders,
    write_slice,
)
from tracking_pipeline.store.rollup_progress import (
    DELIVERY,
    locked_progress,
    read_running_transactions,
    save_progress,
)

DELIVERED, ASSUMED, WAITING = "delivered", "assumed", "waiting"
DEAD, WITHHELD, NEVER = "dead", "withheld", "never_handed_over"
UNTRIED = ("first_try", "postponed")
"""Why what waits waits for its first attempt."""
BECAME = (DELIVERED, ASSUMED, WAITING, DEAD, WITHHELD, NEVER)

# As far back the accounting goes when it begins, and as far back late answers are followed.
HISTORY_DAYS = 35
RECOUNT_DAYS = 8
# Alerts wait for it.
TIME_BUDGET_SECONDS = 20.0
# An hour of more events is counted in slices of so many.
SLICE_EVENTS = 1_000
# So many slices are one transaction.
_MOST_SLICES = 20
_HOUR = timedelta(hours=1)
SAMPLES = 10
# So many values tell the median of an hour's.
_VALUE_SAMPLE = 20
INTAKE = "tracking_pipeline"
"""``ingested_by`` of what our own intake recorded."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a conversion says of itself. ``currency`` empty: it states no value above 0."""

    conversion: Conversion | None
    consent: str
    value: float
    currency: str
    order_id: str | None


def read_facts(event: CountedEvent, rule: AccountingRule) -> Facts:
    """What a stored conversion says of consent, value and order."""
    metadata = _decoded(event.metadata)
    conversion = read_conversion(
        StoredRow(
            event_id=event.event_id or uuid4(),
            event_name=event.event_name or "conversion",
            payload=metadata if isinstance(metadata, dict) else {},
            user_data=_decoded(event.user_data),
            created_at=event.created_at,
            now=event.created_at,
        ),
        policy=rule.policy,
    )
    if not isinstance(conversion, Conversion):
        return Facts(None, "unknown", 0.0, "", None)
    value, currency = stated_value(conversion, rule.currency)
    order = conversion.order_id[:LONGEST_ORDER_ID] if conversion.order_id else None
    return Facts(conversion, stated_consent(conversion, rule), value, currency, order)


def stated_consent(conversion: Conversion, rule: AccountingRule) -> str:
    """What was said of advertising: ``refused`` where any of it was, ``granted`` where all of it
    was, else ``unknown``."""
    said = {
        purpose: conversion.consent[purpose].said
        for purpose in ADVERTISING_NEEDS
        if purpose in conversion.consent
    }
    no_tracking = rule.policy.privacy_control == "denied"
    if Said.DENIED in said.values() or (no_tracking and conversion.reading.has_privacy_control()):
        return "refused"
    agreed = [each for each in said.values() if each in (Said.GRANTED, Said.AGREED)]
    return "granted" if len(agreed) == len(ADVERTISING_NEEDS) else "unknown"


def _decoded(text: str | None) -> Any:
    try:
        return None if text is None else orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def became_of(
    event: CountedEvent, facts: Facts, destination: str, trace: Trace | None, rule: AccountingRule
) -> Trace:
    """What became of a conversion at a destination, as one of :data:`BECAME`."""
    if trace is not None:
        return trace
    if spec_of(destination).is_store:
        return Trace(DELIVERED, "first_try")
    return (
        _refused(facts, destination, rule)
        or _too_old(event, destination, rule)
        or _unknown(event, destination, rule)
    )


def _refused(facts: Facts, destination: str, rule: AccountingRule) -> Trace | None:
    if facts.conversion is None:
        return None
    found = without_consent(facts.conversion, rule.needs.get(destination, ()), rule.policy)
    return Trace(WITHHELD, found.reason) if isinstance(found, Withheld) else None


def _too_old(event: CountedEvent, destination: str, rule: AccountingRule) -> Trace | None:
    limit = rule.age_limits.get(destination)
    if limit is None or event.event_time is None:
        return None
    is_old = event.created_at - event.event_time > limit - AGE_MARGIN
    return Trace(WITHHELD, EXPIRED_AT_ARRIVAL) if is_old else None


def _unknown(event: CountedEvent, destination: str, rule: AccountingRule) -> Trace:
    is_handed_over = destination in rule.handed_over
    if is_handed_over and event.ingested_by == INTAKE:
        return Trace(NEVER, "recorded and not handed over")
    sent = rule.sent_by_site
    if destination in sent if sent is not None else not is_handed_over:
        return Trace(ASSUMED, "the site sends it itself")
    return Trace(NEVER, "not recorded by log-event")


@dataclass(slots=True)
class _Sum:
    events: int = 0
    value: float = 0.0
    samples: list[UUID] = field(default_factory=list)


@dataclass(slots=True)
class _Conversions:
    events: int = 0
    values: list[float] = field(default_factory=list)


class EventCount:
    """The count of an hour or a slice: :meth:`add` takes events, :meth:`add_counted` what others
    came to; :attr:`counted` is what all came to, :attr:`orders` what the events are about."""

    def __init__(self, rule: AccountingRule, destinations: Sequence[str]) -> None:
        self._rule = rule
        self._destinations = destinations
        self._sums: defaultdict[tuple[str, str, bool, str, str, str], _Sum] = defaultdict(_Sum)
        self._conversions: defaultdict[tuple[str, str, str], _Conversions] = defaultdict(
            _Conversions
        )
        self.orders: list[OrderEvent] = []

    def add(self, events: Iterable[CountedEvent], traces: Traces) -> None:
        """Counts these events."""
        for event in events:
            facts = read_facts(event, self._rule)
            own: Mapping[str, Trace] = traces.get(event.event_id, {}) if event.event_id else {}
            in_ledger = event.destinations is None
            if in_ledger:
                of_name = self._conversions[event.event_name, facts.consent, facts.currency]
                of_name.events += 1
                if facts.currency:
                    of_name.values.append(facts.value)
                if facts.order_id and event.event_id:
                    self.orders.append(
                        OrderEvent(
                            facts.order_id, event.event_name, event.event_id, event.created_at
                        )
                    )
            for destination in event.destinations or self._destinations:
                fate = became_of(event, facts, destination, own.get(destination), self._rule)
                self._add(event, facts, destination, fate, in_ledger=in_ledger)

    def _add(
        self, event: CountedEvent, facts: Facts, destination: str, fate: Trace, *, in_ledger: bool
    ) -> None:
        of = (destination, event.event_name, in_ledger, fate.became, fate.reason, facts.currency)
        total = self._sums[of]
        total.events += 1
        total.value += facts.value
        if event.event_id and fate.became != ASSUMED and len(total.samples) < SAMPLES:
            total.samples.append(event.event_id)

    def add_counted(self, part: Counted) -> None:
        """Adds what a slice came to."""
        for row in part.accounted:
            total = self._sums[
                row.destination,
                row.event_name,
                row.in_ledger,
                row.became,
                row.reason,
                row.currency,
            ]
            total.events += row.events
            total.value += row.value
            total.samples.extend(row.samples[: SAMPLES - len(total.samples)])
        for each in part.conversions:
            of_name = self._conversions[each.event_name, each.consent, each.currency]
            of_name.events += each.events
            of_name.values.extend(each.value_sample)

    @property
    def counted(self) -> Counted:
        return Counted(
            [
                AccountedRow(*key, each.events, each.value, each.samples)
                for key, each in self._sums.items()
            ],
            [
                ConversionRow(*key, each.events, value_sample(each.values))
                for key, each in self._conversions.items()
            ],
        )


def value_sample(values: Sequence[float]) -> list[float]:
    """Some of the values, in order, evenly spread over all of them."""
    ordered = sorted(values)
    if len(ordered) <= _VALUE_SAMPLE:
        return ordered
    step = len(ordered) / _VALUE_SAMPLE
    return [ordered[int((place + 0.5) * step)] for place in range(_VALUE_SAMPLE)]


@dataclass(frozen=True, slots=True)
class Accounting:
    """What a pass did: ``hours`` that it counted, each or a part of it, and those that are ``left``
    to the next one."""

    hours: int
    left: int


def account(
    connection: psycopg.Connection[Any],
    rule: AccountingRule,
    *,
    time_budget_seconds: float = TIME_BUDGET_SECONDS,
    slice_events: int = SLICE_EVENTS,
) -> Accounting:
    """Counts what has changed since the last pass. ``connection`` is in autocommit mode."""
    deadline = time.monotonic() + time_budget_seconds
    destinations = _begin(connection, rule)
    hours: set[datetime] = set()
    while True:
        with locked_progress(connection, DELIVERY) as progress:
            if not progress.stale_hours:
                return Accounting(len(hours), 0)
            hour = full_hour(max(progress.stale_hours))
            stale = {each for each in progress.stale_hours if full_hour(each) == hour}
            left = _count_hour(
                connection, hour, stale, rule, destinations, slice_events=slice_events
            )
            rest = tuple(sorted({*progress.stale_hours}.difference(stale) | left))
            save_progress(connection, replace(progress, stale_hours=rest), DELIVERY)
        hours.add(hour)
        if time.monotonic() >= deadline:
            return Accounting(len(hours), len(stale_hours(rest)))


def stale_hours(stale: Iterable[datetime]) -> set[datetime]:
    """The hours that are to be counted: ``stale`` holds them, or the beginnings of slices."""
    return {full_hour(each) for each in stale}


def _begin(connection: psycopg.Connection[Any], rule: AccountingRule) -> list[str]:
    """Notes the hours that are to be counted. Returns the destinations in use."""
    now, running = read_running_transactions(connection)
    horizon = full_hour(now - timedelta(days=HISTORY_DAYS))
    with locked_progress(connection, DELIVERY) as before:
        failing = find_destinations_with_failures(connection, DESTINATIONS, horizon)
        in_use = [name for name in DESTINATIONS if name in failing or _is_sent_to(name, rule)]
        text = rule_text(rule, in_use)
        is_new_day = before.recount_begun_at is None or _day(before.recount_begun_at) < _day(now)
        if before.rule != text:
            forget_hours(connection, horizon, now + _HOUR)
            stale = set(find_full_hours(connection, horizon, now))
        else:
            since = max(before.rolled_until or horizon, horizon)
            first = full_hour(now - timedelta(days=RECOUNT_DAYS)) if is_new_day else since
            stale = {
                *(hour for hour in before.stale_hours if hour >= horizon),
                *find_changed_hours(connection, since, DESTINATIONS, horizon=horizon),
                *find_full_hours(connection, min(first, since), now),
            }
        if is_new_day:
            forget_slices(connection, OLDEST, horizon)
        # What commits later than now was created after this moment, or changed after it.
        reached = final_until(now, running, before) or before.rolled_until
        progress = replace(
            look_again(now, running, before),
            rule=text,
            rolled_until=reached,
            stale_hours=tuple(sorted(stale)),
            recount_begun_at=now if is_new_day else before.recount_begun_at,
        )
        save_progress(connection, progress, DELIVERY)
    return in_use


def _is_sent_to(destination: str, rule: AccountingRule) -> bool:
    """Whether conversions are meant for a destination where nothing has failed. What the ledger
    holds has reached the ledger."""
    sent = (*rule.configured, *rule.handed_over, *(rule.sent_by_site or ()))
    return destination in sent and not spec_of(destination).is_store


def rule_text(rule: AccountingRule, in_use: Sequence[str]) -> str:
    """The rule in one line, the same for the same rule: under another one all is counted anew."""
    policy = rule.policy
    parts = (
        rule.conversions.text,
        in_use,
        rule.handed_over,
        rule.sent_by_site,
        rule.currency,
        str(policy.zone),
        policy.consent_default,
        policy.privacy_control,
        sorted(policy.denied_consent_ids),
        {name: [each.value for each in needs] for name, needs in rule.needs.items()},
        {name: limit.total_seconds() for name, limit in rule.age_limits.items()},
    )
    return orjson.dumps(parts).decode()


def _day(moment: datetime) -> datetime:
    return full_hour(moment).replace(hour=0)


def _count_hour(
    connection: psycopg.Connection[Any],
    hour: datetime,
    stale: Iterable[datetime],
    rule: AccountingRule,
    destinations: Sequence[str],
    *,
    slice_events: int,
) -> set[datetime]:
    """Counts an hour anew, as far as it is ``stale`` and within :data:`_MOST_SLICES`, in the
    transaction that is under way. Returns what of it is stale still: so long it stays as it was."""
    slices = read_slices(connection, hour)
    left = set(stale)
    for _ in range(_MOST_SLICES):
        if not left:
            break
        part = slice_at(min(left), hour, slices)
        end = find_slice_end(connection, part.since, part.until, most_rows=slice_events)
        left = {each for each in left if not part.since <= each < end}
        if end < part.until:
            left.add(end)
        part = replace(part, until=end)
        counted = _count(connection, part, rule, destinations)
        if part == Slice(hour, hour + _HOUR):
            write_hour(connection, hour, counted)
            return left
        write_slice(connection, part, counted)
        slices = [each for each in slices if not part.since <= each.since < end]
        slices = sorted([*slices, part], key=lambda each: each.since)
    if not left:
        whole = EventCount(rule, destinations)
        for each in read_counted(connection, hour):
            whole.add_counted(each)
        write_hour(connection, hour, whole.counted)
    return left


def slice_at(moment: datetime, hour: datetime, slices: Sequence[Slice]) -> Slice:
    """The slice of an hour that a moment is in; where it is in none, the gap."""
    since, until = hour, hour + _HOUR
    for each in slices:
        if each.since <= moment < each.until:
            return each
        if each.until <= moment:
            since = each.until
        elif each.since > moment:
            return Slice(since, each.since)
    return Slice(since, until)


def _count(
    connection: psycopg.Connection[Any],
    part: Slice,
    rule: AccountingRule,
    destinations: Sequence[str],
) -> Counted:
    """Counts a slice, and writes its orders."""
    count = EventCount(rule, destinations)
    for page in stream_counted_events(connection, part.since, part.until, rule.conversions):
        ids = [event.event_id for event in page if event.event_id is not None]
        count.add(page, read_traces(connection, ids))
    write_orders(connection, part, count.orders)
    return count.counted
