"""`migrate` on empty and on long used databases, alone, in company, refused and interrupted."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tracking_pipeline.store.migrate import (
    LOCK_KEY,
    MigrationError,
    Patience,
    is_migrated,
    migrate,
)
from tracking_pipeline.store.migrations.indexes import INDEXES
from tracking_pipeline_tests.servers import TestServer, find_server_binaries
from tracking_pipeline_tests.store.site import (
    OWNER,
    TABLES,
    Site,
    copy_of,
    login_role,
    new_site,
    site_server,
)

SERVERS = find_server_binaries()
OWN_TABLES = (
    "tracking_accepted_events",
    "tracking_admin_actions",
    "tracking_conversion_hourly",
    "tracking_delivery_attempts",
    "tracking_delivery_hourly",
    "tracking_delivery_slices",
    "tracking_destination_checks",
    "tracking_destination_shares",
    "tracking_destination_state",
    "tracking_geo_providers",
    "tracking_google_requests",
    "tracking_ip_locations",
    "tracking_launches",
    "tracking_match_key_hourly",
    "tracking_order_events",
    "tracking_setting_changes",
    "tracking_rollup_progress",
    "tracking_health_snapshots",
    "tracking_alert_state",
    "tracking_alert_notifications",
    "tracking_schema_version",
)
IMPATIENT = Patience(
    another_migration=0.3, table_lock=0.2, table_lock_tries=2, between_tries=0.05, index_lock=0.2
)


@pytest.fixture(scope="module", params=list(SERVERS), ids=lambda major: f"postgresql-{major}")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestServer]:
    folder = tmp_path_factory.mktemp(f"postgresql-{request.param}")
    with site_server(SERVERS[request.param], folder) as running:
        yield running


@pytest.fixture
def empty(server: TestServer) -> Iterator[Site]:
    with new_site(server) as site:
        yield site


@pytest.fixture
def in_use(server: TestServer) -> Iterator[Site]:
    with new_site(server, in_use=True) as site:
        yield site


@pytest.fixture(scope="module")
def _first_of_ours(server: TestServer) -> Iterator[Site]:
    with new_site(server) as site:
        migrate(site.url)
        yield site


@pytest.fixture(scope="module")
def _first_adopted(server: TestServer) -> Iterator[Site]:
    with new_site(server, in_use=True) as site:
        migrate(site.url)
        yield site


@pytest.fixture
def ours(server: TestServer, _first_of_ours: Site) -> Iterator[Site]:
    """A database that was empty and has been migrated."""
    with copy_of(_first_of_ours, server) as site:
        yield site


@pytest.fixture
def adopted(server: TestServer, _first_adopted: Site) -> Iterator[Site]:
    """A database that was in use and has been migrated."""
    with copy_of(_first_adopted, server) as site:
        yield site


@pytest.fixture(params=["ours", "adopted"])
def either(
    request: pytest.FixtureRequest, server: TestServer, _first_of_ours: Site, _first_adopted: Site
) -> Iterator[Site]:
    """A migrated database, whichever it was before."""
    original = _first_of_ours if request.param == "ours" else _first_adopted
    with copy_of(original, server) as site:
        yield site


@pytest.fixture
def on_supabase(server: TestServer) -> Iterator[Site]:
    with new_site(server, supabase=True, in_use=True) as site:
        yield site


# What a table is, each part by name, so that "nothing that was there has changed" is a comparison.
PARTS = {
    "rows": "select id::text, to_jsonb({table}) from {table}",
    "columns": "select attname, jsonb_build_array(format_type(atttypid, atttypmod), attnotnull,"
    " pg_get_expr(adbin, adrelid)) from pg_attribute left join pg_attrdef"
    " on adrelid = attrelid and adnum = attnum"
    " where attrelid = '{table}'::regclass and attnum > 0",
    "constraints": "select conname, to_jsonb(pg_get_constraintdef(oid)) from pg_constraint"
    " where conrelid = '{table}'::regclass and contype <> 'n'",
    "triggers": "select tgname, to_jsonb(pg_get_triggerdef(oid)) from pg_trigger"
    " where tgrelid = '{table}'::regclass and not tgisinternal",
    "indexes": "select indexrelid::regclass::text, to_jsonb(pg_get_indexdef(indexrelid))"
    " from pg_index where indrelid = '{table}'::regclass",
    "policies": "select policyname, to_jsonb(pg_policies) from pg_policies"
    " where tablename = '{table}'",
    # The file changes when a table is rewritten.
    "itself": "select 'itself', jsonb_build_array(relacl::text, relrowsecurity, reloptions,"
    " relfilenode)"
    " from pg_class where oid = '{table}'::regclass",
}
Picture = dict[tuple[str, str], dict[str, Any]]


def picture(site: Site) -> Picture:
    with psycopg.connect(site.url) as connection:
        return {
            (table, part): dict(connection.execute(query.format(table=table).encode()).fetchall())
            for table in TABLES
            for part, query in PARTS.items()
        }


def changes(before: Picture, after: Picture) -> list[tuple[str, ...]]:
    """Name everything of `before` that is gone or different in `after`; additions are no change."""
    found = []
    for (table, part), things in before.items():
        for name, thing in things.items():
            now = after[table, part].get(name)
            if part == "rows" and now is not None:
                found += [(table, name, column) for column in thing if thing[column] != now[column]]
            elif now != thing:
                found.append((table, part, name))
    return sorted(found)


def migrated(site: Site) -> bool:
    with psycopg.connect(site.url) as connection:
        return is_migrated(connection)


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def test_an_empty_database_gets_tables_that_take_rows(empty: Site) -> None:
    applied = migrate(empty.url).applied

    assert "created table leads" in applied
    assert migrated(empty)
    lead = empty.run("insert into leads (email) values ('a@example.com') returning id")[0][0]
    empty.run(
        f"""
        insert into tracking_failed_events
            (event_id, event_name, event_payload, destination, error_message, lead_id)
        values (gen_random_uuid(), 'Lead', '{{}}', 'meta_capi', 'HTTP 503', '{lead}');
        insert into wm_event_log (event_id, lead_id, event_name)
        values (gen_random_uuid(), '{lead}', 'lead_submission_success');
        insert into tracking_health_alerts (alert_type, severity, message)
        values ('pipeline_stalled', 'critical', 'no run for an hour');
        insert into tracking_destination_state (destination) values ('meta_capi');
        insert into tracking_delivery_attempts
            (failed_event_id, event_id, destination, attempt, outcome, lease_token)
        select id, event_id, destination, 1, 'retry', 1 from tracking_failed_events;
        """
    )
    assert empty.run(
        "select event_type, retry_count, max_retries, status, lease_token, lease_losses,"
        " updated_at is not null from tracking_failed_events"
    ) == [("conversion", 0, 5, "pending", 0, 0, True)]
    assert empty.run("select state, window_requests from tracking_destination_state") == [
        ("closed", 0)
    ]


@pytest.mark.parametrize(
    ("table", "column", "words"),
    [
        ("tracking_failed_events", "destination", ("meta_capi",)),
        ("tracking_health_alerts", "alert_type", ("emq_critical", "a_site_s_own")),
    ],
)
def test_what_this_version_writes_is_let_in_without_a_revision(
    ours: Site, table: str, column: str, words: tuple[str, ...]
) -> None:
    listed = ", ".join(f"'{word}'" for word in words)
    ours.run(
        f"""
        do $$ declare c record; begin
            for c in select conname from pg_constraint
                      where conrelid = 'public.{table}'::regclass and contype = 'c'
                        and pg_get_constraintdef(oid) like '%{column}%' loop
                execute format('alter table public.{table} drop constraint %I', c.conname);
            end loop;
        end $$;
        alter table {table} add constraint as_it_was check ({column} in ({listed}));
        """
    )
    assert not migrated(ours)
    (step,) = migrate(ours.url).applied
    assert step.startswith(f"widened constraint as_it_was of {table} by ")
    assert migrated(ours)
    assert migrate(ours.url).applied == []


def test_every_table_has_row_security_on(ours: Site) -> None:
    unprotected = ours.run(
        "select relname from pg_class where relnamespace = 'public'::regnamespace"
        " and relkind = 'r' and not relrowsecurity"
    )
    assert unprotected == []
    assert len(TABLES + OWN_TABLES) == len(
        ours.run("select 1 from pg_tables where schemaname = 'public'")
    )


def test_a_created_ledger_takes_no_update_no_delete_and_one_submission_of_a_lead(
    ours: Site,
) -> None:
    lead = "10000000-0000-4000-8000-000000000001"
    row = (
        "insert into wm_event_log (event_id, lead_id, event_name)"
        f" values (gen_random_uuid(), '{lead}', '%s')"
    )
    for name in ("lead_submission_success", "page_view", "page_view"):
        ours.run(row % name)

    for statement in ("update wm_event_log set event_name = ''", "delete from wm_event_log"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            ours.run(statement)
    with pytest.raises(psycopg.errors.UniqueViolation):
        ours.run(row % "lead_submission_success")


def test_attempts_cannot_be_changed(ours: Site) -> None:
    ours.run(
        "insert into tracking_delivery_attempts"
        " (failed_event_id, event_id, destination, attempt, outcome, lease_token)"
        " values (gen_random_uuid(), gen_random_uuid(), 'meta_capi', 1, 'delivered', 1)"
    )
    for statement in ("update %s set attempt = 2", "delete from %s", "truncate %s"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            ours.run(statement % "tracking_delivery_attempts")


def test_nobody_empties_the_audit_and_the_ledger_is_the_sites_to_empty(ours: Site) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        ours.run("truncate tracking_admin_actions", superuser=True)
    ours.run("truncate wm_event_log")


@pytest.mark.parametrize("supabase", [False, True], ids=["plain", "supabase"])
def test_adoption_leaves_all_that_was_there_as_it_was(server: TestServer, supabase: bool) -> None:
    with new_site(server, supabase=supabase, in_use=True) as site:
        before = picture(site)
        migrate(site.url)

        surplus = [
            ("tracking_health_alerts", f"50000000-0000-4000-8000-00000000000{n}", column)
            for n in (1, 2)
            for column in ("message", "resolved_at")
        ]
        assert changes(before, picture(site)) == [
            ("tracking_failed_events", "constraints", "destination_known"),
            *surplus,
            ("tracking_health_alerts", "constraints", "alert_kinds"),
        ]
        assert migrated(site)


def test_adoption_gives_old_rows_the_new_columns(adopted: Site) -> None:
    assert adopted.run(
        "select distinct lease_token, lease_expires_at, lease_losses, dead_letter_reason,"
        " replays, replayed_at, withheld_reason from tracking_failed_events"
    ) == [(0, None, 0, None, 0, None, None)]
    assert adopted.run("select distinct client_ip, country from leads") == [(None, None)]
    assert adopted.run("select distinct email_sha256, phone_sha256 from wm_event_log") == [
        (None, None)
    ]


def test_a_row_from_before_a_missing_time_column_keeps_no_time(empty: Site) -> None:
    empty.run(
        "create table leads (id uuid primary key default gen_random_uuid(), email text not null);"
        " insert into leads (email) values ('old@example.com')"
    )
    migrate(empty.url)
    empty.run("insert into leads (email) values ('new@example.com')")

    assert empty.run("select email, created_at is not null from leads order by email desc") == [
        ("old@example.com", False),
        ("new@example.com", True),
    ]


def test_the_dashboard_goes_on_writing_failed_events_its_old_way(adopted: Site) -> None:
    [(event,)] = adopted.run(
        """
        insert into tracking_failed_events
            (event_id, event_name, event_payload, user_data, destination, error_message,
             error_code, http_status, retry_count, next_retry_at, status, lead_id)
        select gen_random_uuid(), 'Lead', '{"event_name": "Lead"}', '{}', 'meta_capi', 'HTTP 500',
               null, 500, 0, now(), 'pending', id
          from leads limit 1
        returning id
        """
    )
    assert adopted.run(
        "update tracking_failed_events set status = 'resolved', resolved_at = now(),"
        f" resolved_by = 'admin' where id = '{event}' returning status, lease_token"
    ) == [("resolved", 0)]


def test_the_newest_open_alert_stays_open_and_the_others_say_why_not(adopted: Site) -> None:
    alerts = adopted.run(
        "select right(id::text, 1), resolved_at is null, message from tracking_health_alerts"
        " order by id"
    )
    note = "[closed by migration: a newer one is open]"
    assert alerts == [
        ("1", False, f"EMQ 3.1 {note}"),
        ("2", False, f"EMQ 3.0 {note}"),
        ("3", True, "EMQ 3.2"),
        ("4", True, "no pixel"),
        ("5", False, "EMQ 2.9"),
    ]
    alert = (
        "insert into tracking_health_alerts (alert_type, severity, message)"
        " values ('emq_critical', 'critical', '')"
    )
    with pytest.raises(psycopg.errors.UniqueViolation):
        adopted.run(alert)
    adopted.run("update tracking_health_alerts set resolved_at = now() where resolved_at is null")
    adopted.run(alert)


def test_new_alert_types_come_in_beside_the_sites_own(adopted: Site) -> None:
    alert = (
        "insert into tracking_health_alerts (alert_type, severity, message, resolved_at)"
        " values ('%s', 'warning', '', now())"
    )
    for kind in ("dead_letters", "geo_provider_down", "pixel_missing", "emq_critical"):
        adopted.run(alert % kind)
    with pytest.raises(psycopg.errors.CheckViolation):
        adopted.run(alert % "nonsense")


def test_a_ledger_with_a_guard_of_its_own_gets_no_second_one(adopted: Site) -> None:
    assert adopted.run(
        "select tgname from pg_trigger where tgrelid = 'wm_event_log'::regclass"
        " and not tgisinternal"
    ) == [("wm_event_log_immutable",)]


@pytest.mark.parametrize(
    "undo",
    [
        "drop trigger wm_event_log_immutable on wm_event_log",
        "alter table wm_event_log disable trigger wm_event_log_immutable",
        # One that only takes notes of changes guards nothing.
        "create or replace function prevent_event_log_change() returns trigger language plpgsql"
        " as $$ begin raise notice 'changed'; return coalesce(new, old); end $$",
    ],
    ids=["none", "disabled", "notes only"],
)
def test_a_ledger_without_a_guard_gets_one(in_use: Site, undo: str) -> None:
    in_use.run(undo)
    migrate(in_use.url)
    for statement in ("update wm_event_log set event_name = ''", "delete from wm_event_log"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            in_use.run(statement)


def test_an_index_that_the_site_has_under_another_name_is_not_built_again(in_use: Site) -> None:
    in_use.run("create index site_ledger_time on wm_event_log (created_at desc)")
    applied = migrate(in_use.url).applied

    assert "built index tracking_ledger_time" not in applied
    assert "built index tracking_ledger_event" not in applied
    assert migrated(in_use)


def test_a_ledger_with_double_event_ids_is_adopted(in_use: Site) -> None:
    in_use.run(
        "alter table wm_event_log drop constraint wm_event_log_event_once;"
        " insert into wm_event_log (event_id, event_name, event_time)"
        " select event_id, 'again', event_time from wm_event_log limit 1"
    )
    assert "built index tracking_ledger_event" in migrate(in_use.url).applied
    assert migrated(in_use)


def test_a_claim_is_served_by_its_index(ours: Site) -> None:
    plan = ours.run(
        """
        set enable_seqscan = off; set enable_sort = off; set enable_bitmapscan = off;
        explain select id from tracking_failed_events
         where destination = 'meta_capi' and status in ('pending', 'retrying')
           and coalesce(next_retry_at, '-infinity'::timestamptz) <= now()
         order by coalesce(next_retry_at, '-infinity'::timestamptz), id limit 100
        """
    )
    text = "\n".join(line for (line,) in plan)
    assert "tracking_failed_events_due" in text
    assert "Sort" not in text


def as_revision_0006_left_it(site: Site, check: str) -> None:
    """Takes back what came later; ``check`` is what the log's outcomes were checked by."""
    site.run(
        "update tracking_schema_version set version_num = '0006';"
        "alter table tracking_failed_events drop column withheld_reason;"
        "alter table tracking_delivery_attempts"
        f" drop constraint tracking_delivery_attempts_outcome_check, add {check};"
        "drop index tracking_delivery_attempts_faults;"
        "create index tracking_delivery_attempts_failed on tracking_delivery_attempts"
        " (destination, attempted_at) where outcome <> 'delivered'"
    )


ATTEMPT = (
    "insert into tracking_delivery_attempts (failed_event_id, event_id, destination, attempt,"
    " outcome, lease_token) values (gen_random_uuid(), gen_random_uuid(), 'meta_capi', 1, '%s', 1)"
)
FIVE_OUTCOMES = "'delivered', 'retry', 'throttled', 'paused', 'rejected'"


@pytest.mark.parametrize(
    ("check", "others"),
    [
        (f"constraint known check (outcome in ({FIVE_OUTCOMES}))", ()),
        # As a site may have made it wider for itself.
        (
            f"constraint known check (outcome = any (array[{FIVE_OUTCOMES}, 'skipped'])) not valid",
            ("skipped",),
        ),
    ],
    ids=["ours", "a site's own"],
)
def test_a_log_of_revision_0006_takes_the_new_outcomes_beside_its_own(
    either: Site, check: str, others: tuple[str, ...]
) -> None:
    as_revision_0006_left_it(either, check)
    either.run(ATTEMPT % "rejected")
    with pytest.raises(psycopg.errors.CheckViolation):
        either.run(ATTEMPT % "withheld")
    before = either.run("select to_jsonb(a) from tracking_delivery_attempts a")

    applied = migrate(either.url).applied

    assert applied == [
        "added column tracking_failed_events.withheld_reason",
        "widened constraint known of tracking_delivery_attempts by withheld, postponed",
        "dropped index tracking_delivery_attempts_failed, which another replaces",
        "built index tracking_failed_events_withheld",
        "built index tracking_delivery_attempts_faults",
    ]
    assert either.run("select to_jsonb(a) from tracking_delivery_attempts a") == before
    for outcome in ("delivered", "withheld", "postponed", *others):
        either.run(ATTEMPT % outcome)
    with pytest.raises(psycopg.errors.CheckViolation):
        either.run(ATTEMPT % "nonsense")
    assert migrated(either)
    assert migrate(either.url).applied == []


def test_failed_events_of_revision_0006_stay_as_they_were(adopted: Site) -> None:
    as_revision_0006_left_it(adopted, f"constraint known check (outcome in ({FIVE_OUTCOMES}))")
    adopted.run(
        "insert into tracking_failed_events (event_id, event_name, event_payload, destination,"
        " error_message, status, dead_letter_reason) values (gen_random_uuid(), 'Lead', '{}',"
        " 'meta_capi', 'consent denied', 'dead_letter', 'consent denied')"
    )
    before = picture(adopted)

    migrate(adopted.url)

    assert changes(before, picture(adopted)) == []
    assert adopted.run("select distinct withheld_reason from tracking_failed_events") == [(None,)]


def test_a_second_run_changes_nothing(either: Site) -> None:
    before = when_written(either)

    assert migrate(either.url).applied == []
    assert when_written(either) == before


def when_written(site: Site) -> list[tuple[Any, ...]]:
    """Give the transactions that wrote the oldest and newest rows of the schema and the tables."""
    relations = (
        *("pg_class", "pg_attribute", "pg_attrdef", "pg_constraint", "pg_trigger", "pg_index"),
        *("pg_policy", "pg_proc", *TABLES, *OWN_TABLES),
    )
    return site.run(
        " union all ".join(
            f"select '{relation}', count(*), md5(string_agg(xmin::text, ' ' order by ctid))"
            f" from {relation}"
            for relation in relations
        )
    )


def test_runs_at_once_all_succeed_and_each_step_is_done_once(in_use: Site) -> None:
    start = threading.Barrier(4)

    def run(_: int) -> list[str]:
        start.wait()
        return migrate(in_use.url).applied

    with ThreadPoolExecutor(4) as pool:
        steps = [step for applied in pool.map(run, range(4)) for step in applied]

    assert migrated(in_use)
    assert len(steps) == len(set(steps))
    assert "added column leads.client_ip" in steps


INVALID = "select 1 from pg_index where not indisvalid"


@contextmanager
def held_up_index_builds(site: Site) -> Iterator[None]:
    """Keep a transaction that sees an old state: an index build waits for its end, no other."""
    with psycopg.connect(site.url) as reader:
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select 1")
        yield
        reader.rollback()


def test_a_run_leaves_the_index_alone_that_another_is_building(in_use: Site) -> None:
    with ThreadPoolExecutor(1) as pool:
        with held_up_index_builds(in_use):
            first = pool.submit(migrate, in_use.url)
            wait_until(lambda: in_use.run(INVALID))
            with pytest.raises(MigrationError, match="another migration"):
                migrate(in_use.url, patience=IMPATIENT)
        assert not [step for step in first.result().applied if "rebuilt" in step]
    assert migrated(in_use)


def test_an_index_that_waits_for_an_old_transaction_is_reported_and_built_later(
    in_use: Site,
) -> None:
    with (
        held_up_index_builds(in_use),
        pytest.raises(MigrationError, match=r"tracking_failed_events_due .* open for over"),
    ):
        migrate(in_use.url, patience=IMPATIENT)

    assert "rebuilt index tracking_failed_events_due" in migrate(in_use.url).applied
    assert migrated(in_use)


def test_a_run_that_was_killed_before_its_indexes_is_completed_by_the_next(in_use: Site) -> None:
    child = multiprocessing.get_context("spawn").Process(target=migrate, args=(in_use.url,))
    with held_up_index_builds(in_use):
        child.start()
        assert child.pid is not None
        wait_until(lambda: in_use.run(INVALID))
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        assert not migrated(in_use)

    applied = migrate(in_use.url).applied

    assert migrated(in_use)
    assert not in_use.run(INVALID)
    assert "added column leads.client_ip" not in applied
    assert "built index tracking_delivery_attempts_time" in applied
    assert migrate(in_use.url).applied == []


def test_an_invalid_index_is_built_anew(ours: Site) -> None:
    ours.run(
        "update pg_index set indisvalid = false"
        " where indexrelid = 'tracking_failed_events_due'::regclass",
        superuser=True,
    )
    assert not migrated(ours)

    assert migrate(ours.url).applied == ["rebuilt index tracking_failed_events_due"]
    assert migrated(ours)


def test_a_missing_index_is_built(ours: Site) -> None:
    ours.run("".join(f"drop index if exists {index.name};" for index in INDEXES[:2]))

    assert migrate(ours.url).applied == [f"built index {index.name}" for index in INDEXES[:2]]


def test_a_table_that_stays_locked_is_named_and_nothing_is_changed(in_use: Site) -> None:
    before = picture(in_use)
    with psycopg.connect(in_use.url) as reader:
        reader.execute("select from tracking_failed_events limit 1")
        with pytest.raises(MigrationError) as refused:
            migrate(in_use.url, patience=IMPATIENT)
        pid = reader.info.backend_pid

    message = str(refused.value)
    assert "public.tracking_failed_events is locked" in message
    assert f"pid {pid}" in message
    assert "\n" not in message
    assert picture(in_use) == before
    assert in_use.run("select to_regclass('tracking_schema_version')") == [(None,)]


def test_a_table_that_is_locked_for_a_while_is_waited_for(in_use: Site) -> None:
    patience = Patience(table_lock=0.1, table_lock_tries=200, between_tries=0.01)
    waiting = "select 1 from pg_locks where not granted"
    with ThreadPoolExecutor(1) as pool, psycopg.connect(in_use.url) as reader:
        reader.execute("select from leads limit 1")
        run = pool.submit(migrate, in_use.url, patience=patience)
        wait_until(lambda: in_use.run(waiting))
        wait_until(lambda: not in_use.run(waiting))  # gave way once
        reader.rollback()
        assert run.result().applied
    assert migrated(in_use)


def test_a_migration_that_does_not_end_is_reported(empty: Site) -> None:
    with psycopg.connect(empty.url) as other:
        other.execute("select pg_advisory_xact_lock(%s)", (LOCK_KEY,))
        with pytest.raises(MigrationError, match="another migration"):
            migrate(empty.url, patience=IMPATIENT)


@pytest.mark.parametrize(
    ("thing", "named"),
    [
        ("create table leads (id bigint primary key)", "public.leads.id is bigint, not uuid"),
        ("create table leads (email text)", "public.leads has no column id"),
        ("create view leads as select 1 as id", "public.leads is not a table"),
        (
            "create table tracking_failed_events (id uuid, event_id uuid, event_payload jsonb,"
            " destination text, status text, next_retry_at timestamp)",
            "next_retry_at is timestamp without time zone",
        ),
    ],
    ids=["another key", "no key", "view", "no time zone"],
)
def test_a_strangers_table_is_refused_before_any_change(
    empty: Site, thing: str, named: str
) -> None:
    empty.run(thing)
    with pytest.raises(MigrationError) as refused:
        migrate(empty.url)

    assert named in str(refused.value)
    assert empty.run("select to_regclass('tracking_schema_version')") == [(None,)]


@pytest.mark.parametrize("may_create", [False, True], ids=["may not create", "may create"])
def test_a_role_that_does_not_own_the_tables_is_told_so(in_use: Site, may_create: bool) -> None:
    with login_role(in_use, "visitor"):
        if may_create:
            in_use.run("grant create on schema public to visitor", superuser=True)
        with pytest.raises(MigrationError, match="as the role that owns the tables"):
            migrate(in_use.url_for("visitor"))


def test_rows_that_are_hidden_from_the_owner_are_not_passed_over(in_use: Site) -> None:
    in_use.run("alter table tracking_health_alerts force row level security")
    with pytest.raises(MigrationError, match="row security"):
        migrate(in_use.url)


def test_with_a_database_of_a_later_version_work_goes_on_and_no_migration_does(ours: Site) -> None:
    ours.run("update tracking_schema_version set version_num = '9999'")

    assert migrated(ours)
    with pytest.raises(MigrationError, match="newer one"):
        migrate(ours.url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://somebody:secret-word@127.0.0.1:1/nowhere",
        "postgresql+psycopg2://somebody:secret-word@127.0.0.1/nowhere",
    ],
)
def test_a_server_that_is_not_there_is_one_line_without_the_password(url: str) -> None:
    with pytest.raises(MigrationError, match="TRACKING_DATABASE_URL") as refused:
        migrate(url)

    assert "secret-word" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_value_of_a_row_is_not_in_the_error(in_use: Site) -> None:
    in_use.run(
        "alter table tracking_health_alerts add constraint short check (length(message) < 12)"
    )
    with pytest.raises(MigrationError) as refused:
        migrate(in_use.url)

    assert "short" in str(refused.value)
    assert "EMQ" not in str(refused.value)


def test_a_worker_role_that_does_not_exist_is_named(empty: Site) -> None:
    with pytest.raises(MigrationError, match=r"TRACKING_WORKER_ROLE.* role pipeline_worker"):
        migrate(empty.url, worker_role="pipeline_worker")

    assert empty.run("select to_regclass('leads')") == [(None,)]


def test_a_worker_role_can_be_named_later_and_again(adopted: Site) -> None:
    with login_role(adopted, 'Worker "1"') as worker:
        first = migrate(adopted.url, worker_role=worker).applied

        assert f"granted update on tracking_failed_events to {worker}" in first
        assert migrate(adopted.url, worker_role=worker).applied == []


def test_a_table_that_is_locked_against_a_worker_roles_policy_is_named(adopted: Site) -> None:
    with login_role(adopted, "pipeline_worker") as worker:
        with psycopg.connect(adopted.url) as reader:
            reader.execute("select 1 from wm_event_log limit 1")
            with pytest.raises(MigrationError, match=r"public\.wm_event_log is locked"):
                migrate(adopted.url, worker_role=worker, patience=IMPATIENT)
        assert not [right for right in who_may(adopted, worker) if right[0] in TABLES]


def who_may(site: Site, role: str) -> set[tuple[str, str]]:
    return set(
        site.run(
            "select relname, privilege from pg_class, unnest(array['select', 'insert', 'update',"
            " 'delete']) as privilege where relnamespace = 'public'::regnamespace"
            f" and relkind = 'r' and has_table_privilege('{role}', pg_class.oid, privilege)"
        )
    )


def test_supabases_roles_get_what_they_need_of_new_tables_and_no_more(on_supabase: Site) -> None:
    migrate(on_supabase.url)

    def on_new(role: str) -> set[tuple[str, str]]:
        return {right for right in who_may(on_supabase, role) if right[0] in OWN_TABLES}

    assert on_new("anon") == set()
    assert on_supabase.run(
        "select has_sequence_privilege('anon', 'tracking_delivery_attempts_id_seq', 'usage')"
    ) == [(False,)]
    assert on_new("authenticated") == {
        ("tracking_accepted_events", "select"),
        ("tracking_conversion_hourly", "select"),
        ("tracking_delivery_attempts", "select"),
        ("tracking_delivery_hourly", "select"),
        ("tracking_delivery_slices", "select"),
        ("tracking_destination_checks", "select"),
        ("tracking_destination_shares", "select"),
        ("tracking_destination_state", "select"),
        ("tracking_geo_providers", "select"),
        ("tracking_google_requests", "select"),
        ("tracking_ip_locations", "select"),
        ("tracking_launches", "select"),
        ("tracking_match_key_hourly", "select"),
        ("tracking_order_events", "select"),
        ("tracking_setting_changes", "select"),
        ("tracking_rollup_progress", "select"),
        ("tracking_health_snapshots", "select"),
        ("tracking_alert_state", "select"),
        ("tracking_alert_notifications", "select"),
    }


CHANGED, APPENDED = "DELETE INSERT SELECT UPDATE", "INSERT SELECT"
OF_SERVICE_ROLE = {
    **dict.fromkeys(OWN_TABLES, CHANGED),
    "tracking_delivery_attempts": APPENDED,
    "tracking_admin_actions": APPENDED,
    "tracking_schema_version": "SELECT",
}


def granted_to(site: Site, role: str) -> dict[str, str]:
    """Every privilege in the tables' and sequences' own lists, by name."""
    return dict(
        site.run(
            "select relname, string_agg(privilege_type, ' ' order by privilege_type)"
            " from pg_class, aclexplode(relacl) where relnamespace = 'public'::regnamespace"
            f" and grantee = '{role}'::regrole group by relname"
        )
    )


SINCE_THEN = (
    "tracking_conversion_hourly",
    "tracking_delivery_hourly",
    "tracking_delivery_slices",
    "tracking_destination_checks",
    "tracking_destination_shares",
    "tracking_launches",
    "tracking_order_events",
    "tracking_setting_changes",
)


def as_an_earlier_version_left_it(site: Site) -> None:
    site.run(
        "update tracking_schema_version set version_num = '0005';"
        f"drop table {', '.join(SINCE_THEN)};"
        + "".join(
            f"grant all on {table} to service_role;"
            for table in OWN_TABLES
            if table not in SINCE_THEN
        )
        + "grant all on all sequences in schema public to service_role;"
        "grant select on tracking_admin_actions to authenticated;"
        "create policy tracking_admins_read on tracking_admin_actions for select to authenticated"
        " using ((select public.has_role((select auth.uid()), 'admin')));"
        "drop trigger tracking_reject_truncate on tracking_delivery_attempts;"
        "drop trigger tracking_reject_truncate on tracking_admin_actions"
    )


@pytest.mark.parametrize("earlier", [False, True], ids=["new", "of an earlier version"])
def test_service_role_keeps_what_it_needs_of_our_tables_and_all_of_the_sites(
    on_supabase: Site, earlier: bool
) -> None:
    of_site = granted_to(on_supabase, "service_role")
    assert "TRUNCATE" in of_site["leads"]
    migrate(on_supabase.url)
    if earlier:
        as_an_earlier_version_left_it(on_supabase)
        assert "TRUNCATE" in granted_to(on_supabase, "service_role")["tracking_delivery_attempts"]
        migrate(on_supabase.url)

    assert granted_to(on_supabase, "service_role") == {**of_site, **OF_SERVICE_ROLE}
    with pytest.raises(psycopg.errors.RestrictViolation):
        on_supabase.run("truncate tracking_delivery_attempts", superuser=True)


@pytest.mark.parametrize("earlier", [False, True], ids=["new", "of an earlier version"])
def test_not_even_an_admin_reads_the_audit(on_supabase: Site, earlier: bool) -> None:
    migrate(on_supabase.url)
    if earlier:
        as_an_earlier_version_left_it(on_supabase)
        migrate(on_supabase.url)

    assert ("tracking_admin_actions", "select") not in who_may(on_supabase, "authenticated")
    assert (
        on_supabase.run("select policyname from pg_policies where tablename like '%admin_actions'")
        == []
    )


def test_tables_that_we_make_give_service_role_no_truncate(server: TestServer) -> None:
    with new_site(server, supabase=True) as fresh:
        migrate(fresh.url)

        granted = granted_to(fresh, "service_role")
        assert [granted[table] for table in TABLES] == [CHANGED, APPENDED, CHANGED, CHANGED]


def test_only_an_admin_reads_attempts(on_supabase: Site) -> None:
    migrate(on_supabase.url)
    on_supabase.run(
        "insert into tracking_delivery_attempts"
        " (failed_event_id, event_id, destination, attempt, outcome, lease_token)"
        " values (gen_random_uuid(), gen_random_uuid(), 'meta_capi', 1, 'delivered', 1)"
    )

    def seen_with(claims: str) -> int:
        rows = on_supabase.run(
            f"set request.jwt.claims = '{claims}'; set role authenticated;"
            " select 1 from tracking_delivery_attempts",
            superuser=True,
        )
        return len(rows)

    admin, somebody_else = (f"a0000000-0000-4000-8000-00000000000{n}" for n in (1, 2))
    assert seen_with(f'{{"sub": "{admin}"}}') == 1
    assert seen_with(f'{{"sub": "{somebody_else}"}}') == 0
    assert seen_with("") == 0


def test_the_owner_is_no_superuser(in_use: Site) -> None:
    assert in_use.run(
        "select current_user::text, rolsuper from pg_roles where rolname = current_user"
    ) == [(OWNER, False)]
