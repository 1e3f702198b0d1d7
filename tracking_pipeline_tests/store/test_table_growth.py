"""What is old and settled is deleted in small steps, what is still needed stays."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tracking_pipeline.store.table_growth import (
    ATTEMPTS,
    GOOGLE_REQUESTS,
    NOTIFICATIONS,
    ROLL_UPS,
    Ageing,
    Pruned,
    prune,
    read_vacuum_advice,
)
from tracking_pipeline_tests.health.site import Site

DAYS = 400


@pytest.fixture
def site(connection: psycopg.Connection[Any]) -> Site:
    return Site(connection)


def pruned(site: Site, ageing: Ageing, *, batch: int = 2, seconds: float = 60.0) -> Pruned:
    return prune(
        site.connection,
        ageing,
        older_than_days=DAYS,
        deadline=time.monotonic() + seconds,
        batch=batch,
    )


def add_attempts(site: Site, failed_event: UUID, *, days_ago: float, count: int = 1) -> None:
    for attempt in range(1, count + 1):
        site.connection.execute(
            "insert into tracking_delivery_attempts (failed_event_id, event_id, destination,"
            " attempt, outcome, lease_token, attempted_at)"
            " values (%s, gen_random_uuid(), 'meta_capi', %s, 'delivered', %s, now() - %s)",
            (failed_event, attempt, attempt, timedelta(days=days_ago)),
        )


def add_row(site: Site, *, settled_days_ago: float | None = None, **columns: Any) -> UUID:
    """A failed event, by its own id."""
    if settled_days_ago is not None:
        columns |= {"status": "resolved", "resolved_at": site.ago(days=settled_days_ago)}
    (event_id,) = site.add_failed(**columns)
    found: UUID = site.one("select id from tracking_failed_events where event_id = %s", event_id)
    return found


def test_attempts_go_once_they_and_the_end_of_their_event_are_old(site: Site) -> None:
    dead = "dead_letter"
    rows = {
        "settled long ago": add_row(site, settled_days_ago=401),
        "of no row: a first attempt, or a row that the site deleted": uuid4(),
        "settled lately": add_row(site, settled_days_ago=399),
        "waits": add_row(site, created_at=site.ago(days=500)),
        "retried": add_row(site, status="retrying"),
        "dead, and may be replayed": add_row(site, status=dead, updated_at=site.ago(days=500)),
    }
    site.connection.execute(
        "insert into tracking_accepted_events (id, event_id, event_name, event_payload,"
        " destination) values (%s, gen_random_uuid(), 'Lead', '{}', 'meta_capi')",
        (rows.setdefault("accepted, not sent yet", uuid4()),),
    )
    for row in rows.values():
        add_attempts(site, row, days_ago=401, count=3)
        add_attempts(site, row, days_ago=399)

    assert pruned(site, ATTEMPTS) == Pruned(6, True)

    left = {
        name: site.one(
            "select count(*) from tracking_delivery_attempts where failed_event_id = %s", row
        )
        for name, row in rows.items()
    }
    assert left == dict.fromkeys(rows, 4) | dict.fromkeys(list(rows)[:2], 1)
    assert pruned(site, ATTEMPTS) == Pruned(0, True)


def test_a_site_may_have_settled_a_row_without_saying_when(site: Site) -> None:
    old = {"created_at": site.ago(days=500), "updated_at": None, "status": "resolved"}
    site.connection.execute(
        "alter table tracking_failed_events alter updated_at drop not null,"
        " alter status drop not null"
    )
    without_time = add_row(site, **old)
    without_status = add_row(site, **{**old, "status": None})
    for row in (without_time, without_status):
        add_attempts(site, row, days_ago=450)
    assert pruned(site, ATTEMPTS).deleted == 1
    assert site.one("select failed_event_id from tracking_delivery_attempts") == without_status


def test_the_time_that_is_over_ends_it_and_the_next_pass_goes_on(site: Site) -> None:
    add_attempts(site, uuid4(), days_ago=401, count=5)
    assert pruned(site, ATTEMPTS, seconds=0.0) == Pruned(0, False)
    assert pruned(site, ATTEMPTS) == Pruned(5, True)


@pytest.mark.parametrize(("days_ago", "goes"), [(1, False), (89, False), (91, True)])
def test_the_database_itself_keeps_young_attempts(site: Site, days_ago: int, *, goes: bool) -> None:
    add_attempts(site, uuid4(), days_ago=days_ago)
    delete = "delete from tracking_delivery_attempts"
    if goes:
        assert site.connection.execute(delete).rowcount == 1
    else:
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            site.connection.execute(delete)
    for statement in ("update %s set attempt = 2", "truncate %s"):
        add_attempts(site, uuid4(), days_ago=days_ago)
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            site.connection.execute((statement % "tracking_delivery_attempts").encode())


def test_messages_of_an_open_alert_and_those_that_wait_stay(site: Site) -> None:
    site.connection.execute(
        """
        with alert as (
            insert into tracking_health_alerts (alert_type, severity, message, resolved_at)
            values ('emq_critical', 'critical', 'open', null),
                ('dead_letters', 'critical', 'ended', now() - interval '401 days')
            returning id, message
        )
        insert into tracking_alert_notifications (
            alert_id, alert_type, kind, severity, channel, title, body, dedupe_key, created_at,
            sent_at, next_attempt_at)
        select alert.id, 'x', 'started', 'critical', 'c', alert.message || ' ' || state, '',
            alert.message || state || days, now() - make_interval(days => days),
            case state when 'sent' then now() end, case state when 'waits' then now() end
        from alert, unnest(array['sent', 'waits', 'given up']) as state,
            unnest(array[401, 399]) as days
        """
    )
    assert pruned(site, NOTIFICATIONS).deleted == 2
    left = site.read(
        "select title from tracking_alert_notifications"
        " where created_at < now() - interval '400 days' order by 1"
    )
    assert [row["title"] for row in left] == [
        "ended waits",
        "open given up",
        "open sent",
        "open waits",
    ]


def test_requests_that_google_has_judged_go(site: Site) -> None:
    site.connection.execute(
        "insert into tracking_google_requests (request_id, sent_at, next_check_at)"
        " select days || ' ' || open, now() - make_interval(days => days),"
        " case when open then now() end"
        " from unnest(array[401, 399]) as days, unnest(array[true, false]) as open"
    )
    assert pruned(site, GOOGLE_REQUESTS).deleted == 1
    assert site.one("select count(*) from tracking_google_requests") == 3


def test_counts_by_hour_go(site: Site) -> None:
    hours = "select date_trunc('hour', now()) - make_interval(days => days), {columns}" + (
        " from unnest(array[500, 401, 399, 1]) as days"
    )
    for table, columns, values in (
        ("tracking_match_key_hourly", "event_name, keys, events", "'Lead', 1, 1"),
        (
            "tracking_delivery_hourly",
            "destination, event_name, in_ledger, became, reason, currency, events, value",
            "'meta_capi', 'Lead', true, 'delivered', 'retry', '', 1, 0",
        ),
        (
            "tracking_conversion_hourly",
            "event_name, consent, currency, events",
            "'Lead', 'granted', '', 1",
        ),
    ):
        rows = hours.format(columns=values)
        site.connection.execute(f"insert into {table} (hour, {columns}) {rows}".encode())
    orders = hours.format(columns="days::text, 'Lead', gen_random_uuid()")
    columns = "created_at, order_id, event_name, event_id"
    site.connection.execute(f"insert into tracking_order_events ({columns}) {orders}".encode())
    assert {each.table: pruned(site, each).deleted for each in ROLL_UPS} == {
        each.table: 2 for each in ROLL_UPS
    }


def test_a_large_queue_of_the_sites_own_is_told_to_be_vacuumed_sooner(site: Site) -> None:
    def advice_at(rows: int) -> str | None:
        site.connection.execute(
            "update pg_class set reltuples = %s where relname = 'tracking_failed_events'", (rows,)
        )
        return read_vacuum_advice(site.connection)

    assert advice_at(10_000_000) is None
    # As an adopted table has it.
    site.connection.execute(
        "alter table tracking_failed_events reset (autovacuum_vacuum_scale_factor)"
    )
    assert advice_at(10_000) is None
    advice = advice_at(10_000_000)
    assert advice is not None
    assert "2,000,000 are dead" in advice
    # What it says can be run as it stands.
    site.connection.execute(advice.split(": ")[1].encode())
    assert advice_at(10_000_000) is None
