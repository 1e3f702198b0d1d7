"""Finds the rows that one id names, in the two queues and the ledger, with the attempts of each.

It only reads. By ids every table has an index; what stands in a payload (an order's id, an event's
own text) has none, so that search takes the newest rows alone and a few seconds at most.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson
import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row
from typing_extensions import LiteralString

from tracking_pipeline.store.failed_events import STATEMENTS_OF_LEAD
from tracking_pipeline.store.fragments import LEAD_COLUMNS
from tracking_pipeline.store.importing import read_columns
from tracking_pipeline.store.ledger import NAMES
from tracking_pipeline.store.withheld_events import WITHHELD

MOST_EVENTS = 25
MOST_ATTEMPTS = 100
# Of each table, so many of the newest rows are searched for an order's id.
SEARCHED_ROWS = 50_000
SEARCH_SECONDS = 5

Table = Literal["tracking_failed_events", "tracking_accepted_events", "wm_event_log"]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row: the columns of a claim, as delivery names them, and those that say how it stands."""

    table: Table
    row: Mapping[str, Any]

    @property
    def key(self) -> str:
        """What tells the row from all others."""
        return f"{self.table} {self.row['id']}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row of ``tracking_delivery_attempts``."""

    failed_event_id: UUID
    attempted_at: datetime
    destination: str
    attempt: int
    outcome: str
    error_code: str | None
    error_message: str | None
    http_status: int | None
    failure_code: str | None
    platform_message: str | None
    trace_id: str | None
    field_path: str | None
    requests: int
    duration_ms: int | None
    worker: str | None
    run_id: str | None


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search found. ``cut_short``: there are older rows that were not looked at."""

    events: tuple[StoredEvent, ...]
    cut_short: bool


# A time that Python's calendar does not have is no time.
_TIME: LiteralString = "case when {0} between '0001-01-02' and '9999-12-30' then {0} end"
_LEAD: LiteralString = """
    {columns}, l.geo_fields,
    case when {asks_lead} then {statements} end as statements"""
# Whoever sends an event again after a while asks what the site keeps of the lead's consent by now:
# of a row that is replayed, or that only a replay would send.
_ASKS_LEAD: dict[Table, LiteralString] = {
    "tracking_failed_events": """l.id is not null
        and (f.replayed_at is not null or f.status in ('dead_letter', 'resolved'))""",
    "tracking_accepted_events": "false",
    "wm_event_log": "l.id is not null",
}
_FAILED: LiteralString = """
select f.id, f.event_id, f.event_name, f.event_type, f.event_payload::text as payload,
    f.user_data::text as user_data, f.lead_id, f.session_id,
    coalesce(f.retry_count, 0) as retry_count, coalesce(f.max_retries, 5) as max_retries,
    coalesce({created_at}, now()) as created_at, f.lease_token, f.destination,
    case when {withheld} then 'withheld' else coalesce(f.status, 'none') end as shown_status,
    {next_retry_at} as next_retry_at, coalesce(f.lease_expires_at > now(), false) as being_sent,
    {resolved_at} as resolved_at, f.resolved_by::text as resolved_by, f.withheld_reason,
    f.dead_letter_reason, f.error_message, f.error_code::text as error_code, f.http_status,
    f.failure_code,
    coalesce(f.replays, 0) as replays, {lead}
from public.tracking_failed_events f
left join public.leads l on l.id = f.lead_id
where {which}
order by f.created_at desc
limit %(most)s
"""
_ACCEPTED: LiteralString = """
select f.id, f.event_id, f.event_name, f.event_type, f.event_payload::text as payload,
    null as user_data, f.lead_id, f.session_id, 0 as retry_count, 5 as max_retries,
    f.created_at, f.lease_token, f.destination,
    case when f.delivered_at is null then 'accepted' else 'delivered' end as shown_status,
    null::timestamptz as next_retry_at, coalesce(f.lease_expires_at > now(), false) as being_sent,
    f.delivered_at as resolved_at, null as resolved_by, null as withheld_reason,
    null as dead_letter_reason, null as error_message, null as error_code,
    null as failure_code,
    null::integer as http_status, 0 as replays, {lead}
from public.tracking_accepted_events f
left join public.leads l on l.id = f.lead_id
where {which}
order by f.created_at desc
limit %(most)s
"""
# The event under the id that its sender gave it, which the column may not hold.
_LEDGER: LiteralString = """
select f.id::text as id, coalesce(f.event_id, '00000000-0000-0000-0000-000000000000') as event_id,
    coalesce(f.event_name, '') as event_name, f.event_type,
    (to_jsonb(columns) || case when f.metadata ->> 'event_id' is null then '{{}}'::jsonb
        else jsonb_build_object('event_id', f.metadata -> 'event_id') end)::text as payload,
    null as user_data, f.lead_id, f.session_id, 0 as retry_count, 5 as max_retries,
    coalesce({created_at}, now()) as created_at, 0 as lease_token, null as destination,
    'recorded' as shown_status, null::timestamptz as next_retry_at, false as being_sent,
    null::timestamptz as resolved_at, null as resolved_by, null as withheld_reason,
    null as dead_letter_reason, null as error_message, null as error_code,
    null as failure_code,
    null::integer as http_status, 0 as replays, {lead}
from public.wm_event_log f
cross join lateral (select {names}) as columns
left join public.leads l on l.id = f.lead_id
where {which}
order by f.created_at desc
limit %(most)s
"""
_STATEMENTS: dict[Table, LiteralString] = {
    "tracking_failed_events": _FAILED,
    "tracking_accepted_events": _ACCEPTED,
    "wm_event_log": _LEDGER,
}
_BY_IDS: LiteralString = (
    "f.id = any(%(ids)s::uuid[]) or f.event_id = any(%(ids)s::uuid[])"
    " or f.lead_id = any(%(ids)s::uuid[])"
)
# An adopted ledger may number its rows.
_BY_IDS_WITHOUT_OWN: LiteralString = (
    "f.event_id = any(%(ids)s::uuid[]) or f.lead_id = any(%(ids)s::uuid[])"
)
# Within quotes or as a number of its own; the reader has the last word.
_BY_TEXT: LiteralString = """f.id in (
    select recent.id from (
        select r.id, r.created_at, {searched} as written from public.{table} r
        order by r.created_at desc
        limit %(rows)s) as recent
    where strpos(recent.written, %(text)s) > 0
    order by recent.created_at desc
    limit %(most)s)"""
_SEARCHED: dict[Table, LiteralString] = {
    "tracking_failed_events": "r.event_payload::text",
    "tracking_accepted_events": "r.event_payload::text",
    "wm_event_log": "coalesce(r.metadata::text, '')",
}
_HAS_OLDER: LiteralString = (
    "select exists (select from public.{table} order by created_at desc offset %s)"
)


def find_by_ids(connection: psycopg.Connection[Any], ids: Collection[UUID]) -> list[StoredEvent]:
    """The rows that have one of these as their own id, as their event's or as their lead's; of each
    table the newest, one more than :data:`MOST_EVENTS` at most."""
    ledger = read_columns(connection, "wm_event_log").get("id")
    found = []
    for table in _STATEMENTS:
        own = table != "wm_event_log" or (ledger is not None and ledger.kind == "uuid")
        which = sql.SQL(_BY_IDS if own else _BY_IDS_WITHOUT_OWN)
        found += _read(connection, table, which, {"ids": list(ids)})
    return found


def find_by_text(connection: psycopg.Connection[Any], text: str) -> Searched | None:
    """Those of the newest rows in whose payload this text stands somewhere; None where the search
    took too long."""
    arguments = {"text": orjson.dumps(text)[1:-1].decode(), "rows": SEARCHED_ROWS}
    found: list[StoredEvent] = []
    cut_short = False
    try:
        for table in _STATEMENTS:
            with connection.transaction():
                _limit_time(connection)
                which = sql.SQL(_BY_TEXT).format(
                    table=sql.Identifier(table), searched=sql.SQL(_SEARCHED[table])
                )
                found += _read(connection, table, which, arguments)
                older = sql.SQL(_HAS_OLDER).format(table=sql.Identifier(table))
                row = connection.execute(older, (SEARCHED_ROWS,)).fetchone()
                cut_short = cut_short or bool(row and row[0])
    except psycopg.errors.QueryCanceled:
        return None
    return Searched(tuple(found), cut_short)


def _limit_time(connection: psycopg.Connection[Any]) -> None:
    connection.execute(f"set local statement_timeout = '{SEARCH_SECONDS}s'".encode())


def _read(
    connection: psycopg.Connection[Any],
    table: Table,
    which: sql.Composable,
    arguments: Mapping[str, Any],
) -> list[StoredEvent]:
    statement = sql.SQL(_STATEMENTS[table]).format(
        which=which,
        lead=sql.SQL(_LEAD).format(
            columns=sql.SQL(LEAD_COLUMNS),
            asks_lead=sql.SQL(_ASKS_LEAD[table]),
            statements=sql.SQL(STATEMENTS_OF_LEAD),
        ),
        names=sql.SQL(", ").join(sql.Identifier("f", name.strip()) for name in NAMES.split(",")),
        withheld=sql.SQL(WITHHELD),
        **{
            name: sql.SQL(_TIME).format(sql.Identifier("f", name))
            for name in ("created_at", "next_retry_at", "resolved_at")
        },
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement, {**arguments, "most": MOST_EVENTS + 1}).fetchall()
    return [StoredEvent(table, row) for row in rows]


_COLUMNS: LiteralString = """a.failed_event_id, a.attempted_at, a.destination, a.attempt, a.outcome,
    a.error_code, a.error_message, a.http_status, a.failure_code, a.platform_message, a.trace_id,
    a.field_path, a.requests, a.duration_ms, a.worker, a.run_id"""
_ATTEMPTS: LiteralString = """
select {columns}
from unnest(%s::uuid[]) as row (id)
cross join lateral (
    select * from public.tracking_delivery_attempts
    where failed_event_id = row.id
    order by attempted_at desc, id desc
    limit %s) as a
order by a.attempted_at, a.id
""".replace("{columns}", _COLUMNS)


def read_attempts(
    connection: psycopg.Connection[Any], stored: Sequence[StoredEvent]
) -> dict[str, list[Attempt]]:
    """The attempts of queued rows by their key, the oldest first: the newest
    :data:`MOST_ATTEMPTS` of each."""
    queued = {each.row["id"]: each.key for each in stored if each.table != "wm_event_log"}
    found: dict[str, list[Attempt]] = {key: [] for key in queued.values()}
    with connection.cursor(row_factory=class_row(Attempt)) as cursor:
        for attempt in cursor.execute(_ATTEMPTS, (list(queued), MOST_ATTEMPTS)):
            found[queued[attempt.failed_event_id]].append(attempt)
    return found


# The log has no index by event: an accepted event is tried soon after it was recorded.
_ATTEMPTS_OF_RECORDED: LiteralString = """
select {columns}
from public.tracking_delivery_attempts a
where a.attempted_at between %s::timestamptz - interval '5 min' and %s::timestamptz + interval '6 h'
  and a.event_id = %s and a.failed_event_id <> all(%s)
order by a.attempted_at, a.id
limit %s
""".replace("{columns}", _COLUMNS)


def read_attempts_of_recorded(
    connection: psycopg.Connection[Any], event: StoredEvent, but_of: Collection[UUID]
) -> list[Attempt]:
    """The attempts of an event of the ledger within hours of its record, the oldest first, without
    those ``but_of`` these rows. None of them where it takes too long to find them."""
    moment = event.row["created_at"]
    arguments = (moment, moment, event.row["event_id"], list(but_of), MOST_ATTEMPTS)
    try:
        with connection.transaction(), connection.cursor(row_factory=class_row(Attempt)) as cursor:
            _limit_time(connection)
            return cursor.execute(_ATTEMPTS_OF_RECORDED, arguments).fetchall()
    except psycopg.errors.QueryCanceled:
        return []
