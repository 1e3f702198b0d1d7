"""Every statement of delivery accounting: what it is counted from, and the tables it is kept in.

    tracking_delivery_hourly      what became of an hour's conversions, by destination
    tracking_conversion_hourly    the conversions themselves: consent, values
    tracking_order_events         which event ids an order has
    tracking_delivery_slices      the parts that a dense hour is counted in

An hour (UTC) is always written whole, so that counting it once more is never wrong. What is read
for it is found by its time or by event id, by an index each: it costs what the hour holds. Of an
hour that holds much, what each slice came to is kept beside, and the hour is the sum of its slices.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg import sql
from typing_extensions import LiteralString

from tracking_pipeline.store.failed_events import DELIVERED_BY_US
from tracking_pipeline.store.first_attempts import JUDGED_LATER
from tracking_pipeline.store.match_key_rollup import CONVERSION, ConversionRule
from tracking_pipeline.store.withheld_events import WITHHELD

# Rows of a server-side cursor that are in memory at once; so many ids are looked up together.
_PAGE_ROWS = 5_000
_HOUR = timedelta(hours=1)
LONGEST_REASON = 200
LONGEST_ORDER_ID = 200


@dataclass(frozen=True, slots=True)
class CountedEvent:
    """A conversion that is to be accounted for. ``metadata`` and ``user_data`` are JSON text.

    ``destinations`` None: it is in the ledger, and all destinations are asked about. Else it is
    not, and failed at these.
    """

    event_id: UUID | None
    event_name: str
    created_at: datetime
    event_time: datetime | None
    ingested_by: str | None
    metadata: str | None
    user_data: str | None
    destinations: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """What the queues and the log of attempts say of one event at one destination: ``became`` is
    ``delivered``, ``waiting``, ``dead`` or ``withheld``."""

    became: str
    reason: str


Traces = Mapping[UUID, Mapping[str, Trace]]


@dataclass(frozen=True, slots=True)
class AccountedRow:
    """So many conversions of one hour with one fate, of the ``value`` of those that have one in
    ``currency`` (empty: they have none). ``samples`` are some of their ids."""

    destination: str
    event_name: str
    in_ledger: bool
    became: str
    reason: str
    currency: str
    events: int
    value: float
    samples: Sequence[UUID] = ()


@dataclass(frozen=True, slots=True)
class ConversionRow:
    """So many conversions of one hour of which the same was said of consent. ``value_sample`` are
    some of their values in ``currency``, in order, each standing for as many as the others."""

    event_name: str
    consent: str
    currency: str
    events: int
    value_sample: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """An event that is about an order. ``order_id`` is cut to :data:`LONGEST_ORDER_ID`."""

    order_id: str
    event_name: str
    event_id: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Counted:
    """What the conversions of an hour, or of a slice of it, came to."""

    accounted: Sequence[AccountedRow]
    conversions: Sequence[ConversionRow]


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of an hour created within [since, until)."""

    since: datetime
    until: datetime


_LEDGER: LiteralString = """
select e.event_id, coalesce(e.event_name, ''), e.created_at, e.event_time, e.ingested_by,
    e.metadata::text, e.user_data::text, null
from public.wm_event_log e
where e.created_at >= %(since)s and e.created_at < %(until)s and {conversion}
""".replace("{conversion}", CONVERSION)

# Each belongs to the hour in which it first failed at a destination.
_OUTSIDE: LiteralString = """
select f.event_id, min(f.event_name), min(f.created_at), null::timestamptz, null::text,
    (array_agg(f.event_payload))[1]::text, (array_agg(f.user_data))[1]::text,
    array_agg(distinct f.destination)
from public.tracking_failed_events f
where f.created_at >= %(since)s and f.created_at < %(until)s and f.destination is not null
  and (f.event_name = any(%(names)s) or (%(by_type)s and f.event_type = 'conversion'))
  and not exists (select from public.wm_event_log e where e.event_id = f.event_id)
  and not exists (
    select from public.tracking_failed_events b
    where b.event_id = f.event_id and b.destination = f.destination
      and b.created_at < %(since)s)
group by f.event_id
"""


def stream_counted_events(
    connection: psycopg.Connection[Any], since: datetime, until: datetime, rule: ConversionRule
) -> Iterator[list[CountedEvent]]:
    """The conversions created within [since, until), a page of them at a time: those of the ledger,
    then those that failed and are not in it. To be called in a transaction."""
    arguments = {
        "since": since,
        "until": until,
        "names": list(rule.names),
        "by_type": rule.by_type,
    }
    for name, statement in (("accounted", _LEDGER), ("outside", _OUTSIDE)):
        with connection.cursor(name) as cursor:
            cursor.execute(statement, arguments)
            while rows := cursor.fetchmany(_PAGE_ROWS):
                yield [CountedEvent(*row) for row in rows]


# What was taken once is there, whatever another row says; what still waits may get there. An
# attempt whose failed event is there says nothing that the failed event does not: its delivery may
# have been taken back since.
_TRACES: LiteralString = """
with taken as materialized (
    select distinct on (t.event_id, t.destination)
        t.event_id, t.destination, t.failed_event_id, t.attempt, t.warning
    from public.tracking_delivery_attempts t
    where t.event_id = any(%(ids)s) and t.outcome = 'delivered'
    order by t.event_id, t.destination, t.attempted_at desc, t.id desc
), found as (
    select f.event_id, f.destination,
        case
            when {withheld} then 'withheld'
            when f.status = 'resolved' then 'delivered'
            when f.status = 'dead_letter' then 'dead'
            else 'waiting'
        end as became,
        case
            when {withheld} then f.withheld_reason
            when f.status = 'resolved' then case
                when f.resolved_by is distinct from {ours} then 'by_hand'
                when f.error_message = {judged_later} then 'first_try'
                else 'retry'
            end
            when f.status = 'dead_letter'
            then coalesce(f.dead_letter_reason, f.error_code, 'unknown')
            when f.error_code = 'postponed' then 'postponed'
            else 'retry'
        end as reason
    from public.tracking_failed_events f
    where f.event_id = any(%(ids)s) and f.destination is not null
    union all
    select a.event_id, a.destination,
        case when a.delivered_at is null then 'waiting' else 'delivered' end, 'first_try'
    from public.tracking_accepted_events a
    where a.event_id = any(%(ids)s)
    union all
    select t.event_id, t.destination, 'delivered',
        case when t.attempt > 1 then 'retry' else 'first_try' end
    from taken t
    where not exists (
        select from public.tracking_failed_events f where f.id = t.failed_event_id)
)
select distinct on (found.event_id, found.destination)
    found.event_id, found.destination, found.became,
    case
        when found.became = 'delivered' and taken.warning is not null
            and found.reason <> 'by_hand' then 'warning'
        else found.reason
    end
from found
left join taken using (event_id, destination)
order by found.event_id, found.destination,
    array_position(array['delivered', 'waiting', 'dead', 'withheld'], found.became),
    found.reason
"""
_TRACES_STATEMENT = sql.SQL(_TRACES).format(
    withheld=sql.SQL(WITHHELD),
    ours=sql.Literal(DELIVERED_BY_US),
    judged_later=sql.Literal(JUDGED_LATER),
)


def read_traces(connection: psycopg.Connection[Any], ids: Collection[UUID]) -> Traces:
    """What is known of these events, by event and destination."""
    traces: dict[UUID, dict[str, Trace]] = {}
    for event_id, destination, became, reason in connection.execute(
        _TRACES_STATEMENT, {"ids": list(ids)}
    ).fetchall():
        traces.setdefault(event_id, {})[destination] = Trace(became, reason[:LONGEST_REASON])
    return traces


_FORGET_HOURS: tuple[LiteralString, ...] = (
    "delete from public.tracking_delivery_hourly where hour >= %s and hour < %s",
    "delete from public.tracking_conversion_hourly where hour >= %s and hour < %s",
)
_FORGET_SLICES: LiteralString = """
delete from public.tracking_delivery_slices where since >= %s and since < %s
"""
_FORGET_ORDERS: LiteralString = """
delete from public.tracking_order_events where created_at >= %s and created_at < %s
"""


def forget_hours(connection: psycopg.Connection[Any], since: datetime, until: datetime) -> None:
    """Removes the hours that begin within [since, until), with their slices and orders."""
    for statement in (*_FORGET_HOURS, _FORGET_SLICES, _FORGET_ORDERS):
        connection.execute(statement, (since, until))


def forget_slices(connection: psycopg.Connection[Any], since: datetime, until: datetime) -> None:
    """Removes the slices that begin within [since, until). The hours stay as they are."""
    connection.execute(_FORGET_SLICES, (since, until))


_ADD_ACCOUNTED: LiteralString = """
insert into public.tracking_delivery_hourly (
    hour, destination, event_name, in_ledger, became, reason, currency, events, value, samples)
select %(hour)s, r.*
from json_to_recordset(%(rows)s::json) as r (
    destination text, event_name text, in_ledger boolean, became text, reason text, currency text,
    events bigint, value float8, samples uuid[])
"""
_ADD_CONVERSIONS: LiteralString = """
insert into public.tracking_conversion_hourly (
    hour, event_name, consent, currency, events, value_sample)
select %(hour)s, r.*
from json_to_recordset(%(rows)s::json) as r (
    event_name text, consent text, currency text, events bigint, value_sample float8[])
"""
_ADD_ORDERS: LiteralString = """
insert into public.tracking_order_events (order_id, event_name, event_id, created_at)
select r.*
from json_to_recordset(%(rows)s::json) as r (
    order_id text, event_name text, event_id uuid, created_at timestamptz)
on conflict do nothing
"""


def write_hour(connection: psycopg.Connection[Any], hour: datetime, counted: Counted) -> None:
    """Writes an hour, in place of what was there."""
    for statement in _FORGET_HOURS:
        connection.execute(statement, (hour, hour + _HOUR))
    for statement, rows in (
        (_ADD_ACCOUNTED, counted.accounted),
        (_ADD_CONVERSIONS, counted.conversions),
    ):
        if rows:
            connection.execute(statement, {"hour": hour, "rows": orjson.dumps(rows).decode()})


def write_orders(
    connection: psycopg.Connection[Any], part: Slice, orders: Sequence[OrderEvent]
) -> None:
    """Writes the orders of a slice, in place of what was there."""
    connection.execute(_FORGET_ORDERS, (part.since, part.until))
    if orders:
        connection.execute(_ADD_ORDERS, {"rows": orjson.dumps(orders).decode()})


_ADD_SLICE: LiteralString = """
insert into public.tracking_delivery_slices (since, until, counted) values (%s, %s, %s)
"""


def write_slice(connection: psycopg.Connection[Any], part: Slice, counted: Counted) -> None:
    """Writes what a slice came to, in place of all that began in it."""
    forget_slices(connection, part.since, part.until)
    connection.execute(_ADD_SLICE, (part.since, part.until, orjson.dumps(counted).decode()))


_SLICES: LiteralString = """
select since, until from public.tracking_delivery_slices
where since >= %s and since < %s
order by since
"""


def read_slices(connection: psycopg.Connection[Any], hour: datetime) -> list[Slice]:
    """The slices of an hour, in order; none where it is counted as a whole."""
    return [Slice(*row) for row in connection.execute(_SLICES, (hour, hour + _HOUR)).fetchall()]


_COUNTED: LiteralString = """
select counted::text from public.tracking_delivery_slices
where since >= %s and since < %s
order by since
"""


def read_counted(connection: psycopg.Connection[Any], hour: datetime) -> list[Counted]:
    """What the slices of an hour came to, in order."""
    found = []
    for (text,) in connection.execute(_COUNTED, (hour, hour + _HOUR)).fetchall():
        counted = orjson.loads(text)
        found.append(
            Counted(
                [AccountedRow(**row) for row in counted["accounted"]],
                [ConversionRow(**row) for row in counted["conversions"]],
            )
        )
    return found


# The time of the row after so many, of the ledger or of the queue, whichever comes first. Rows of
# one moment are never parted.
_SLICE_END: LiteralString = """
select least(
    %(until)s,
    (select greatest(e.created_at, %(since)s + interval '1 microsecond')
     from public.wm_event_log e
     where e.created_at >= %(since)s and e.created_at < %(until)s
     order by e.created_at offset %(most)s limit 1),
    (select greatest(f.created_at, %(since)s + interval '1 microsecond')
     from public.tracking_failed_events f
     where f.created_at >= %(since)s and f.created_at < %(until)s
     order by f.created_at offset %(most)s limit 1))
"""


def find_slice_end(
    connection: psycopg.Connection[Any], since: datetime, until: datetime, *, most_rows: int
) -> datetime:
    """The end of the slice of about ``most_rows`` events that begins at ``since``; ``until`` at
    the latest."""
    arguments = {"since": since, "until": until, "most": most_rows}
    row = connection.execute(_SLICE_END, arguments).fetchone()
    return row[0] if row else until


# One probe of an index an hour, however many rows the hours hold.
_FULL_HOURS: LiteralString = """
with recursive hours (hour) as (
    select date_trunc('hour', least(
        (select min(e.created_at) from public.wm_event_log e where e.created_at >= %(since)s),
        (select min(f.created_at) from public.tracking_failed_events f
         where f.created_at >= %(since)s)), 'UTC')
    union all
    select date_trunc('hour', least(
        (select min(e.created_at) from public.wm_event_log e
         where e.created_at >= h.hour + interval '1 hour'),
        (select min(f.created_at) from public.tracking_failed_events f
         where f.created_at >= h.hour + interval '1 hour')), 'UTC')
    from hours h
    where h.hour is not null and h.hour <= %(until)s
)
select coalesce(s.since, h.hour)
from hours h
left join public.tracking_delivery_slices s
  on s.since >= h.hour and s.since < h.hour + interval '1 hour' and s.until > %(since)s
where h.hour is not null and h.hour <= %(until)s
"""


def find_full_hours(
    connection: psycopg.Connection[Any], since: datetime, until: datetime
) -> list[datetime]:
    """The hours within [since, until] in which anything came or failed; of those that are counted
    in slices, the beginnings of the slices that reach beyond ``since``."""
    arguments = {"since": since, "until": until}
    return [hour for (hour,) in connection.execute(_FULL_HOURS, arguments).fetchall()]


_CHANGED_HOURS: LiteralString = """
with changed as (
    select t.event_id, t.failed_event_id
    from public.tracking_delivery_attempts t
    where t.attempted_at >= %(since)s and t.outcome not in ('throttled', 'paused')
    union
    select f.event_id, f.id from public.tracking_failed_events f where f.created_at >= %(since)s
    union
    select f.event_id, f.id from public.tracking_failed_events f
    where f.status = 'resolved' and f.resolved_at >= %(since)s
    union
    select f.event_id, f.id
    from unnest(%(destinations)s::text[]) as d (destination)
    join public.tracking_failed_events f on f.destination = d.destination
    where f.status = 'dead_letter' and f.updated_at >= %(since)s
    union
    select f.event_id, f.id from public.tracking_failed_events f where f.replayed_at >= %(since)s
)
select distinct coalesce(
    (select max(s.since) from public.tracking_delivery_slices s
     where s.since <= found.created_at
       and s.since >= date_trunc('hour', found.created_at, 'UTC')),
    date_trunc('hour', found.created_at, 'UTC'))
from (
    select e.created_at
    from changed
    join public.wm_event_log e on e.event_id = changed.event_id
    union all
    select f.created_at
    from changed
    join public.tracking_failed_events f on f.event_id = changed.event_id
) as found
where found.created_at >= %(horizon)s
"""


def find_changed_hours(
    connection: psycopg.Connection[Any],
    since: datetime,
    destinations: Sequence[str],
    *,
    horizon: datetime,
) -> list[datetime]:
    """The hours from ``horizon`` on of whose events anything has become since ``since``; of those
    that are counted in slices, the beginnings of the slices."""
    arguments = {"since": since, "horizon": horizon, "destinations": list(destinations)}
    return [hour for (hour,) in connection.execute(_CHANGED_HOURS, arguments).fetchall()]


_WITH_FAILURES: LiteralString = """
select d.destination
from unnest(%s::text[]) as d (destination)
where exists (
    select from public.tracking_failed_events f
    where f.destination = d.destination and f.created_at >= %s)
"""


def find_destinations_with_failures(
    connection: psycopg.Connection[Any], destinations: Sequence[str], since: datetime
) -> list[str]:
    """Those of the destinations at which anything has failed since then."""
    rows = connection.execute(_WITH_FAILURES, (list(destinations), since)).fetchall()
    return [destination for (destination,) in rows]


@dataclass(frozen=True, slots=True)
class Accounted:
    """The sum of accounted rows of one UTC ``day``."""

    day: datetime
    destination: str
    event_name: str
    in_ledger: bool
    became: str
    reason: str
    currency: str
    events: int
    value: float


_READ: LiteralString = """
select date_trunc('day', hour, 'UTC'), destination, event_name, in_ledger, became, reason, currency,
    sum(events)::bigint, sum(value)
from public.tracking_delivery_hourly
where hour >= %s and hour < %s
group by 1, 2, 3, 4, 5, 6, 7
order by 1, 2, 3, 4, 5, 6, 7
"""


def read_accounted(
    connection: psycopg.Connection[Any], since: datetime, until: datetime
) -> list[Accounted]:
    """What became of the conversions of the hours within [since, until), by day."""
    return [Accounted(*row) for row in connection.execute(_READ, (since, until)).fetchall()]


_SAMPLES: LiteralString = """
select destination, became, reason, id
from (
    select h.destination, h.became, h.reason, s.id, row_number() over (
        partition by h.destination, h.became, h.reason order by h.hour desc, s.id) as place
    from public.tracking_delivery_hourly h, unnest(h.samples) as s (id)
    where h.hour >= %s and h.hour < %s) as placed
where place <= %s
"""


def read_samples(
    connection: psycopg.Connection[Any], since: datetime, until: datetime, *, most: int
) -> dict[tuple[str, str, str], list[UUID]]:
    """Up to ``most`` event ids of the hours within [since, until) by destination, what became of
    them and the reason; the newest first."""
    samples: dict[tuple[str, str, str], list[UUID]] = {}
    for *key, event_id in connection.execute(_SAMPLES, (since, until, most)).fetchall():
        samples.setdefault((key[0], key[1], key[2]), []).append(event_id)
    return samples


_HANDED_OVER: LiteralString = """
select destination, event_name, extract(epoch from hour - %(since)s)::bigint / 3600,
    sum(events)::bigint
from public.tracking_delivery_hourly
where hour >= %(since)s and hour < %(until)s and in_ledger
  and became in ('delivered', 'assumed', 'waiting', 'dead')
group by destination, event_name, hour
"""


def read_handed_over(
    connection: psycopg.Connection[Any], since: datetime, until: datetime
) -> dict[str, dict[str, list[int]]]:
    """The conversions that each destination was given, whatever it made of them, by destination and
    name: one number for each hour of [since, until), the oldest first. Both are full hours."""
    length = int((until - since).total_seconds()) // 3600
    found: dict[str, dict[str, list[int]]] = {}
    arguments = {"since": since, "until": until}
    for destination, name, place, events in connection.execute(_HANDED_OVER, arguments).fetchall():
        found.setdefault(destination, {}).setdefault(name, [0] * length)[place] = events
    return found


_CONSENT_BY_HOUR: LiteralString = """
select event_name, hour, consent, sum(events)::bigint
from public.tracking_conversion_hourly
where hour >= %s and hour < %s
group by 1, 2, 3
"""


def read_consent_by_hour(
    connection: psycopg.Connection[Any], since: datetime, until: datetime
) -> dict[str, dict[datetime, dict[str, int]]]:
    """The conversions of the hours within [since, until) by event name, hour and consent."""
    said: dict[str, dict[datetime, dict[str, int]]] = {}
    rows = connection.execute(_CONSENT_BY_HOUR, (since, until)).fetchall()
    for name, hour, consent, events in rows:
        said.setdefault(name, {}).setdefault(hour, {})[consent] = events
    return said


_CONSENT: LiteralString = """
select date_trunc('day', hour, 'UTC'), event_name, consent, sum(events)::bigint
from public.tracking_conversion_hourly
where hour >= %s and hour < %s
group by 1, 2, 3
order by 1, 2, 3
"""


def read_consent(
    connection: psycopg.Connection[Any], since: datetime, until: datetime
) -> list[tuple[datetime, str, str, int]]:
    """The conversions of the hours within [since, until) by (day, event name, consent)."""
    return connection.execute(_CONSENT, (since, until)).fetchall()


_MEDIANS: LiteralString = """
with weighed as (
    select h.event_name, h.currency, v.value,
        sum(h.events::float8 / cardinality(h.value_sample)) as events
    from public.tracking_conversion_hourly h, unnest(h.value_sample) as v (value)
    where h.hour >= %s and h.hour < %s and h.currency <> ''
    group by 1, 2, 3
), summed as (
    select event_name, currency, value,
        sum(events) over (partition by event_name, currency order by value) as so_far,
        sum(events) over (partition by event_name, currency) as events
    from weighed
)
select event_name, currency, min(value), round(max(events))::bigint
from summed
where so_far >= events / 2 - 1e-6
group by 1, 2
"""


def read_median_values(
    connection: psycopg.Connection[Any], since: datetime, until: datetime
) -> list[tuple[str, str, float, int]]:
    """The median value of the conversions within [since, until), and how many have one, by (event
    name, currency)."""
    return connection.execute(_MEDIANS, (since, until)).fetchall()


# A few that have been missing for long are not what the rest is about.
_MISSING_SINCE: LiteralString = """
with hours as (
    select destination, hour, sum(events) as missing
    from public.tracking_delivery_hourly
    where hour >= %s and hour < %s and became in ('waiting', 'dead', 'never_handed_over')
      and (in_ledger or destination = any(%s))
    group by 1, 2
), summed as (
    select destination, hour,
        sum(missing) over (partition by destination order by hour) as so_far,
        sum(missing) over (partition by destination) as missing
    from hours
)
select destination, min(hour) from summed where so_far > 0.05 * missing group by 1
"""


def read_missing_since(
    connection: psycopg.Connection[Any], since: datetime, until: datetime, stores: Sequence[str]
) -> dict[str, datetime]:
    """The hour within [since, until) from which on all but a twentieth of what is missing at a
    destination came. Of the ``stores``, what is not in the ledger is missing too."""
    return dict(connection.execute(_MISSING_SINCE, (since, until, list(stores))).fetchall())


_CONVERSIONS: LiteralString = """
select date_trunc('day', c.hour, 'UTC'), c.event_name, sum(c.events)::bigint
from (
    select h.hour, h.event_name, h.events
    from public.tracking_match_key_hourly h
    where h.hour >= %(since)s and h.hour < %(until)s
    union all
    select e.created_at, coalesce(e.event_name, ''), 1
    from public.wm_event_log e
    where e.created_at >= greatest(%(since)s, %(rolled_until)s) and e.created_at < %(until)s
      and {conversion}) as c
group by 1, 2
""".replace("{conversion}", CONVERSION)


def count_conversions_by_day(
    connection: psycopg.Connection[Any],
    since: datetime,
    until: datetime,
    rule: ConversionRule,
    *,
    rolled_until: datetime,
) -> dict[tuple[datetime, str], int]:
    """How many conversions the ledger has, created within [since, until), by (day, event name):
    from the roll-up of match keys, and from the ledger itself from ``rolled_until`` on."""
    arguments = {
        "since": since,
        "until": until,
        "rolled_until": rolled_until,
        "names": list(rule.names),
        "by_type": rule.by_type,
    }
    rows = connection.execute(_CONVERSIONS, arguments).fetchall()
    return {(day, name): events for day, name, events in rows}


@dataclass(frozen=True, slots=True)
class RepeatedOrder:
    """An order that came under several event ids of one name, the first one first."""

    order_id: str
    event_name: str
    event_ids: Sequence[UUID]
    first_at: datetime
    last_at: datetime


_REPEATED: LiteralString = """
with lately as (
    select distinct order_id, event_name
    from public.tracking_order_events
    where created_at >= %(since)s and created_at < %(until)s
), repeated as (
    select o.order_id, o.event_name,
        array_agg(o.event_id order by o.created_at, o.event_id) as event_ids,
        min(o.created_at) as first_at, max(o.created_at) as last_at
    from lately l
    join public.tracking_order_events o using (order_id, event_name)
    where o.created_at >= %(since)s - %(window)s and o.created_at < %(until)s
    group by 1, 2
    having count(*) > 1
)
select order_id, event_name, event_ids[1:10], first_at, last_at, count(*) over ()
from repeated
order by last_at desc, order_id, event_name
limit %(most)s
"""


def read_repeated_orders(
    connection: psycopg.Connection[Any],
    since: datetime,
    until: datetime,
    *,
    window: timedelta,
    most: int,
) -> tuple[int, list[RepeatedOrder]]:
    """The orders with an event within [since, until) and another event id of the same name at most
    ``window`` before: how many, and the ``most`` of them that came last."""
    arguments = {"since": since, "until": until, "window": window, "most": most}
    rows = connection.execute(_REPEATED, arguments).fetchall()
    return (rows[0][5] if rows else 0), [RepeatedOrder(*row[:5]) for row in rows]


_ORDERS: LiteralString = """
select count(*)
from (
    select distinct order_id, event_name
    from public.tracking_order_events
    where created_at >= %s and created_at < %s) as lately
"""


def count_orders(connection: psycopg.Connection[Any], since: datetime, until: datetime) -> int:
    """How many orders have an event within [since, until), those of each event name apart."""
    row = connection.execute(_ORDERS, (since, until)).fetchone()
    return int(row[0]) if row else 0


_COUNT_REPEATED: LiteralString = """
select event_name, date_trunc('hour', last_at, 'UTC'), count(*), count(*) filter (where ids > 1)
from (
    select order_id, event_name, max(created_at) as last_at, count(*) as ids
    from public.tracking_order_events
    where created_at >= %s and created_at < %s
    group by 1, 2) as orders
group by 1, 2
order by 1, 2
"""


def count_repeated_by_hour(
    connection: psycopg.Connection[Any], since: datetime, until: datetime
) -> list[tuple[str, datetime, int, int]]:
    """The orders whose events came within [since, until), by event name and the hour of the last
    one: how many, and how many of them came under several event ids."""
    return connection.execute(_COUNT_REPEATED, (since, until)).fetchall()


# In one order, so that two workers with the same events do not wait for each other in a circle.
_NOTE_ORDERS: LiteralString = """
insert into public.tracking_order_events (order_id, event_name, event_id, created_at)
select r.order_id, r.event_name, r.event_id, r.created_at
from json_to_recordset(%(rows)s::json) as r (
    order_id text, event_name text, event_id uuid, created_at timestamptz)
order by 1, 2, 3
on conflict do nothing
"""
# An earlier event that was given up or withheld there took nothing of the order with it.
_FIND_REPEATED: LiteralString = """
select distinct r.event_id
from json_to_recordset(%(rows)s::json) as r (
    order_id text, event_name text, event_id uuid, created_at timestamptz)
join public.tracking_order_events o
  on o.order_id = r.order_id and o.event_name = r.event_name and o.event_id <> r.event_id
 and (o.created_at, o.event_id) < (r.created_at, r.event_id)
 and o.created_at >= r.created_at - %(window)s
where not exists (
    select from public.tracking_failed_events f
    where f.event_id = o.event_id and f.destination = %(destination)s
      and (f.status = 'dead_letter' or {withheld}))
""".replace("{withheld}", WITHHELD)


async def find_repeated(
    connection: psycopg.AsyncConnection[Any],
    destination: str,
    events: Sequence[OrderEvent],
    *,
    window: timedelta,
) -> set[UUID]:
    """The ids of those of the events whose order is on its way to a destination, or has arrived
    there, under another event id that came at most ``window`` before. Notes their orders first."""
    rows = orjson.dumps(events).decode()
    await connection.execute(_NOTE_ORDERS, {"rows": rows})
    cursor = await connection.execute(
        _FIND_REPEATED, {"rows": rows, "destination": destination, "window": window}
    )
    return {event_id for (event_id,) in await cursor.fetchall()}
