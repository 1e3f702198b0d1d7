"""Reads ``tracking_delivery_attempts``, the append-only log of every try, and sums it up for
monitoring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from typing_extensions import LiteralString


@dataclass(frozen=True, slots=True)
class LastError:
    """The newest attempt of a destination that failed. What is withheld or postponed did not.
    ``platform_message``, ``trace_id`` and ``field_path`` are the platform's."""

    destination: str
    outcome: str
    message: str
    attempted_at: datetime
    failure_code: str | None = None
    platform_message: str | None = None
    trace_id: str | None = None
    field_path: str | None = None


# One step down an index for each destination, however long the log is.
_LAST_ERRORS: LiteralString = """
select d.destination, a.outcome, coalesce(a.error_message, a.error_code, ''), a.attempted_at,
    a.failure_code, a.platform_message, a.trace_id, a.field_path
from unnest(%s::text[]) as d (destination)
cross join lateral (
    select outcome, error_message, error_code, attempted_at, failure_code, platform_message,
        trace_id, field_path
    from public.tracking_delivery_attempts
    where destination = d.destination and outcome in ('retry', 'throttled', 'paused', 'rejected')
    order by attempted_at desc
    limit 1) as a
"""


def read_last_errors(
    connection: psycopg.Connection[Any], destinations: Sequence[str]
) -> dict[str, LastError]:
    """The last error of each destination that ever had one."""
    rows = connection.execute(_LAST_ERRORS, (list(destinations),)).fetchall()
    return {row[0]: LastError(*row) for row in rows}


@dataclass(frozen=True, slots=True)
class AttemptCount:
    """So many attempts of one destination with one outcome, ``warned`` of them with a warning, and
    of those whose duration is known how many fell into each bucket (the last one has no upper
    bound) and their sum in seconds."""

    destination: str
    outcome: str
    attempts: int
    warned: int
    buckets: tuple[int, ...]
    seconds: float


# `width_bucket` counts from 0: below the first bound. Bounds are upper and inclusive for those who
# read a histogram, so the duration is compared from below: milliseconds are whole.
_COUNT: LiteralString = """
select destination, outcome, bucket, count(*), coalesce(sum(duration_ms), 0)::float8, count(warning)
from (
    select destination, outcome, duration_ms, warning,
        width_bucket(duration_ms::float8 - 0.5, %(bounds)s::float8[]) as bucket
    from public.tracking_delivery_attempts
    where attempted_at >= %(since)s and attempted_at < %(until)s) as a
group by 1, 2, 3
"""


def count_attempts(
    connection: psycopg.Connection[Any],
    since: datetime,
    until: datetime,
    bounds_ms: Sequence[float],
) -> list[AttemptCount]:
    """The attempts within [since, until), by destination and outcome. ``bounds_ms``: the upper
    bounds of all buckets but the last, ascending."""
    arguments = {"since": since, "until": until, "bounds": list(bounds_ms)}
    found: dict[tuple[str, str], list[tuple[int | None, int, float, int]]] = {}
    for destination, outcome, *rest in connection.execute(_COUNT, arguments).fetchall():
        found.setdefault((destination, outcome), []).append((rest[0], rest[1], rest[2], rest[3]))
    counts = []
    for (destination, outcome), rows in sorted(found.items()):
        in_bucket = {bucket: attempts for bucket, attempts, _, _ in rows}
        counts.append(
            AttemptCount(
                destination,
                outcome,
                attempts=sum(in_bucket.values()),
                warned=sum(warned for _, _, _, warned in rows),
                buckets=tuple(in_bucket.get(place, 0) for place in range(len(bounds_ms) + 1)),
                seconds=sum(ms for _, _, ms, _ in rows) / 1000,
            )
        )
    return counts
