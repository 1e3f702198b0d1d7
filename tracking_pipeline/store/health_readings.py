"""What the health readings count in the queue and in the ledger.

Each statement reads what its window holds, by an index, however long the tables are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import psycopg
from typing_extensions import LiteralString

from tracking_pipeline.store.accepted_events import MAX_RETRIES
from tracking_pipeline.store.delivery_accounting import CountedEvent
from tracking_pipeline.store.failed_events import DELIVERED_BY_US, WARNINGS_BETWEEN
from tracking_pipeline.store.match_key_rollup import CONVERSION, ConversionRule, LedgerEvent
from tracking_pipeline.store.withheld_events import IS_FAILURE


@dataclass(frozen=True, slots=True)
class Failures:
    """Events that failed within a window, each counted once. ``in_ledger``: those of them that are
    conversions of the ledger, created within the same window."""

    events: int = 0
    in_ledger: int = 0
    by_destination: dict[str, int] = field(default_factory=dict)

    def with_conversions(self, conversions: int) -> int:
        """How many events there were with the ledger's ``conversions``, each once. A count of them
        that was made earlier can lack some of those that failed; those are known to be there."""
        return self.events + max(conversions - self.in_ledger, 0)


_FAILURES: LiteralString = """
with failed as materialized (
    select f.event_id, f.destination
    from public.tracking_failed_events f
    where f.created_at >= %(since)s and f.created_at < %(until)s and {is_failure}
)
select destination, count(distinct event_id)
from failed
group by grouping sets ((destination), ())
union all
select 'in ledger', count(*)
from (select distinct event_id from failed) as f
where exists (
    select from public.wm_event_log e
    where e.event_id = f.event_id
      and e.created_at >= %(since)s and e.created_at < %(until)s and {conversion})
""".replace("{conversion}", CONVERSION).replace("{is_failure}", IS_FAILURE)


def count_failures(
    connection: psycopg.Connection[Any], since: datetime, until: datetime, rule: ConversionRule
) -> Failures:
    """The events that failed within [since, until), whatever has become of them since. What was
    withheld is none of them."""
    rows = connection.execute(
        _FAILURES,
        {"since": since, "until": until, "names": list(rule.names), "by_type": rule.by_type},
    ).fetchall()
    counted: dict[str | None, int] = dict(rows)
    return Failures(
        events=counted.pop(None, 0),
        in_ledger=counted.pop("in ledger", 0),
        by_destination={name: counted[name] for name in sorted(filter(None, counted))},
    )


_FAILURE_CODES: LiteralString = """
select coalesce(f.failure_code, f.error_code), count(distinct f.event_id)
from public.tracking_failed_events f
where f.created_at >= %s and f.created_at < %s and {is_failure}
  and coalesce(f.failure_code, f.error_code) is not null
group by 1
order by 2 desc, 1
limit %s
""".replace("{is_failure}", IS_FAILURE)


def count_failure_codes(
    connection: psycopg.Connection[Any], since: datetime, until: datetime, *, most: int
) -> dict[str, int]:
    """The distinct events that failed within [since, until), by the public code of their last
    failure, else the destination's own: so many codes, the most frequent first."""
    return dict(connection.execute(_FAILURE_CODES, (since, until, most)).fetchall())


# In the order of the index: told to find so many rows, the planner may take a scan of the whole
# table for cheap, and the rows of a window are its last. An id that is null is no other's.
_EVENTS: LiteralString = """
with seen as materialized (
    select e.event_id, {conversion} as is_conversion
    from public.wm_event_log e
    where e.created_at >= %(since)s and e.created_at < %(until)s
    order by e.created_at
    limit %(most)s
), known as (
    select event_id from seen where is_conversion and event_id is not null
    union
    select f.event_id
    from public.tracking_failed_events f
    where f.created_at >= %(since)s and f.created_at < %(until)s and f.event_id is not null
      and {is_failure}
)
select (select count(*) from seen),
    (select count(*) from known)
    + (select count(*) from seen where is_conversion and event_id is null)
""".replace("{conversion}", CONVERSION).replace("{is_failure}", IS_FAILURE)


def count_conversions_and_failures(
    connection: psycopg.Connection[Any],
    since: datetime,
    until: datetime,
    rule: ConversionRule,
    *,
    most_rows: int,
) -> int | None:
    """The distinct ids of the ledger's conversions and of the failed events together, created
    within [since, until). None where the ledger has ``most_rows`` rows of that time, or more."""
    row = connection.execute(
        _EVENTS,
        {
            "since": since,
            "until": until,
            "names": list(rule.names),
            "by_type": rule.by_type,
            "most": most_rows,
        },
    ).fetchone()
    return int(row[1]) if row and row[0] < most_rows else None


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of the failed events of one age: ``by_hand`` of the ``resolved`` ones took a
    human."""

    failed: int
    resolved: int
    dead_letters: int
    by_hand: int


# Ages as `width_bucket` numbers them, from 0: the youngest first.
_RECOVERY: LiteralString = """
select width_bucket(
        extract(epoch from now() - f.created_at)::float8, %(ages)s::float8[]) as age,
    count(*),
    count(*) filter (where f.status = 'resolved'),
    count(*) filter (where f.status = 'dead_letter'),
    count(*) filter (where f.status = 'resolved' and f.resolved_by is distinct from %(ours)s)
from public.tracking_failed_events f
where f.created_at > now() - make_interval(secs => %(oldest)s) and f.created_at <= now()
  and {is_failure}
group by age
""".replace("{is_failure}", IS_FAILURE)


def count_recovered(
    connection: psycopg.Connection[Any], ages_seconds: tuple[float, ...]
) -> list[Recovered]:
    """What became of failed events, by age: for ages (3600, 86400) those of the last hour, then
    those of the day before it."""
    rows = connection.execute(
        _RECOVERY,
        {"ages": list(ages_seconds[:-1]), "oldest": ages_seconds[-1], "ours": DELIVERED_BY_US},
    ).fetchall()
    counted = {age: Recovered(*counts) for age, *counts in rows}
    return [counted.get(age, Recovered(0, 0, 0, 0)) for age in range(len(ages_seconds))]


# Served by the index tracking_failed_events_dead_letters, which begins with the destination.
_NEW_DEAD_LETTERS: LiteralString = """
select f.destination, coalesce(f.dead_letter_reason, f.error_code, 'unknown') as reason, count(*),
    case when min(f.failure_code) = max(f.failure_code) then max(f.failure_code) end
from unnest(%s::text[]) as d (destination)
join public.tracking_failed_events f on f.destination = d.destination
where f.status = 'dead_letter' and f.updated_at >= %s and f.updated_at < %s
group by 1, 2
order by 3 desc, 1, 2
limit 50
"""


def count_new_dead_letters(
    connection: psycopg.Connection[Any],
    destinations: Sequence[str],
    since: datetime,
    until: datetime,
) -> list[tuple[str, str, int, str | None]]:
    """What became a dead letter of these destinations within [since, until) and still is one, as
    (destination, reason, count, failure code), the most frequent first. The code is None where
    theirs differ."""
    arguments = (list(destinations), since, until)
    return connection.execute(_NEW_DEAD_LETTERS, arguments).fetchall()


# A destination took nothing in the hour before an event died, and something within a day after:
# then it was the destination that failed, and waiting would have helped. Told by the other failed
# events, which are few; of each hour of dead letters only the last one is looked at.
_OUTLIVED: LiteralString = """
with dead as materialized (
    select f.destination, max(f.updated_at) as last_died, count(*) as events
    from unnest(%(destinations)s::text[]) as d (destination)
    join public.tracking_failed_events f on f.destination = d.destination
    where f.status = 'dead_letter' and f.updated_at >= %(since)s and f.updated_at < %(until)s
      and f.dead_letter_reason = 'max_retries' and coalesce(f.max_retries, %(usual)s) = %(usual)s
    group by f.destination, date_bin('1 hour', f.updated_at, timestamptz '2000-01-01 00:00Z')
    order by 2 desc
    limit 100
)
select destination, sum(events)::bigint
from dead d
where exists (
    select from public.tracking_failed_events r
    where r.status = 'resolved' and r.resolved_by = %(ours)s and r.destination = d.destination
      and r.resolved_at > d.last_died and r.resolved_at <= d.last_died + interval '24 hours')
  and not exists (
    select from public.tracking_failed_events r
    where r.status = 'resolved' and r.resolved_by = %(ours)s and r.destination = d.destination
      and r.resolved_at > d.last_died - interval '1 hour' and r.resolved_at <= d.last_died)
group by 1
order by 2 desc, 1
"""


def count_outlived(
    connection: psycopg.Connection[Any],
    destinations: Sequence[str],
    since: datetime,
    until: datetime,
) -> dict[str, int]:
    """Of what spent its usual retries within [since, until) and still is a dead letter, how many
    died while their destination, one of these, took nothing, less than a day before it took events
    again: by destination."""
    arguments = {
        "destinations": list(destinations),
        "since": since,
        "until": until,
        "usual": MAX_RETRIES,
        "ours": DELIVERED_BY_US,
    }
    return dict(connection.execute(_OUTLIVED, arguments).fetchall())


# Counted no further: a queue of that length is bad by any threshold.
WAITING_CAP = 100_000

_COUNT_WAITING: LiteralString = """
select count(*)
from (
    select from public.tracking_failed_events f
    where f.status in ('pending', 'retrying') and f.destination is not null
    limit %s) as waiting
"""


def count_waiting(connection: psycopg.Connection[Any]) -> int:
    """The failed events that wait for a destination, counted no further than :data:`WAITING_CAP`:
    for a sensor."""
    row = connection.execute(_COUNT_WAITING, (WAITING_CAP,)).fetchone()
    return row[0] if row else 0


# Where the ledger's conversions come from: counted by the columns that tell, to find out what an
# alert is about. Read only while there is something to explain; a bounded number of rows each time.

SEGMENTS: tuple[str, ...] = (
    "page path",
    "source tool",
    "source system",
    "traffic source",
    "release",
    "form",
)
"""What a row is counted by, in the order of the columns below."""

# A query string or a fragment may name a person, and splits what is one page.
_COLUMNS: LiteralString = """
    nullif(split_part(split_part(e.page_path, '?', 1), '#', 1), ''), nullif(e.source_tool, ''),
    nullif(e.source_system, ''), nullif(e.traffic_source, ''),
    coalesce(e.metadata ->> 'release', e.metadata ->> 'app_version', e.metadata ->> 'version'),
    coalesce(e.metadata ->> 'form_id', e.metadata ->> 'form')
"""
_FROM: LiteralString = """
from public.wm_event_log e
where e.created_at >= %(since)s and e.created_at < %(until)s and {conversion}
  and (%(name)s::text is null or coalesce(e.event_name, '') = %(name)s)
order by e.created_at desc
limit %(most)s
""".replace("{conversion}", CONVERSION)
_SEGMENTS: LiteralString = "select " + _COLUMNS + _FROM
_EVENTS_OF_SEGMENTS: LiteralString = (
    # In the order of `_OWN`.
    "select e.user_data::text, e.fbp, e.fbc, e.external_id, e.email_sha256, e.phone_sha256,"
    + _COLUMNS
    + _FROM
)
_OWN = ("user_data", "fbp", "fbc", "external_id", "email_sha256", "phone_sha256")
_NO_LEAD: dict[str, Any] = dict.fromkeys(
    {field.name for field in fields(LedgerEvent)} - {"event_name", *_OWN}
)
MOST_ROWS = 50_000
MOST_EVENTS = 2_000


@dataclass(frozen=True, slots=True)
class SegmentWindow:
    """Conversions of one ``name`` (None: of any) created within [since, until)."""

    name: str | None
    since: datetime
    until: datetime
    rule: ConversionRule

    def arguments(self, most: int) -> dict[str, Any]:
        return {
            "name": self.name,
            "since": self.since,
            "until": self.until,
            "names": list(self.rule.names),
            "by_type": self.rule.by_type,
            "most": most,
        }


def read_segments(
    connection: psycopg.Connection[Any], window: SegmentWindow
) -> list[tuple[str | None, ...]]:
    """The :data:`SEGMENTS` of each of the newest :data:`MOST_ROWS` events of the window."""
    return connection.execute(_SEGMENTS, window.arguments(MOST_ROWS)).fetchall()


_COUNTED_OF_SEGMENTS: LiteralString = (
    # In the order of a CountedEvent's fields.
    "select e.event_id, coalesce(e.event_name, ''), e.created_at, e.event_time, e.ingested_by,"
    " e.metadata::text, e.user_data::text," + _COLUMNS + _FROM
)


def read_counted_with_segments(
    connection: psycopg.Connection[Any], window: SegmentWindow
) -> Iterator[tuple[CountedEvent, tuple[str | None, ...]]]:
    """The newest :data:`MOST_EVENTS` events of the window, and the :data:`SEGMENTS` of each."""
    for row in connection.execute(_COUNTED_OF_SEGMENTS, window.arguments(MOST_EVENTS)).fetchall():
        own = len(row) - len(SEGMENTS)
        yield CountedEvent(*row[:own]), row[own:]


def read_events_with_segments(
    connection: psycopg.Connection[Any], window: SegmentWindow
) -> Iterator[tuple[LedgerEvent, tuple[str | None, ...]]]:
    """The newest :data:`MOST_EVENTS` events of the window, without their leads' places, and the
    :data:`SEGMENTS` of each."""
    for row in connection.execute(_EVENTS_OF_SEGMENTS, window.arguments(MOST_EVENTS)).fetchall():
        own = dict(zip(_OWN, row, strict=False))
        yield LedgerEvent(event_name=window.name or "", **own, **_NO_LEAD), row[len(_OWN) :]


# What was delivered with a warning lately, and what was taken and matched nobody.
#
# A warning stands with the attempt that drew it. What Google tells of an accepted request later has
# counts by reason and no list of events, so it stands with the request.


@dataclass(frozen=True, slots=True)
class DeliveredFor:
    """So many delivered events of one destination for one reason, within the last 24 hours and
    within the last 7 days, those hours included."""

    destination: str
    reason: str
    last_day: int
    last_week: int


@dataclass(frozen=True, slots=True)
class DeliveryWarnings:
    """Both of them, each with the most frequent first."""

    warned: list[DeliveredFor]
    unmatched: list[DeliveredFor]


# The index tracking_delivery_attempts_warned has the first condition.
_COUNT: LiteralString = """
with told as (
    select 'warned' as kind, a.destination, w.reason, 1 as events, a.attempted_at as at
    from public.tracking_delivery_attempts a, string_to_table(a.warning, %(between)s) as w (reason)
    where a.warning is not null and a.attempted_at > now() - interval '7 days'
    union all
    select t.kind, 'google_ec', c.key, c.value::integer, r.sent_at
    from public.tracking_google_requests r,
        (values ('warned'), ('unmatched')) as t (kind),
        jsonb_each_text(case t.kind when 'warned' then r.warnings else r.unmatched end) as c
    where r.sent_at > now() - interval '7 days'
)
select kind, destination, reason,
    coalesce(sum(events) filter (where at > now() - interval '24 hours'), 0)::bigint,
    sum(events)::bigint as last_week
from told
group by 1, 2, 3
order by last_week desc, 2, 3
limit %(most)s
"""


def count_delivery_warnings(connection: psycopg.Connection[Any]) -> DeliveryWarnings:
    """The hundred reasons that were met most often; an event with two warnings counts for both."""
    arguments = {"between": WARNINGS_BETWEEN, "most": 100}
    found: dict[str, list[DeliveredFor]] = {"warned": [], "unmatched": []}
    for kind, *row in connection.execute(_COUNT, arguments).fetchall():
        found[kind].append(DeliveredFor(*row))
    return DeliveryWarnings(**found)
