"""Counts the ledger's conversions by hour, event name and match keys.

So that a score over days reads a few thousand numbers and not the ledger. What has been counted is
final (:func:`final_until`) and is counted once: the counts of a chunk and the mark of
how far they reach are one transaction. A roll-up that is killed goes on where it was; two at once
take turns; the first one over a long history holds a page of rows in memory.

The address keys that delivery adds from an event's lead count as the event's own. A lead may get
its address after its event was counted, and an import may bring rows of days ago: so once a day the
last :data:`RECOUNT_DAYS` days are counted again, hour by hour.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson
import psycopg

from tracking_pipeline.events.person import PLACE_FIELDS
from tracking_pipeline.health.config import CountingRule
from tracking_pipeline.health.emq.presence import present_keys, with_lead_address
from tracking_pipeline.store.database import read_now
from tracking_pipeline.store.match_key_rollup import (
    Counts,
    LedgerEvent,
    add_counts,
    find_chunk,
    forget_counts,
    read_counts,
    stream_conversions,
)
from tracking_pipeline.store.rollup_progress import (
    Progress,
    RunningTransaction,
    locked_progress,
    read_progress,
    read_running_transactions,
    save_progress,
)

# A transaction's now() is the moment at which its first statement arrives; a busy server lists it
# as running a little later.
HOLD_BACK = timedelta(seconds=10)


def final_until(
    now: datetime, running: Collection[RunningTransaction], progress: Progress
) -> datetime | None:
    """The moment before which the ledger is final, given the transactions that run at ``now``: no
    row will appear in it that was created before. None where nothing can be said.

    A row's ``created_at`` is the start of its transaction, and it shows when that commits: a
    roll-up that read beyond the start of the oldest one running would lose what commits late. When
    another role's transaction began is hidden from most roles. It began after the last look, if
    that did not see it; otherwise the roll-up waits for it.
    """
    bounds: list[datetime | None] = [now]
    for transaction in running:
        if transaction.began_at is not None:
            bounds.append(transaction.began_at)
        elif transaction.id in progress.seen_transactions:
            bounds.append(progress.rolled_until)
        else:
            bounds.append(progress.seen_at)
    known = [bound for bound in bounds if bound is not None]
    return min(known) - HOLD_BACK if len(known) == len(bounds) else None


def look_again(
    now: datetime, running: Collection[RunningTransaction], progress: Progress
) -> Progress:
    """The progress with what was seen at ``now``, unless a transaction of the last look still runs:
    that look is the only bound on when the others began."""
    hidden = frozenset(each.id for each in running if each.began_at is None)
    if hidden & progress.seen_transactions:
        return progress
    return replace(progress, seen_at=now, seen_transactions=hidden)


RECOUNT_DAYS = 8
TIME_BUDGET_SECONDS = 240.0
RECOUNT_BUDGET_SECONDS = 60.0
# A few seconds of work, which a kill can cost.
MOST_ROWS_A_CHUNK = 100_000
# The Conversions API is younger; a row that claims to be older has a broken clock.
OLDEST = datetime(2000, 1, 1, tzinfo=timezone.utc)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class RollUp:
    """What a roll-up did: the ``events`` that it counted, in so many transactions. ``caught_up``:
    all that is final is counted; else the time budget was spent, and the next one goes on."""

    events: int
    chunks: int
    caught_up: bool
    rolled_until: datetime | None


def roll_up(
    connection: psycopg.Connection[Any],
    rule: CountingRule,
    *,
    time_budget_seconds: float = TIME_BUDGET_SECONDS,
    most_rows: int = MOST_ROWS_A_CHUNK,
) -> RollUp:
    """Counts all that is final and not counted yet. ``connection`` is in autocommit mode."""
    deadline = time.monotonic() + time_budget_seconds
    until = _begin(connection, rule)
    events = chunks = 0
    while True:
        with locked_progress(connection) as progress:
            since = progress.rolled_until or OLDEST
            chunk = find_chunk(connection, since, until, most_rows=most_rows)
            if chunk is None:
                reached = max(since, until)
                save_progress(connection, replace(progress, rolled_until=reached))
                return RollUp(events, chunks, True, reached)
            start, end = chunk
            counts = _count(stream_conversions(connection, start, end, rule.conversions), rule)
            add_counts(connection, start, counts)
            save_progress(connection, replace(progress, rolled_until=end))
        events += _sum(counts)
        chunks += 1
        if time.monotonic() >= deadline:
            return RollUp(events, chunks, False, end)


def _begin(connection: psycopg.Connection[Any], rule: CountingRule) -> datetime:
    """Looks how far the ledger is final. Forgets all counts that another rule made."""
    now, running = read_running_transactions(connection)
    with locked_progress(connection) as before:
        until = final_until(now, running, before) or OLDEST
        progress = look_again(now, running, before)
        if progress.rule != rule.conversions.text:
            forget_counts(connection, OLDEST, now + _HOUR)
            progress = replace(
                progress,
                rule=rule.conversions.text,
                rolled_until=None,
                recount_from=None,
                recount_begun_at=now,
            )
        save_progress(connection, progress)
    return until


@dataclass(frozen=True, slots=True)
class Recount:
    """What a recount did. ``finished``: nothing is left to recount today."""

    hours: int
    finished: bool


def recount_recent(
    connection: psycopg.Connection[Any],
    rule: CountingRule,
    *,
    time_budget_seconds: float = RECOUNT_BUDGET_SECONDS,
) -> Recount:
    """Counts the last days again, once a day (UTC): the first time that it is called on that day.
    What the time budget leaves is done by the next calls. ``connection`` is in autocommit mode."""
    deadline = time.monotonic() + time_budget_seconds
    hours = 0
    while True:
        with locked_progress(connection) as before:
            progress = begin_recount(before, read_now(connection))
            hour = progress.recount_from
            if hour is None:
                return Recount(hours, True)
            if progress.rolled_until is None or hour + _HOUR > progress.rolled_until:
                save_progress(connection, replace(progress, recount_from=None))
                return Recount(hours, True)
            forget_counts(connection, hour, hour + _HOUR)
            events = stream_conversions(connection, hour, hour + _HOUR, rule.conversions)
            add_counts(connection, hour, _count(events, rule))
            save_progress(connection, replace(progress, recount_from=hour + _HOUR))
        hours += 1
        if time.monotonic() >= deadline:
            return Recount(hours, False)


def begin_recount(progress: Progress, now: datetime) -> Progress:
    """The progress at ``now``: with a new recount where none is under way and the day (UTC) is
    another than that of the last one."""
    begun = progress.recount_begun_at
    if progress.recount_from is not None or begun is None or _day(begun) >= _day(now):
        return progress
    first = full_hour(now - timedelta(days=RECOUNT_DAYS))
    return replace(progress, recount_from=first, recount_begun_at=now)


def count_events(
    connection: psycopg.Connection[Any], since: datetime, until: datetime, rule: CountingRule
) -> Counts:
    """The conversions created within [since, until), by event name and mask.

    Hours that the window holds a part of, and what the roll-up does not hold yet, are counted from
    the ledger, so that a transaction that stays open for long makes a check slower and never blind.
    To be called in a transaction of isolation level repeatable read, after :func:`roll_up` has
    caught up.
    """
    rolled_until = read_progress(connection).rolled_until or OLDEST
    first, last = hour_after(since), full_hour(until)
    if last <= first or rolled_until <= first:
        counts: Counts = {}
        rest = [(since, until)]
    elif rolled_until < until:
        counts = read_counts(connection, first, until)
        rest = [(since, first), (rolled_until, until)]
    else:
        counts = read_counts(connection, first, last)
        rest = [(since, first), (last, until)]
    for begin, end in rest:
        if begin == end:
            continue
        events = stream_conversions(connection, begin, end, rule.conversions)
        for name, of_name in _count(events, rule).items():
            counted = counts.setdefault(name, {})
            for mask, number in of_name.items():
                counted[mask] = counted.get(mask, 0) + number
    return counts


def full_hour(moment: datetime) -> datetime:
    """The beginning of the hour (UTC) that a moment is in."""
    return moment.astimezone(timezone.utc).replace(minute=0, second=0, microsecond=0)


def hour_after(moment: datetime) -> datetime:
    """The first full hour (UTC) that is not before a moment."""
    hour = full_hour(moment)
    return hour if hour == moment else hour + _HOUR


def _day(moment: datetime) -> datetime:
    return full_hour(moment).replace(hour=0)


def _count(events: Iterable[LedgerEvent], rule: CountingRule) -> Counts:
    counts: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for event in events:
        counts[event.event_name][mask_of_event(event, rule)] += 1
    return {name: dict(of_name) for name, of_name in counts.items()}


def _sum(counts: Counts) -> int:
    return sum(sum(of_name.values()) for of_name in counts.values())


def mask_of_event(event: LedgerEvent, rule: CountingRule) -> int:
    """The match keys of one ledger event, with the address keys that delivery adds from its
    lead."""
    hosting = () if rule.hosting_match_keys else event.hosting_fields or ()
    country = None if "country" in hosting else event.country
    mask = present_keys(
        _decoded(event.user_data),
        fbp=event.fbp,
        fbc=event.fbc,
        external_id=event.external_id,
        email_sha256=event.email_sha256,
        phone_sha256=event.phone_sha256,
        country=country or rule.country,
    )
    places = set(PLACE_FIELDS[rule.geo_match_keys]).difference(hosting)
    return with_lead_address(
        mask,
        city=event.city if "city" in places else None,
        state=event.state if "state" in places else None,
        zip_code=event.zip if "zip" in places else None,
        country=event.country if "country" in places else None,
        from_ip=event.from_ip or (),
        default_country=rule.country,
    )


def _decoded(user_data: str | None) -> object:
    """Fails open: JSON too deep or too large to be read carries no keys, and the event counts."""
    try:
        return orjson.loads(user_data) if user_data else None
    except orjson.JSONDecodeError:
        return None
