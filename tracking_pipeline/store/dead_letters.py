"""Finds dead letters: by what an operator knows of them, or by the pause that caused them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from typing_extensions import LiteralString

from tracking_pipeline.store.fragments import lease_is_free

# How long after a pause its dead letters are still offered.
PAUSES_SINCE_DAYS = 7
PAGE = 500
OFFERS_CAP = 10_000


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Which dead letters are meant; what is empty does not narrow.

    ``reason`` is contained in the reason, whatever its case, or is the reason itself with
    ``exact_reason``. ``since`` and ``until`` bound the moment at which the event became a dead
    letter. ``ids`` are those of rows or of their events. ``after_pause`` takes those that a pause
    of their destination caused which is over since. ``with_waiting``: also what waits to be sent
    again; its reason is :data:`WAITING`, and the moment is that at which it last changed.
    """

    destinations: tuple[str, ...] = ()
    reason: str = ""
    exact_reason: bool = False
    error_code: str = ""
    event_name: str = ""
    since: datetime | None = None
    until: datetime | None = None
    ids: tuple[UUID, ...] = ()
    after_pause: bool = False
    with_waiting: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """The matching dead letters of one destination that have one reason. ``delivered`` of the
    ``matched`` are there already: another row of the same event was resolved, and not withheld.
    ``failure_code`` is None where theirs differ."""

    destination: str
    reason: str
    matched: int
    delivered: int
    failure_code: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """One dead letter to replay, or one event that waits."""

    id: UUID
    destination: str
    reason: str
    is_waiting: bool = False


WAITING = "waiting"
# The same words that `status` counts them by.
_REASON: LiteralString = """case
        when f.status = 'dead_letter' then coalesce(f.dead_letter_reason, f.error_code, 'unknown')
        else 'waiting' end"""
_DIED_AT: LiteralString = "coalesce(f.updated_at, f.created_at)"
_DELIVERED: LiteralString = """exists (
        select from public.tracking_failed_events r
        where r.event_id = f.event_id and r.destination = f.destination
          and r.status = 'resolved' and r.withheld_reason is null and r.id <> f.id)"""
FREE: LiteralString = f"f.status = 'dead_letter' and {lease_is_free('f')}"
"""The rows ``f`` that are dead letters and that nobody holds."""
FREE_WAITING: LiteralString = f"f.status in ('pending', 'retrying') and {lease_is_free('f')}"
"""The rows ``f`` that wait to be sent again and that nobody holds."""

# A pause is over when its destination is open again and has taken an event since. Its dead letters
# failed with the same words, or spent their retries on the same code; a platform may refuse single
# events under that code as well, and those have another reason.
_ENDED_PAUSES: LiteralString = """
with ended_pauses as materialized (
    select p.destination, p.error_code, p.error_message, p.last_paused, r.recovered_at
    from (
        select a.destination, a.error_code, a.error_message, max(a.attempted_at) as last_paused
        from public.tracking_delivery_attempts a
        where a.outcome = 'paused' and a.attempted_at > now() - make_interval(days => %(days)s)
        group by 1, 2, 3) as p
    cross join lateral (
        select a.attempted_at as recovered_at
        from public.tracking_delivery_attempts a
        where a.destination = p.destination and a.outcome = 'delivered'
          and a.attempted_at > p.last_paused
        order by a.attempted_at
        limit 1) as r
    where not exists (
        select from public.tracking_destination_state s
        where s.destination = p.destination and s.state <> 'closed'))
"""
_OF_AN_ENDED_PAUSE: LiteralString = """exists (
        select from ended_pauses p
        where p.destination = f.destination
          and {died_at} <= p.recovered_at
          and coalesce(f.replayed_at < p.last_paused, true)
          and (f.error_message = p.error_message
               or (f.error_code = p.error_code
                   and coalesce(f.dead_letter_reason, 'max_retries') = 'max_retries')))"""


def _where(letters: DeadLetters) -> LiteralString:
    conditions: list[LiteralString] = [
        f"(({FREE}) or ({FREE_WAITING}))" if letters.with_waiting else FREE
    ]
    if letters.destinations:
        conditions.append("f.destination = any(%(destinations)s)")
    if letters.reason and letters.exact_reason:
        conditions.append("{reason} = %(reason)s")
    elif letters.reason:
        conditions.append("strpos(lower({reason}), lower(%(reason)s)) > 0")
    if letters.error_code:
        conditions.append("f.error_code = %(error_code)s")
    if letters.event_name:
        conditions.append("f.event_name = %(event_name)s")
    if letters.since is not None:
        conditions.append("{died_at} >= %(since)s")
    if letters.until is not None:
        conditions.append("{died_at} < %(until)s")
    if letters.ids:
        conditions.append("(f.id = any(%(ids)s) or f.event_id = any(%(ids)s))")
    if letters.after_pause:
        conditions.append(_OF_AN_ENDED_PAUSE)
    return "\n      and ".join(conditions)


def _statement(template: LiteralString, letters: DeadLetters) -> sql.Composed:
    names = {"reason": sql.SQL(_REASON), "died_at": sql.SQL(_DIED_AT)}
    return sql.SQL(template).format(
        pauses=sql.SQL(_ENDED_PAUSES if letters.after_pause else ""),
        where=sql.SQL(_where(letters)).format(**names),
        delivered=sql.SQL(_DELIVERED),
        **names,
    )


def _arguments(letters: DeadLetters) -> dict[str, Any]:
    return {
        "destinations": list(letters.destinations),
        "reason": letters.reason,
        "error_code": letters.error_code,
        "event_name": letters.event_name,
        "since": letters.since,
        "until": letters.until,
        "ids": list(letters.ids),
        "days": PAUSES_SINCE_DAYS,
        "most": None,
    }


_COUNT: LiteralString = """
{pauses}
select destination, reason, count(*) as matched, count(*) filter (where delivered) as delivered,
    case when min(failure_code) = max(failure_code) then max(failure_code) end as failure_code
from (
    select f.destination, {reason} as reason, f.failure_code, {delivered} as delivered
    from public.tracking_failed_events f
    where {where}
    limit %(most)s) as found
group by 1, 2
order by 3 desc, 1, 2
"""


async def count_groups(
    connection: psycopg.AsyncConnection[Any], letters: DeadLetters
) -> list[Group]:
    """The matching dead letters by destination and reason, the most frequent first."""
    async with connection.cursor(row_factory=class_row(Group)) as cursor:
        await cursor.execute(_statement(_COUNT, letters), _arguments(letters))
        return await cursor.fetchall()


def read_offers(connection: psycopg.Connection[Any]) -> list[Group]:
    """The dead letters of pauses that are over, counted no further than :data:`OFFERS_CAP`: for a
    sensor and a status, which must be quick."""
    return read_groups(connection, DeadLetters(after_pause=True), most=OFFERS_CAP)


def read_groups(
    connection: psycopg.Connection[Any], letters: DeadLetters, *, most: int | None = None
) -> list[Group]:
    """As :func:`count_groups`. ``most`` bounds the dead letters that are counted, whichever are
    found first: for what must be quick."""
    arguments = {**_arguments(letters), "most": most}
    with connection.cursor(row_factory=class_row(Group)) as cursor:
        return cursor.execute(_statement(_COUNT, letters), arguments).fetchall()


_CANARIES: LiteralString = """
{pauses}
select id, destination, reason
from (
    select f.id, f.destination, {reason} as reason,
        row_number() over (
            partition by f.destination, {reason}
            order by f.created_at desc nulls last, f.id) as place,
        count(*) over (partition by f.destination, {reason}) as size
    from public.tracking_failed_events f
    where {where}
      and f.status = 'dead_letter'
      and not {delivered}) as ranked
where place <= %(each)s and size > %(each)s
"""


async def pick_canaries(
    connection: psycopg.AsyncConnection[Any], letters: DeadLetters, *, each: int
) -> list[Match]:
    """The newest ``each`` dead letters of every group that has more: an old one might be refused
    for its age alone."""
    async with connection.cursor(row_factory=class_row(Match)) as cursor:
        await cursor.execute(_statement(_CANARIES, letters), {**_arguments(letters), "each": each})
        return await cursor.fetchall()


# Not again in this run: a canary that was refused is a dead letter once more.
_STREAM: LiteralString = """
{pauses}
select f.id, f.destination, {reason} as reason, f.status <> 'dead_letter' as is_waiting
from public.tracking_failed_events f
where {where}
  and coalesce(f.replayed_at < %(started_at)s, true)
  and not {delivered}
order by f.created_at, f.id
"""


async def stream_matches(
    connection: psycopg.AsyncConnection[Any], letters: DeadLetters, *, started_at: datetime
) -> AsyncGenerator[list[Match], None]:
    """What is to be replayed, the oldest events first, in pages of :data:`PAGE`. Of one snapshot:
    by the time a page comes, some of it may have been replayed elsewhere."""
    async with (
        connection.transaction(),
        connection.cursor(name="dead_letters", row_factory=class_row(Match)) as cursor,
    ):
        await cursor.execute(
            _statement(_STREAM, letters), {**_arguments(letters), "started_at": started_at}
        )
        while page := await cursor.fetchmany(PAGE):
            yield page
