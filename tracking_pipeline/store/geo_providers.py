"""What each online source of places allows just now, shared by all workers.

    free        the next request may be sent
    busy        a request is on its way; only its answer tells what is left of the window
    used up     nothing is sent until the window ends
    held        nothing is sent before ``not_before``: the source asked for it, or it failed

Only a source that counts requests has a window and is busy: with one request on its way at a time,
what the source said last is exact, however many workers there are. A worker that dies leaves the
source busy until ``busy_until``. A source without a row is free. Only the database's ``now()``
counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from typing_extensions import LiteralString

# 60 s doubled ten times is past the longest hold; a larger power only overflows.
_MOST_DOUBLINGS = 10


@dataclass(frozen=True, slots=True)
class RequestWindow:
    """How often a source may be asked: so many requests in so many seconds."""

    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """No request may be sent for that long, and which of the states above is why. A busy source may
    be free at any moment. ``reason`` is why it is held."""

    state: Literal["busy", "used up", "held"]
    seconds: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class GeoProviderState:
    """``failures`` is how many requests in a row came to nothing, ``reason`` the last one's;
    ``held_seconds`` is the hold that is left, 0 where there is none."""

    provider: str
    failures: int
    reason: str | None
    held_seconds: float


# Taken or not in one statement: of two workers, the second one waits for the row and then finds it
# busy.
_RESERVE: LiteralString = """
insert into public.tracking_geo_providers as p (
    provider, requests_left, window_ends_at, busy_until)
values (%(provider)s, %(requests)s - 1, now() + make_interval(secs => %(window)s),
    now() + make_interval(secs => %(busy)s))
on conflict (provider) do update
set requests_left = case when p.window_ends_at > now() then p.requests_left
        else %(requests)s end - 1,
    window_ends_at = case when p.window_ends_at > now() then p.window_ends_at
        else excluded.window_ends_at end,
    busy_until = excluded.busy_until,
    updated_at = now()
where coalesce(p.not_before <= now(), true)
  and coalesce(p.busy_until <= now(), true)
  and (coalesce(p.window_ends_at <= now(), true) or p.requests_left > 0)
returning provider
"""

_READ_WAIT: LiteralString = """
select
    coalesce(extract(epoch from not_before - now()), 0)::float8,
    case when requests_left > 0 then 0
        else coalesce(extract(epoch from window_ends_at - now()), 0) end::float8,
    coalesce(extract(epoch from busy_until - now()), 0)::float8,
    reason
from public.tracking_geo_providers
where provider = %(provider)s
"""


async def reserve_request(
    connection: psycopg.AsyncConnection[Any],
    provider: str,
    window: RequestWindow,
    *,
    busy_seconds: float,
) -> Wait | None:
    """Takes one request of the source's window; None means that the caller may send it now, and
    that nobody else may until :func:`record_answer`, :func:`hold_provider` or
    :func:`record_failure`, or until ``busy_seconds`` have passed.
    """
    cursor = await connection.execute(
        _RESERVE,
        {
            "provider": provider,
            "requests": window.requests,
            "window": window.seconds,
            "busy": busy_seconds,
        },
    )
    if await cursor.fetchone() is not None:
        return None
    # What was in the way may be over by now; then the caller tries again at once.
    return await read_wait(connection, provider) or Wait("busy", 0.0)


async def read_wait(connection: psycopg.AsyncConnection[Any], provider: str) -> Wait | None:
    """What stands in the way of a request; None means that nothing does."""
    cursor = await connection.execute(_READ_WAIT, {"provider": provider})
    row = await cursor.fetchone()
    if row is None:
        return None
    held_seconds, used_up_seconds, busy_seconds, reason = row
    if held_seconds > 0 and held_seconds >= used_up_seconds:
        return Wait("held", held_seconds, reason)
    if used_up_seconds > 0:
        return Wait("used up", used_up_seconds)
    return Wait("busy", busy_seconds) if busy_seconds > 0 else None


# The smaller of two counts is kept: another program behind the same address may use the window
# too, and what the source says takes no notice of requests that it has yet to see.
_RECORD_ANSWER: LiteralString = """
insert into public.tracking_geo_providers as p (provider, requests_left, window_ends_at)
values (%(provider)s, %(left)s::int, now() + make_interval(secs => %(resets)s::float8))
on conflict (provider) do update
set requests_left = case when p.window_ends_at > now()
        then least(p.requests_left, excluded.requests_left) else excluded.requests_left end,
    window_ends_at = coalesce(excluded.window_ends_at, p.window_ends_at),
    busy_until = null,
    failures = case when %(readable)s then 0 else p.failures end,
    reason = case when p.not_before > now() or not %(readable)s then p.reason end,
    updated_at = now()
"""


async def record_answer(
    connection: psycopg.AsyncConnection[Any],
    provider: str,
    *,
    requests_left: int | None = None,
    resets_in_seconds: float | None = None,
    readable: bool = True,
) -> None:
    """The source answered, and said that so many requests are left for so long. ``None`` for what
    it did not say: then the count goes on. An answer that was not ``readable`` ends no row of
    failures."""
    await connection.execute(
        _RECORD_ANSWER,
        {
            "provider": provider,
            "left": requests_left,
            "resets": resets_in_seconds,
            "readable": readable,
        },
    )


_HOLD: LiteralString = """
insert into public.tracking_geo_providers as p (provider, not_before, reason)
values (%(provider)s, now() + make_interval(secs => %(seconds)s), %(reason)s)
on conflict (provider) do update
set not_before = greatest(p.not_before, excluded.not_before),
    reason = excluded.reason,
    busy_until = null,
    updated_at = now()
"""


async def hold_provider(
    connection: psycopg.AsyncConnection[Any], provider: str, *, seconds: float, reason: str
) -> None:
    """Nobody asks the source for that long. Never shortens a longer hold."""
    await connection.execute(_HOLD, {"provider": provider, "seconds": seconds, "reason": reason})


# Requests that were on their way together fail together: within a hold they count as one.
_RECORD_FAILURE: LiteralString = """
insert into public.tracking_geo_providers as p (provider, not_before, failures, reason)
values (%(provider)s, now() + make_interval(secs => %(first)s), 1, %(reason)s)
on conflict (provider) do update
set not_before = case when p.not_before > now() then p.not_before
        else now() + make_interval(secs => least(
            %(first)s * power(2, least(p.failures, %(doublings)s)), %(longest)s)) end,
    failures = p.failures + case when p.not_before > now() then 0 else 1 end,
    reason = excluded.reason,
    busy_until = null,
    updated_at = now()
returning extract(epoch from not_before - now())::float8
"""


async def record_failure(
    connection: psycopg.AsyncConnection[Any],
    provider: str,
    reason: str,
    *,
    first_seconds: float,
    longest_seconds: float,
) -> float:
    """A request came to nothing: nobody asks the source for ``first_seconds``, doubled with each
    failure in a row up to ``longest_seconds``. Returns the hold."""
    cursor = await connection.execute(
        _RECORD_FAILURE,
        {
            "provider": provider,
            "reason": reason,
            "first": first_seconds,
            "longest": longest_seconds,
            "doublings": _MOST_DOUBLINGS,
        },
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  an upsert returns its row
    return float(row[0])


_READ_STATES: LiteralString = """
select provider, failures, reason,
    greatest(extract(epoch from coalesce(not_before, now()) - now()), 0)::float8
from public.tracking_geo_providers
"""


def read_geo_provider_states(connection: psycopg.Connection[Any]) -> dict[str, GeoProviderState]:
    """The states on record, by provider."""
    rows = connection.execute(_READ_STATES).fetchall()
    return {row[0]: GeoProviderState(*row) for row in rows}
