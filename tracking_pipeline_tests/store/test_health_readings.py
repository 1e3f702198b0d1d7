"""What a check reads is found by an index, however long the tables are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.store.health_readings import (
    count_conversions_and_failures,
    count_failures,
    count_new_dead_letters,
    count_outlived,
    count_recovered,
    count_waiting,
)
from tracking_pipeline.store.health_snapshots import (
    read_last_value,
    read_metrics_seen,
    read_seconds_since_check,
    read_value_before,
)
from tracking_pipeline.store.match_key_rollup import (
    ConversionRule,
    count_conversions,
    find_chunk,
    read_counts,
)
from tracking_pipeline.store.queue_counts import count_dead_letters, read_waiting
from tracking_pipeline.store.withheld_events import count_withheld

ROWS = 40_000
RULE = ConversionRule(("Lead",))
NOW = datetime.now(timezone.utc)

# A queue of which nearly all is done with, a ledger of years and checks of months.
_SEED = f"""
insert into tracking_failed_events (event_id, event_name, event_payload, destination, error_message,
    status, created_at, updated_at, next_retry_at)
select gen_random_uuid(), 'Lead', '{{}}', (array['meta_capi', 'google_ec'])[1 + i % 2], 'it failed',
    case when i % 200 = 0 then 'dead_letter' when i % 200 < 3 then 'pending' else 'resolved' end,
    now() - i * interval '30 minutes', now() - i * interval '30 minutes', null
from generate_series(1, {ROWS}) as i;
update tracking_failed_events
set resolved_at = updated_at, withheld_reason = case when id::text < '4' then 'consent denied' end
where status = 'resolved';
insert into wm_event_log (event_id, event_name, created_at)
select gen_random_uuid(), 'Lead', now() - i * interval '30 minutes'
from generate_series(1, {ROWS}) as i;
insert into tracking_match_key_hourly (hour, event_name, keys, events)
select date_trunc('hour', now()) - i * interval '1 hour', 'Lead', 1, 2
from generate_series(1, {ROWS}) as i;
insert into tracking_health_snapshots (check_id, metric, value, taken_at)
select gen_random_uuid(), m, 1, now() - i * interval '15 minutes'
from generate_series(1, {ROWS} / 4) as i, unnest(array['queue_depth', 'emq_score', 'a', 'b']) as m;
analyze;
"""
READS: dict[str, Callable[[psycopg.Connection], Any]] = {
    "waiting": read_waiting,
    "waiting, for a sensor": count_waiting,
    "dead letters": count_dead_letters,
    "failures of a day": lambda it: count_failures(it, NOW - timedelta(days=1), NOW, RULE),
    "events of a day": lambda it: count_conversions_and_failures(
        it, NOW - timedelta(days=1), NOW, RULE, most_rows=1000
    ),
    "recovery of a week": lambda it: count_recovered(it, (3600.0, 604_800.0)),
    "new dead letters": lambda it: count_new_dead_letters(
        it, DESTINATIONS, NOW - timedelta(days=1), NOW
    ),
    "outlived dead letters": lambda it: count_outlived(
        it, DESTINATIONS, NOW - timedelta(days=7), NOW
    ),
    "withheld of a week": count_withheld,
    "conversions of a day": lambda it: count_conversions(it, NOW - timedelta(days=1), NOW, RULE),
    "next chunk": lambda it: find_chunk(it, NOW - timedelta(days=900), NOW, most_rows=500),
    "match keys of a week": lambda it: read_counts(it, NOW - timedelta(days=7), NOW),
    "queue an hour ago": lambda it: read_value_before(
        it, "queue_depth", longest_seconds=4500, shortest_seconds=600
    ),
    "queue at the last check": lambda it: read_last_value(it, "queue_depth"),
    "metrics seen": lambda it: read_metrics_seen(it, ("emq_score",)),
    "last check": read_seconds_since_check,
}


@pytest.fixture(scope="module")
def long_history(server: Any, migrated_template: str) -> Iterator[psycopg.Connection]:
    url = server.create_database("long_history", template=migrated_template)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_SEED.encode())
        yield connection
    server.drop_database("long_history")


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_reading_walks_an_index_and_no_table(
    long_history: psycopg.Connection, read: Callable[[psycopg.Connection], Any]
) -> None:
    explained = _Explained(long_history)
    read(explained)

    scans = [node for node in explained.nodes if "Relation Name" in node]
    assert scans
    assert "Seq Scan" not in {node["Node Type"] for node in scans}
    # Each table has 40,000 rows.
    assert sum(map(_rows_read, scans)) < ROWS / 20


class _Explained:
    """A connection whose statements are explained as they are run, and give no rows."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.nodes: list[dict[str, Any]] = []
        self._connection = connection

    def execute(self, statement: str, arguments: Any = None) -> Any:
        explain = f"explain (analyze, format json) {statement}".encode()
        row = self._connection.execute(explain, arguments).fetchone()
        assert row is not None
        self.nodes += _nodes(row[0][0]["Plan"])
        return self._connection.execute("select 0 where false")


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _rows_read(node: dict[str, Any]) -> float:
    each = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    return float(sum(node.get(name, 0) for name in each) * node["Actual Loops"])
