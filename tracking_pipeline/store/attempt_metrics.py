"""Sums up ``tracking_delivery_attempts`` between two moments, for monitoring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from typing_extensions import LiteralString


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
