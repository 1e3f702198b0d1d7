"""Whether leads and conversions fit together is found by indexes, and not at any price."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from tracking_pipeline.delivery.destinations.registry import STORES
from tracking_pipeline.store import attempts, lead_integrity
from tracking_pipeline.store.lead_integrity import count_lead_integrity
from tracking_pipeline.store.match_key_rollup import ConversionRule

ROWS = 20_000
NOW = datetime.now(timezone.utc)
WINDOW = {"since": NOW - timedelta(days=1), "until": NOW}
RULE = ConversionRule(("Lead",))

# A ledger of page views, some of them by leads, and a queue of which nearly all is done with.
_SEED = f"""
insert into leads (id, email, created_at)
select md5(i::text)::uuid, 'a@example.com', now() - i * interval '1 hour'
from generate_series(1, {ROWS}) as i;
insert into wm_event_log (event_id, event_name, lead_id, created_at)
select gen_random_uuid(), case when i % 100 = 0 then 'Lead' else 'page_view' end,
    case when i % 100 = 0 then md5((i / 100)::text)::uuid end, now() - i * interval '4 seconds'
from generate_series(1, {ROWS}) as i;
insert into tracking_failed_events (event_id, event_name, event_payload, destination, error_message,
    status, created_at, resolved_at)
select gen_random_uuid(), 'Lead', '{{}}', 'meta_capi', '',
    case when i % 200 = 0 then 'pending' else 'resolved' end,
    now() - i * interval '30 minutes', now() - i * interval '30 minutes'
from generate_series(1, {ROWS}) as i;
insert into tracking_delivery_attempts (failed_event_id, event_id, destination, attempt, outcome,
    lease_token, duration_ms, attempted_at)
select gen_random_uuid(), gen_random_uuid(), 'meta_capi', 1, 'delivered', 1, 100,
    now() - i * interval '1 minute'
from generate_series(1, {ROWS}) as i;
analyze;
"""


@pytest.fixture(scope="module")
def long_history(server: Any, migrated_template: str) -> Iterator[psycopg.Connection]:
    url = server.create_database("long_history_of_leads", template=migrated_template)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_SEED.encode())
        yield connection
    server.drop_database("long_history_of_leads")


@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        (lead_integrity._EVENTS, {"names": ["Lead"], "by_type": True}),
        (lead_integrity._LEADS, {"names": ["Lead"], "by_type": True, "settling": 10}),
        (lead_integrity._UNDELIVERED, {"stores": ["supabase"]}),
        (lead_integrity._SETTLED_TODAY, {}),
        (
            attempts._COUNT,
            {"bounds": [50.0, 100.0], "since": NOW - timedelta(minutes=15)},
        ),
    ],
)
def test_a_window_of_a_long_history_is_read_by_an_index(
    long_history: psycopg.Connection, statement: str, arguments: dict[str, Any]
) -> None:
    explain = f"explain (analyze, format json) {statement}".encode()
    row = long_history.execute(explain, {**WINDOW, **arguments}).fetchone()
    assert row is not None
    scans = [node for node in _nodes(row[0][0]["Plan"]) if "Relation Name" in node]
    assert scans
    assert "Seq Scan" not in {node["Node Type"] for node in scans}
    read = sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in scans
    )
    assert read < ROWS / 20


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def test_what_takes_too_long_is_given_up_and_the_connection_goes_on(
    long_history: psycopg.Connection,
) -> None:
    since = NOW - timedelta(days=3650)
    long_history.execute("begin")
    found = count_lead_integrity(long_history, since, NOW, RULE, time_limit_seconds=0.001)
    assert found is None
    assert long_history.execute("show statement_timeout").fetchone() == ("0",)
    long_history.execute("rollback")
    found = count_lead_integrity(long_history, since, NOW, RULE, time_limit_seconds=60)
    assert found is not None
    assert (found.orphans, found.leads_with) == (0, 200)


def test_what_was_withheld_is_neither_resolved_today_nor_owed_to_a_platform(
    connection: psycopg.Connection,
) -> None:
    connection.execute(
        "insert into tracking_failed_events (event_id, event_name, event_payload, destination,"
        " error_message, status, resolved_at, withheld_reason)"
        " select gen_random_uuid(), 'Lead', '{}', 'meta_capi', 'it failed', 'resolved',"
        " now() - age, reason from (values (interval '0', null), ('0', 'consent denied'),"
        " ('0', 'consent denied'), ('2 days', 'consent denied')) as made (age, reason)"
    )

    settled = lead_integrity.count_settled_today(connection)

    assert (settled.resolved, settled.withheld) == (1, 2)
    since, until = NOW - timedelta(days=1), NOW + timedelta(days=1)
    assert lead_integrity.count_undelivered(connection, since, until, STORES) == 0
