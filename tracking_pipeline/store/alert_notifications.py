"""The outbox: every statement on ``tracking_alert_notifications``.

One row is one message to one channel. It is written in the transaction that changes the alert, so
no change is committed without its message, and sent later by whoever claims it.

    open    ``sent_at`` is null, ``next_attempt_at`` says when it is sent, or sooner with another
    sent    ``sent_at`` is set, ``next_attempt_at`` is null
    closed  both are null: it will not be sent, and ``last_error`` says why

A claim leases all open rows of a channel, so that what waits for it goes out as one message. Only
the newest ``lease_token`` settles a row, and only the database's ``now()`` counts. A channel is
named by its fingerprint: its URL is a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from typing_extensions import LiteralString

from tracking_pipeline.store.fragments import lease_is_free

# Longer than any send may take: a row whose lease has ended is sent again.
LEASE_SECONDS = 120
# A daemon that runs begins to send within half of it.
NOBODY_SENDS_SECONDS = 120
# News of so long ago would mislead more than it tells.
OPEN_FOR_DAYS = 3
# More than an outage of days collects; what is left goes out in the next message.
MOST_PER_CLAIM = 100

Kind = Literal["started", "worsened", "ended", "reminder", "digest"]
Severity = Literal["ok", "warning", "critical"]
WEEKLY_DIGEST = "weekly_digest"
"""``alert_type`` of the message that tells of a week, and of no alert."""


@dataclass(frozen=True, slots=True)
class Notification:
    """A message that is owed, to every channel.

    ``dedupe_key`` names the state that it tells (episode, kind, level): one that is there already
    is not written again. Title and body hold no personal data.
    """

    alert_id: UUID | None
    alert_type: str
    kind: Kind
    severity: Severity
    title: str
    body: str
    dedupe_key: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row that this process may send until its lease ends. ``attempts`` counts this one."""

    id: int
    lease_token: int
    alert_id: UUID | None
    alert_type: str
    kind: Kind
    severity: str
    title: str
    body: str
    attempts: int


_ENQUEUE: LiteralString = """
insert into public.tracking_alert_notifications (
    alert_id, alert_type, kind, severity, channel, title, body, dedupe_key, next_attempt_at)
select %(alert_id)s, %(alert_type)s, %(kind)s, %(severity)s, channel, %(title)s, %(body)s,
    %(dedupe_key)s, now()
from unnest(%(channels)s::text[]) as c (channel)
on conflict (dedupe_key, channel) do nothing
"""


def enqueue(
    connection: psycopg.Connection[Any],
    notifications: Sequence[Notification],
    channels: Iterable[str],
) -> int:
    """Owes the notifications to the channels (fingerprints), in the caller's transaction. Returns
    how many rows that made: none for what was owed before."""
    made = 0
    for each in notifications:
        arguments = {name: getattr(each, name) for name in Notification.__slots__}
        made += connection.execute(_ENQUEUE, {**arguments, "channels": list(channels)}).rowcount
    return made


# One message of a channel is under way at a time: else the end of an episode could overtake its
# start. A claim that is due takes along what still waits for its next attempt.
_CLAIM: LiteralString = """
with open as materialized (
    select n.id
    from public.tracking_alert_notifications n
    where n.channel = %(channel)s and n.sent_at is null and n.next_attempt_at is not null
      and {free}
      and exists (
          select from public.tracking_alert_notifications d
          where d.channel = %(channel)s and d.sent_at is null and d.next_attempt_at <= now())
      and not exists (
          select from public.tracking_alert_notifications u
          where u.channel = %(channel)s and u.sent_at is null and u.lease_expires_at > now())
    order by n.id
    limit %(limit)s
    for update of n skip locked
), claimed as (
    update public.tracking_alert_notifications n
    set lease_token = n.lease_token + 1,
        lease_expires_at = now() + make_interval(secs => %(lease_seconds)s),
        attempts = n.attempts + 1
    from open
    where n.id = open.id
    returning n.id, n.lease_token, n.alert_id, n.alert_type, n.kind, n.severity, n.title, n.body,
        n.attempts
)
select * from claimed order by id
""".replace("{free}", lease_is_free("n"))


def claim_open(connection: psycopg.Connection[Any], channel: str) -> list[Claimed]:
    """Leases what waits for the channel, oldest first; nothing where none of it is due yet or
    another process is sending to the channel."""
    arguments = {"channel": channel, "limit": MOST_PER_CLAIM, "lease_seconds": LEASE_SECONDS}
    with connection.cursor(row_factory=class_row(Claimed)) as cursor:
        return cursor.execute(_CLAIM, arguments).fetchall()


_HELD: LiteralString = """
from unnest(%(ids)s::bigint[], %(tokens)s::bigint[]) as held (id, lease_token)
where n.id = held.id and n.lease_token = held.lease_token and n.next_attempt_at is not null
"""

_SENT: LiteralString = """
update public.tracking_alert_notifications n
set sent_at = now(), next_attempt_at = null, lease_expires_at = null, last_error = null
"""


def mark_notified(connection: psycopg.Connection[Any], rows: Iterable[Claimed]) -> int:
    """The rows have reached their channel. Returns how many were still this process's."""
    return connection.execute(_SENT + _HELD, _held(rows)).rowcount


_FAILED: LiteralString = """
update public.tracking_alert_notifications n
set next_attempt_at = now() + make_interval(secs => %(wait_seconds)s),
    lease_expires_at = null,
    last_error = %(error)s
"""


def mark_failed(
    connection: psycopg.Connection[Any], rows: Iterable[Claimed], *, error: str, wait_seconds: float
) -> int:
    """The channel did not take the rows; they are tried again after the wait. Returns how many were
    still this process's."""
    arguments = {**_held(rows), "error": error, "wait_seconds": wait_seconds}
    return connection.execute(_FAILED + _HELD, arguments).rowcount


_HASTEN: LiteralString = """
update public.tracking_alert_notifications n
set next_attempt_at = now()
where n.sent_at is null and n.next_attempt_at > now() and n.channel = any(%(channels)s)
  and {free}
""".replace("{free}", lease_is_free("n"))


def hasten(connection: psycopg.Connection[Any], channels: Iterable[str]) -> int:
    """Makes what waits for its next attempt at these channels due at once: they are known to take
    messages again. Returns how many rows that were."""
    return connection.execute(_HASTEN, {"channels": list(channels)}).rowcount


def _held(rows: Iterable[Claimed]) -> dict[str, Any]:
    held = {row.id: row.lease_token for row in rows}
    return {"ids": list(held), "tokens": list(held.values())}


_GONE: LiteralString = "the channel is no longer in ALERT_CHANNELS"

# The usual cure of a failing channel is a new URL or another channel, and a new token makes another
# channel, too. So what is open goes over to all channels that were not told it.
_CLOSE_ABSENT: LiteralString = """
with closed as (
    update public.tracking_alert_notifications n
    set next_attempt_at = null,
        lease_expires_at = null,
        last_error = concat_ws('; ', '{gone}', n.last_error)
    where n.sent_at is null and n.next_attempt_at is not null
      and n.channel <> all (%(channels)s)
      and {free}
    returning n.*
), moved as (
    insert into public.tracking_alert_notifications (
        alert_id, alert_type, kind, severity, channel, title, body, dedupe_key, created_at,
        next_attempt_at)
    select distinct on (n.dedupe_key, c.channel)
        n.alert_id, n.alert_type, n.kind, n.severity, c.channel, n.title, n.body, n.dedupe_key,
        n.created_at, now()
    from closed n
    cross join unnest(%(channels)s::text[]) as c (channel)
    order by n.dedupe_key, c.channel, n.id
    on conflict (dedupe_key, channel) do nothing
)
select count(*) from closed
""".replace("{free}", lease_is_free("n")).replace("{gone}", _GONE)


def close_absent_channels(connection: psycopg.Connection[Any], channels: Sequence[str]) -> int:
    """Closes the open rows of channels that are not among these, which are owed them instead.
    Returns how many it closed."""
    row = connection.execute(_CLOSE_ABSENT, {"channels": list(channels)}).fetchone()
    return row[0] if row else 0


# What was said last of each alert that is open.
_OWE_NEW_CHANNELS: LiteralString = """
insert into public.tracking_alert_notifications (
    alert_id, alert_type, kind, severity, channel, title, body, dedupe_key, next_attempt_at)
select n.alert_id, n.alert_type, n.kind, n.severity, c.channel, n.title, n.body, n.dedupe_key, now()
from unnest(%(channels)s::text[]) as c (channel)
cross join (
    select distinct on (n.alert_id) n.*
    from public.tracking_health_alerts a
    join public.tracking_alert_notifications n on n.alert_id = a.id
    where a.resolved_at is null and (a.silenced_until is null or a.silenced_until <= now())
      and n.kind in ('started', 'worsened', 'reminder')
    order by n.alert_id, n.id desc) as n
where not exists (
    select from public.tracking_alert_notifications told
    where told.alert_id = n.alert_id and told.channel = c.channel)
on conflict (dedupe_key, channel) do nothing
"""


def owe_new_channels(connection: psycopg.Connection[Any], channels: Iterable[str]) -> int:
    """Owes what is open to the channels that were never owed anything of it, as those that are new
    in ALERT_CHANNELS: once. Returns how many rows that made."""
    return connection.execute(_OWE_NEW_CHANNELS, {"channels": list(channels)}).rowcount


_CLOSE_STALE: LiteralString = """
update public.tracking_alert_notifications n
set next_attempt_at = null,
    lease_expires_at = null,
    last_error = concat_ws('; ', 'given up: too old to be news', n.last_error)
where n.sent_at is null and n.next_attempt_at is not null
  and n.created_at < now() - make_interval(days => %(days)s)
  and {free}
""".replace("{free}", lease_is_free("n"))


def close_stale(connection: psycopg.Connection[Any]) -> int:
    """Closes rows that no channel took for :data:`OPEN_FOR_DAYS`. Returns how many."""
    return connection.execute(_CLOSE_STALE, {"days": OPEN_FOR_DAYS}).rowcount


@dataclass(frozen=True, slots=True)
class Outbox:
    """What is open: ``due`` rows could be sent now, ``waiting`` wait for their next attempt or are
    being sent. ``next_due_seconds`` is None where nothing waits, ``overdue_seconds`` for how long
    the first of the due ones could have been sent."""

    due: int
    waiting: int
    next_due_seconds: float | None
    overdue_seconds: float | None


# The open rows are few, and the index holds only them.
_OUTBOX: LiteralString = """
select
    count(*) filter (where due_at <= now() and not leased),
    count(*) filter (where due_at > now() or leased),
    extract(epoch from min(due_at) filter (where due_at > now()) - now())::float8,
    extract(epoch from now() - min(due_at) filter (where due_at <= now() and not leased))::float8
from (
    select coalesce(lease_expires_at > now(), false) as leased,
        -- What waits for a channel that is gone need not wait: another one is told.
        case when channel = any(%(channels)s) then next_attempt_at
            else least(next_attempt_at, created_at) end as due_at
    from public.tracking_alert_notifications
    where sent_at is null and next_attempt_at is not null
    limit 10000) as open
"""


def read_outbox(connection: psycopg.Connection[Any], channels: Iterable[str]) -> Outbox:
    """What is open, with these channels in ALERT_CHANNELS; for a sensor, which must be quick."""
    row = connection.execute(_OUTBOX, {"channels": list(channels)}).fetchone()
    assert row is not None  # noqa: S101  an aggregate gives one row
    return Outbox(*row)


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A channel that did not take what it was owed ``since`` then, nor anything later. ``waiting``
    messages are tried again; ``given_up`` ones are not, being too old. ``reason`` is what came of
    the last attempt, without anything of the URL; None: nobody has tried at all."""

    channel: str
    since: datetime
    waiting: int
    given_up: int
    reason: str | None


_UNDELIVERED: LiteralString = """
select n.channel, min(n.created_at) as since,
    count(*) filter (where n.next_attempt_at is not null) as waiting,
    count(*) filter (where n.next_attempt_at is null) as given_up,
    (array_agg(n.last_error order by n.id desc) filter (where n.last_error is not null))[1]
        as reason
from public.tracking_alert_notifications n
left join (
    select channel, max(sent_at) as at
    from public.tracking_alert_notifications
    group by channel) as sent using (channel)
where n.channel = any(%(channels)s) and n.sent_at is null
  and (sent.at is null or n.created_at > sent.at)
  and (n.last_error is not null and not starts_with(n.last_error, %(gone)s)
    or n.next_attempt_at < now() - make_interval(secs => %(unsent)s) and {free})
group by n.channel
""".replace("{free}", lease_is_free("n"))


def read_undelivered(
    connection: psycopg.Connection[Any], channels: Iterable[str]
) -> list[Undelivered]:
    """Those of the channels that did not take their last messages, or to whom nobody has sent them
    for :data:`NOBODY_SENDS_SECONDS`."""
    arguments = {"channels": list(channels), "gone": _GONE, "unsent": NOBODY_SENDS_SECONDS}
    with connection.cursor(row_factory=class_row(Undelivered)) as cursor:
        return cursor.execute(_UNDELIVERED, arguments).fetchall()
