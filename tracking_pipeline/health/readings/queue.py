"""What the queue says: how much waits, what died lately, what was delivered after all, and what was
withheld.

Reasons are shown to people: they hold no personal data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.delivery.failures import failure_of, failure_of_reason
from tracking_pipeline.health.metrics import Measured
from tracking_pipeline.health.readings.causes import (
    DeadLetterBatch,
    dead_letter_causes,
    destination_causes,
    outlived_words,
)
from tracking_pipeline.identity import plain_reason
from tracking_pipeline.store.health_readings import (
    Recovered,
    count_new_dead_letters,
    count_outlived,
    count_recovered,
)
from tracking_pipeline.store.health_snapshots import read_value_before
from tracking_pipeline.store.queue_counts import Waiting, count_dead_letters, read_waiting
from tracking_pipeline.store.withheld_events import WithheldEvents, count_withheld

# Growth is measured against the oldest check of about the last hour; over less it is noise.
GROWTH_LONGEST_SECONDS = 75 * 60.0
GROWTH_SHORTEST_SECONDS = 10 * 60.0
# A dead letter is news for a day; what is older stays in the queue's own reading.
DEAD_LETTER_HOURS = 24
# The ages in which recovery is told: the retries of five attempts take some three hours.
RECOVERY_AGES: tuple[tuple[str, float], ...] = (
    ("under 1 h", 3600.0),
    ("1 to 6 h", 6 * 3600.0),
    ("6 to 24 h", 24 * 3600.0),
    ("1 to 7 d", 7 * 24 * 3600.0),
)


@dataclass(frozen=True, slots=True)
class QueueReading:
    """The queue now: ``waiting`` are the failed events, without those that a backfill handed over
    and whose turn is still to come. ``growth_per_hour`` is None where no check of the last hour is
    on record.
    ``dead_letters_by_reason``: all that there are, the most frequent (destination, reason) first.
    """

    waiting: int
    due: int = 0
    leased: int = 0
    oldest_age_seconds: float | None = None
    growth_per_hour: float | None = None
    dead_letters: int = 0
    by_destination: Mapping[str, Waiting] = field(default_factory=dict)
    dead_letters_by_reason: Sequence[DeadLetterBatch] = ()

    @property
    def measured(self) -> Measured:
        waiting = {name: each.failed for name, each in self.by_destination.items()}
        return Measured(
            self.waiting,
            causes=destination_causes(waiting),
            detail={
                "due": self.due,
                "leased": self.leased,
                "oldest_age_seconds": self.oldest_age_seconds,
                "growth_per_hour": self.growth_per_hour,
                "dead_letters": self.dead_letters,
                "dead_letters_by_reason": [asdict(each) for each in self.dead_letters_by_reason],
            },
            parts=waiting,
        )


@dataclass(frozen=True, slots=True)
class DeadLetterReading:
    """What became a dead letter within the last ``hours`` and still is one. ``outlived``: how many
    of them a longer horizon of retries would have saved, by destination."""

    events: int
    hours: int
    batches: Sequence[DeadLetterBatch] = ()
    outlived: Mapping[str, int] = field(default_factory=dict)

    @property
    def measured(self) -> Measured:
        outlived = (outlived_words(events, name) for name, events in self.outlived.items())
        return Measured(
            self.events,
            causes=(*dead_letter_causes(self.batches), *outlived),
            detail=asdict(self),
        )


@dataclass(frozen=True, slots=True)
class RecoveryReading:
    """What became of the failed events of the last 7 days, in all and by age (:data:`RECOVERY_AGES`
    gives the names, the youngest first)."""

    total: Recovered
    by_age: Mapping[str, Recovered]

    @property
    def percent(self) -> float | None:
        return recovered_percent(self.total)

    @property
    def measured(self) -> Measured:
        return Measured(
            self.percent,
            detail={age: asdict(counted) for age, counted in self.by_age.items()},
            parts={age: recovered_percent(counted) for age, counted in self.by_age.items()},
        )


@dataclass(frozen=True, slots=True)
class WithheldReading:
    """How many events were withheld within 24 hours and within 7 days, in all and by destination
    and reason, the most frequent first. Reasons hold no personal data.

    It has no threshold, raises no alert and is in no error rate. It is shown because a number that
    changes from one day to the next may be a consent banner that broke.
    """

    last_day: int = 0
    last_week: int = 0
    by_reason: Sequence[WithheldEvents] = ()

    @property
    def measured(self) -> Measured:
        by_destination: Counter[str] = Counter()
        for each in self.by_reason:
            by_destination[each.destination] += each.last_day
        return Measured(self.last_day, detail=asdict(self), parts=by_destination)


def read_queue(connection: psycopg.Connection[Any]) -> QueueReading:
    """The queue's depth."""
    by_destination = {each.destination: each for each in read_waiting(connection)}
    rows = by_destination.values()
    waiting = sum(each.failed for each in rows)
    ages = [each.oldest_age_seconds for each in rows if each.oldest_age_seconds is not None]
    earlier = read_value_before(
        connection,
        "queue_depth",
        longest_seconds=GROWTH_LONGEST_SECONDS,
        shortest_seconds=GROWTH_SHORTEST_SECONDS,
    )
    return QueueReading(
        waiting=waiting,
        due=sum(each.due for each in rows),
        leased=sum(each.leased for each in rows),
        oldest_age_seconds=max(ages, default=None),
        growth_per_hour=growth_per_hour(waiting, earlier),
        dead_letters=sum(each.dead_letters for each in rows),
        by_destination=by_destination,
        dead_letters_by_reason=batches_of(count_dead_letters(connection)),
    )


def growth_per_hour(waiting: int, earlier: tuple[float, float] | None) -> float | None:
    """How many events an hour the queue has grown since an earlier count (count, age in seconds).
    Below 0: it shrinks."""
    if earlier is None:
        return None
    count, age_seconds = earlier
    return (waiting - count) * 3600.0 / age_seconds


def read_dead_letter_batches(
    connection: psycopg.Connection[Any], now: datetime
) -> DeadLetterReading:
    """The dead letters of the last :data:`DEAD_LETTER_HOURS`."""
    since = now - timedelta(hours=DEAD_LETTER_HOURS)
    batches = batches_of(count_new_dead_letters(connection, DESTINATIONS, since, now))
    return DeadLetterReading(
        sum(each.events for each in batches),
        DEAD_LETTER_HOURS,
        batches,
        count_outlived(connection, DESTINATIONS, since, now),
    )


def batches_of(counts: Iterable[tuple[str, str, int, str | None]]) -> list[DeadLetterBatch]:
    """Counts by destination, reason and failure code, without the personal data that a reason may
    hold: reasons that differ in nothing else are one."""
    merged: Counter[tuple[str, str]] = Counter()
    codes: dict[tuple[str, str], set[str]] = {}
    for destination, reason, events, code in counts:
        key = (destination, plain_reason(reason))
        merged[key] += events
        known = failure_of(code) or failure_of_reason(reason)
        codes.setdefault(key, set()).add(known.code if known else "")
    return [
        DeadLetterBatch(*key, events, codes[key].pop() if len(codes[key]) == 1 else "")
        for key, events in merged.most_common()
    ]


def read_recovery(connection: psycopg.Connection[Any]) -> RecoveryReading:
    """How many of the failed events of the last 7 days were delivered after all, and by whom."""
    names = [name for name, _ in RECOVERY_AGES]
    counted = count_recovered(connection, tuple(age for _, age in RECOVERY_AGES))
    return RecoveryReading(
        total=Recovered(
            failed=sum(each.failed for each in counted),
            resolved=sum(each.resolved for each in counted),
            dead_letters=sum(each.dead_letters for each in counted),
            by_hand=sum(each.by_hand for each in counted),
        ),
        by_age=dict(zip(names, counted, strict=True)),
    )


def recovered_percent(recovered: Recovered) -> float | None:
    """The share of failed events that were resolved, None where none failed."""
    return 100.0 * recovered.resolved / recovered.failed if recovered.failed else None


def read_withheld(connection: psycopg.Connection[Any]) -> WithheldReading:
    """What was withheld lately: events that a person's refusal or the site's own rule kept back."""
    merged: dict[tuple[str, str], WithheldEvents] = {}
    for each in count_withheld(connection):
        key = each.destination, plain_reason(each.reason)
        known = merged.get(key, WithheldEvents(*key, 0, 0))
        merged[key] = WithheldEvents(
            *key, known.last_day + each.last_day, known.last_week + each.last_week
        )
    by_reason = sorted(merged.values(), key=lambda each: -each.last_week)
    return WithheldReading(
        last_day=sum(each.last_day for each in by_reason),
        last_week=sum(each.last_week for each in by_reason),
        by_reason=by_reason,
    )
