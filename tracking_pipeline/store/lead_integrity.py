"""Do leads and the ledger's conversions fit together? Counts over a window of time.

Each statement reads the window's part of an index: ``tracking_ledger_of_leads`` (events that have a
lead, few among page views) or the leads' own by time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from typing_extensions import LiteralString

from tracking_pipeline.store.match_key_rollup import CONVERSION, ConversionRule
from tracking_pipeline.store.withheld_events import IS_FAILURE

# A lead is often saved a moment before its event is.
SETTLING_MINUTES = 10


@dataclass(frozen=True, slots=True)
class LeadIntegrity:
    """``orphans``: conversions whose lead does not exist. ``duplicates``: conversions beyond the
    first of one lead, event name and day (UTC). ``leads_with`` and ``leads_without`` a conversion
    in the ledger, of leads that are some minutes old."""

    orphans: int
    duplicates: int
    leads_with: int
    leads_without: int


_EVENTS: LiteralString = """
with conversions as materialized (
    select e.lead_id, e.event_name, date_trunc('day', e.created_at, 'UTC') as day
    from public.wm_event_log e
    where e.created_at >= %(since)s and e.created_at < %(until)s
      and e.lead_id is not null and {conversion}
)
select
    (select count(*) from conversions c
     where not exists (select from public.leads l where l.id = c.lead_id)),
    (select coalesce(sum(g.events - 1), 0)::bigint from (
        select count(*) as events from conversions group by lead_id, event_name, day) as g)
""".replace("{conversion}", CONVERSION)

_LEADS: LiteralString = """
select count(*) filter (where has_event), count(*) filter (where not has_event)
from (
    select exists (
        select from public.wm_event_log e where e.lead_id = l.id and {conversion}) as has_event
    from public.leads l
    where l.created_at >= %(since)s
      and l.created_at < least(%(until)s, now() - make_interval(mins => %(settling)s))) as l
""".replace("{conversion}", CONVERSION)


def count_lead_integrity(
    connection: psycopg.Connection[Any],
    since: datetime,
    until: datetime,
    rule: ConversionRule,
    *,
    time_limit_seconds: float,
) -> LeadIntegrity | None:
    """The counts of [since, until); None where the window holds more than can be counted within
    the limit."""
    arguments = {
        "since": since,
        "until": until,
        "names": list(rule.names),
        "by_type": rule.by_type,
        "settling": SETTLING_MINUTES,
    }
    try:
        with connection.transaction():
            # Of the transaction, so that it holds behind a transaction pooler as well.
            connection.execute(
                "select set_config('statement_timeout', %s, true)",
                (f"{int(time_limit_seconds * 1000)}ms",),
            )
            events = connection.execute(_EVENTS, arguments).fetchone()
            leads = connection.execute(_LEADS, arguments).fetchone()
    except psycopg.errors.QueryCanceled:
        return None
    assert events is not None  # noqa: S101  aggregates give one row
    assert leads is not None  # noqa: S101
    return LeadIntegrity(*events, *leads)


_UNDELIVERED: LiteralString = """
select count(distinct f.event_id)
from public.tracking_failed_events f
where f.created_at >= %(since)s and f.created_at < %(until)s
  and f.status <> 'resolved' and not f.destination = any(%(stores)s) and {is_failure}
""".replace("{is_failure}", IS_FAILURE)


def count_undelivered(
    connection: psycopg.Connection[Any], since: datetime, until: datetime, stores: Sequence[str]
) -> int:
    """Events that failed within [since, until) and that a destination which is none of the site's
    own ``stores`` still does not have; each counts once."""
    arguments = {"since": since, "until": until, "stores": list(stores)}
    row = connection.execute(_UNDELIVERED, arguments).fetchone()
    assert row is not None  # noqa: S101  an aggregate gives one row
    return int(row[0])


@dataclass(frozen=True, slots=True)
class SettledToday:
    """Failed events that were ``resolved`` since midnight (UTC), by whomever, and those that were
    ``withheld``."""

    resolved: int
    withheld: int


_SETTLED_TODAY: LiteralString = """
select count(*) filter (where f.withheld_reason is null),
    count(*) filter (where f.withheld_reason is not null)
from public.tracking_failed_events f
where f.status = 'resolved' and f.resolved_at >= date_trunc('day', now(), 'UTC')
"""


def count_settled_today(connection: psycopg.Connection[Any]) -> SettledToday:
    """What came to its end since midnight (UTC) and was not given up."""
    row = connection.execute(_SETTLED_TODAY).fetchone()
    assert row is not None  # noqa: S101  an aggregate gives one row
    return SettledToday(*row)
