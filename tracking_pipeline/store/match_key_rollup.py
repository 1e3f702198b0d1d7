"""Every statement on ``tracking_match_key_hourly``, and the ledger rows that it is made from.

One row says how many events of one name, created within one hour (UTC), carried one set of match
keys (``keys``, bits of ``health/emq/keys.py``). A site has some dozen such sets, so an hour costs
the same to read whatever its traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from typing_extensions import LiteralString

from tracking_pipeline.store.fragments import HOSTING_FIELDS

Counts = dict[str, dict[int, int]]
"""Events by event name and by the mask of their match keys."""

# Rows of a server-side cursor that are in memory at once.
_PAGE_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class ConversionRule:
    """Which ledger events are conversions: those of one of the ``names``, and with ``by_type`` also
    those of event type ``conversion``."""

    names: tuple[str, ...]
    by_type: bool = True

    @property
    def text(self) -> str:
        """The rule in one line, the same for the same rule."""
        return "|".join((f"by_type={self.by_type}", *sorted(set(self.names))))


@dataclass(frozen=True, slots=True)
class LedgerEvent:
    """What of a ledger row, and of its lead, bears on match keys.

    ``user_data`` is JSON text. ``from_ip`` names those of ``ct st zp country`` that enrichment
    wrote into the lead for its IP address and nobody has changed since, ``hosting_fields`` those
    columns of them whose address is of a data centre or a proxy.
    """

    event_name: str
    user_data: str | None
    fbp: str | None
    fbc: str | None
    external_id: str | None
    email_sha256: str | None
    phone_sha256: str | None
    city: str | None
    state: str | None
    zip: str | None
    country: str | None
    from_ip: list[str] | None
    hosting_fields: list[str] | None


# The second bound of a chunk is the time of the n-th row, so that an import of millions within one
# hour is no single piece of work; rows of one moment are never parted.
_CHUNK: LiteralString = """
with first as (
    select created_at
    from public.wm_event_log
    where created_at >= %(since)s and created_at < %(until)s
    order by created_at
    limit 1
)
select first.created_at, least(
    date_trunc('hour', first.created_at, 'UTC') + interval '1 hour',
    %(until)s,
    greatest(
        coalesce((
            select e.created_at
            from public.wm_event_log e
            where e.created_at >= first.created_at
            order by e.created_at
            offset %(most)s limit 1), 'infinity'),
        first.created_at + interval '1 microsecond'))
from first
"""


def find_chunk(
    connection: psycopg.Connection[Any], since: datetime, until: datetime, *, most_rows: int
) -> tuple[datetime, datetime] | None:
    """The next stretch of the ledger within [since, until): from its first event to the end of that
    event's hour, or as far as about ``most_rows`` rows go. None where there is no event."""
    arguments = {"since": since, "until": until, "most": most_rows}
    return connection.execute(_CHUNK, arguments).fetchone()


# Whether a row `e` of the ledger is a conversion, by the parameters of a rule.
CONVERSION: LiteralString = """
(e.event_name = any(%(names)s) or (%(by_type)s and e.event_type = 'conversion'))
"""
_EVENTS: LiteralString = """
select coalesce(e.event_name, ''), e.user_data::text, e.fbp, e.fbc, e.external_id,
    e.email_sha256, e.phone_sha256, l.city::text, l.state::text, l.zip::text, l.country::text,
    case when l.geo_fields is not null then array_remove(array[
        case when l.geo_fields #>> '{city,value}' = l.city::text
            and l.geo_fields #>> '{city,source}' not in ('user', 'session') then 'ct' end,
        case when l.geo_fields #>> '{state,value}' = l.state::text
            and l.geo_fields #>> '{state,source}' not in ('user', 'session') then 'st' end,
        case when l.geo_fields #>> '{zip,value}' = l.zip::text
            and l.geo_fields #>> '{zip,source}' not in ('user', 'session') then 'zp' end,
        case when l.geo_fields #>> '{country,value}' = l.country::text
            and l.geo_fields #>> '{country,source}' not in ('user', 'session') then 'country' end
    ], null) end,
    {hosting_fields}
from public.wm_event_log e
left join public.leads l on l.id = e.lead_id
where e.created_at >= %(since)s and e.created_at < %(until)s and {conversion}
""".replace("{conversion}", CONVERSION).replace("{hosting_fields}", HOSTING_FIELDS)


def stream_conversions(
    connection: psycopg.Connection[Any], since: datetime, until: datetime, rule: ConversionRule
) -> Iterator[LedgerEvent]:
    """The conversions created within [since, until), in no order, a page of them in memory at once.

    To be called in a transaction.
    """
    with connection.cursor("conversions") as cursor:
        cursor.itersize = _PAGE_ROWS
        cursor.execute(_EVENTS, _arguments(since, until, rule))
        for row in cursor:
            yield LedgerEvent(*row)


_COUNT: LiteralString = """
select count(*)
from public.wm_event_log e
where e.created_at >= %(since)s and e.created_at < %(until)s and {conversion}
""".replace("{conversion}", CONVERSION)


def count_conversions(
    connection: psycopg.Connection[Any], since: datetime, until: datetime, rule: ConversionRule
) -> int:
    """How many conversions were created within [since, until), read from the ledger itself."""
    row = connection.execute(_COUNT, _arguments(since, until, rule)).fetchone()
    return int(row[0]) if row else 0


def _arguments(since: datetime, until: datetime, rule: ConversionRule) -> dict[str, Any]:
    return {"since": since, "until": until, "names": list(rule.names), "by_type": rule.by_type}


_ADD: LiteralString = """
insert into public.tracking_match_key_hourly as h (hour, event_name, keys, events)
select date_trunc('hour', %(moment)s, 'UTC'), c.event_name, c.keys, c.events
from unnest(%(names)s::text[], %(keys)s::integer[], %(events)s::bigint[])
    as c (event_name, keys, events)
on conflict (hour, event_name, keys) do update set events = h.events + excluded.events
"""


def add_counts(
    connection: psycopg.Connection[Any],
    moment: datetime,
    counts: Mapping[str, Mapping[int, int]],
) -> None:
    """Adds events to the hour that ``moment`` is in."""
    flat = [(name, keys, n) for name, of_name in counts.items() for keys, n in of_name.items()]
    connection.execute(
        _ADD,
        {
            "moment": moment,
            "names": [name for name, _, _ in flat],
            "keys": [keys for _, keys, _ in flat],
            "events": [n for _, _, n in flat],
        },
    )


_FORGET: LiteralString = """
delete from public.tracking_match_key_hourly where hour >= %s and hour < %s
"""


def forget_counts(connection: psycopg.Connection[Any], since: datetime, until: datetime) -> None:
    """Removes the hours that begin within [since, until): they are about to be counted anew."""
    connection.execute(_FORGET, (since, until))


_READ: LiteralString = """
select event_name, keys, sum(events)::bigint
from public.tracking_match_key_hourly
where hour >= %s and hour < %s
group by event_name, keys
"""


def read_counts(connection: psycopg.Connection[Any], since: datetime, until: datetime) -> Counts:
    """The counts of the hours that begin within [since, until)."""
    counts: Counts = {}
    for name, keys, events in connection.execute(_READ, (since, until)).fetchall():
        counts.setdefault(name, {})[keys] = events
    return counts


_READ_HOURS: LiteralString = """
select event_name, extract(epoch from hour - %s)::bigint / 3600, sum(events)::bigint
from public.tracking_match_key_hourly
where hour >= %s and hour < %s
group by event_name, hour
"""


def read_hours(
    connection: psycopg.Connection[Any], since: datetime, until: datetime
) -> dict[str, list[int]]:
    """The events of each name, one number for each hour of [since, until), the oldest first. Both
    are full hours."""
    length = int((until - since).total_seconds()) // 3600
    hourly: dict[str, list[int]] = {}
    for name, place, events in connection.execute(_READ_HOURS, (since, since, until)).fetchall():
        hourly.setdefault(name, [0] * length)[place] = events
    return hourly


_READ_MASKS: LiteralString = """
select event_name, hour, keys, events
from public.tracking_match_key_hourly
where hour >= %s and hour < %s
"""


def read_masks(
    connection: psycopg.Connection[Any], since: datetime, until: datetime
) -> dict[str, dict[datetime, dict[int, int]]]:
    """The events of the hours that begin within [since, until), by name, hour and mask."""
    masks: dict[str, dict[datetime, dict[int, int]]] = {}
    for name, hour, keys, events in connection.execute(_READ_MASKS, (since, until)).fetchall():
        masks.setdefault(name, {}).setdefault(hour, {})[keys] = events
    return masks
