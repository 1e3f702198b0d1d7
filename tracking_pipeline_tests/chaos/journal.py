"""What a scenario's database keeps for the checker: its clock, and the states of all rows.

Triggers write each version of a queue's row and of a destination's state as it is made, in the
transaction that makes it. To let time pass, every time in the pipeline's tables is moved into the
past; what was kept before keeps its moment on the scenario's clock.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from typing_extensions import LiteralString

Connection = psycopg.Connection[Any]

_KEEP: LiteralString = """
create table chaos_clock (began timestamptz not null, ahead float8 not null);
insert into chaos_clock values (clock_timestamp(), 0);
create function chaos_seconds(moment timestamptz) returns float8 language sql stable as
    'select extract(epoch from moment - began)::float8 + ahead from chaos_clock';
create table chaos_versions (
    n bigint generated always as identity primary key, at float8, row_id uuid, destination text,
    status text, lease_token bigint, retry_count integer, next_retry_at float8,
    lease_expires_at float8);
create table chaos_standings (
    n bigint generated always as identity primary key, at float8, destination text, state text,
    not_before float8);
create function chaos_keep_row() returns trigger language plpgsql as $$
declare
    version jsonb := to_jsonb(case when tg_op = 'DELETE' then old else new end);
begin
    insert into chaos_versions (at, row_id, destination, status, lease_token, retry_count,
        next_retry_at, lease_expires_at)
    values (chaos_seconds(now()), (version ->> 'id')::uuid, version ->> 'destination',
        version ->> 'status', (version ->> 'lease_token')::bigint,
        coalesce((version ->> 'retry_count')::integer, 0),
        chaos_seconds((version ->> 'next_retry_at')::timestamptz),
        chaos_seconds((version ->> 'lease_expires_at')::timestamptz));
    return null;
end $$;
create function chaos_keep_standing() returns trigger language plpgsql as $$
begin
    insert into chaos_standings (at, destination, state, not_before)
    values (chaos_seconds(clock_timestamp()), new.destination, new.state,
        chaos_seconds(new.not_before));
    return null;
end $$;
create trigger chaos after insert or update or delete on tracking_failed_events
    for each row execute function chaos_keep_row();
create trigger chaos after insert or update or delete on tracking_accepted_events
    for each row execute function chaos_keep_row();
create trigger chaos after insert or update on tracking_destination_state
    for each row execute function chaos_keep_standing();
"""
_TIMES: LiteralString = """
select c.table_name, array_agg(c.column_name::text order by c.column_name) as columns
from information_schema.columns c
join information_schema.tables t using (table_schema, table_name)
where c.table_schema = 'public' and c.data_type = 'timestamp with time zone'
  and t.table_type = 'BASE TABLE' and c.table_name not like 'chaos%'
group by c.table_name
"""
# Of all that is to come: what the pipeline waits for.
_NEXT: LiteralString = """
select extract(epoch from min(moment) - now())::float8
from (
    select greatest(f.next_retry_at, f.lease_expires_at,
        case when s.state <> 'closed' then s.probe_at end, s.not_before) as moment
    from (
        select destination, next_retry_at, lease_expires_at from tracking_failed_events
        where status in ('pending', 'retrying')
        union all
        select destination, null, lease_expires_at from tracking_accepted_events
        where delivered_at is null) as f
    left join tracking_destination_state s using (destination)) as waiting
"""
_WAITING: LiteralString = """
select (select count(*) from tracking_failed_events
        where status in ('pending', 'retrying') and destination <> %(but)s)
    + (select count(*) from tracking_accepted_events
        where delivered_at is null and destination <> %(but)s)
"""


# A thousand years in seconds.
_FAR = 1_000 * 365 * 86_400


def keep_journal(connection: Connection) -> None:
    """From now on every state is kept."""
    connection.execute(_KEEP)


def pass_time(connection: Connection, seconds: float) -> None:
    """Lets so much time pass for everybody who goes by the database's clock."""
    with connection.transaction():
        # Neither our own triggers nor the ones that keep a log append-only are asked.
        connection.execute("set local session_replication_role = replica")
        connection.execute("update chaos_clock set ahead = ahead + %s", (seconds,))
        for table, columns in connection.execute(_TIMES).fetchall():
            moved = sql.SQL(", ").join(
                sql.SQL("{0} = {0} + make_interval(secs => %(seconds)s)").format(
                    sql.Identifier(column)
                )
                for column in columns
            )
            # By way of a time at which there is nothing: a row that is moved to where another one
            # of its kind still stands would be refused where the two must differ.
            for part in (_FAR, -_FAR - seconds):
                connection.execute(
                    sql.SQL("update {} set {}").format(sql.Identifier(table), moved),
                    {"seconds": part},
                )


def waiting(connection: Connection, but: str = "") -> int:
    """How many events wait in either queue, those of one destination left out."""
    return int(connection.execute(_WAITING, {"but": but}).fetchall()[0][0])


def seconds_to_next(connection: Connection) -> float:
    """How long until one of them may be sent; 0 where one is due already."""
    found = connection.execute(_NEXT).fetchall()[0][0]
    return max(float(found or 0.0), 0.0)


def read(connection: Connection, query: LiteralString) -> list[dict[str, Any]]:
    """The rows of a query."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query).fetchall()
