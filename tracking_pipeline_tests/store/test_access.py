"""Which roles may start the pipeline on migrated tables, and what the others are told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from tracking_pipeline.health.readings.rollup import recount_recent
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.access import COMMANDS, AccessError, check_access, newest_revision
from tracking_pipeline.store.migrate import is_migrated, migrate
from tracking_pipeline.store.table_growth import ATTEMPTS, SNAPSHOTS, prune
from tracking_pipeline.wiring.health import health_config
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.servers import TestServer, find_server_binaries
from tracking_pipeline_tests.store.site import (
    Site,
    copy_of,
    login_role,
    new_site,
    site_server,
)

SERVERS = find_server_binaries()
WORKER = "pipeline_worker"


@pytest.fixture(scope="module", params=list(SERVERS), ids=lambda major: f"postgresql-{major}")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestServer]:
    folder = tmp_path_factory.mktemp(f"postgresql-{request.param}")
    with site_server(SERVERS[request.param], folder) as running:
        yield running


@pytest.fixture(scope="module")
def migrated(server: TestServer) -> Iterator[Site]:
    """A site long in use, with Supabase's roles and policies, migrated; to be copied."""
    with new_site(server, supabase=True, in_use=True) as site:
        migrate(site.url)
        yield site


@pytest.fixture
def site(server: TestServer, migrated: Site) -> Iterator[Site]:
    """A copy of that one, and a role for a worker."""
    with copy_of(migrated, server) as site, login_role(site, WORKER):
        yield site


def grant_all(site: Site, role: str) -> None:
    grants = (f"grant {', '.join(words)} on {table} to {role}" for table, words in COMMANDS.items())
    site.run(";".join(grants))


def admit_all(site: Site, role: str, *, but: str = "") -> None:
    tables = (table for table in COMMANDS if table != but)
    site.run(
        ";".join(f"create policy everything on {table} to {role} using (true)" for table in tables)
    )


def check(site: Site, role: str | None = None) -> None:
    with psycopg.connect(site.url_for(role) if role else site.url) as connection:
        check_access(connection)


def refusal(site: Site, role: str = WORKER) -> str:
    with pytest.raises(AccessError) as refused:
        check(site, role)
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_the_worker_role_has_a_right_to_every_table_of_ours(site: Site) -> None:
    with psycopg.connect(site.url) as connection:
        tables = connection.execute(
            "select relname from pg_class where relnamespace = 'public'::regnamespace"
            " and relkind in ('r', 'p') and starts_with(relname, 'tracking_')"
        ).fetchall()
    assert {name for (name,) in tables} <= set(COMMANDS)


def test_the_owner_may_start(site: Site) -> None:
    check(site)


def test_a_worker_goes_on_with_the_tables_of_a_later_release(site: Site) -> None:
    site.run("update tracking_schema_version set version_num = '9999'")
    site.run("alter table tracking_failed_events add column of_a_later_release text default 'x'")
    check(site)
    with psycopg.connect(site.url) as connection:
        assert is_migrated(connection)


def test_a_worker_refuses_the_tables_of_an_earlier_release(site: Site) -> None:
    site.run("update tracking_schema_version set version_num = '0001'")
    with pytest.raises(AccessError, match="of an earlier release: run tracking-pipeline migrate"):
        check(site)
    with psycopg.connect(site.url) as connection:
        assert not is_migrated(connection)


def test_the_newest_revision_is_the_one_that_alembic_upgrades_to(site: Site) -> None:
    with psycopg.connect(site.url) as connection:
        made = connection.execute("select version_num from tracking_schema_version").fetchall()
    assert made == [(newest_revision(),)]


def test_the_worker_role_may_start_after_migrate_and_sees_the_rows(site: Site) -> None:
    migrate(site.url, worker_role=WORKER)

    with psycopg.connect(site.url_for(WORKER)) as connection:
        check_access(connection)
        assert is_migrated(connection)
        assert connection.execute(
            "update tracking_failed_events set lease_token = 1 where status = 'pending' returning 1"
        ).fetchall()
        assert connection.execute("update leads set city = city returning 1").fetchall()
        connection.execute(
            "insert into wm_event_log (event_id, event_name, event_time)"
            " values (gen_random_uuid(), 'Lead', now())"
        )
        connection.execute(
            "insert into tracking_delivery_attempts"
            " (failed_event_id, event_id, destination, attempt, outcome, lease_token)"
            " values (gen_random_uuid(), gen_random_uuid(), 'meta_capi', 1, 'delivered', 1)"
        )
        connection.execute(
            "insert into tracking_destination_state (destination) values ('meta_capi')"
        )


def test_the_worker_role_does_a_whole_health_check_and_prunes_it(site: Site) -> None:
    migrate(site.url, worker_role=WORKER)
    site.run("update tracking_health_alerts set resolved_at = null where right(id::text, 1) = '3'")

    for _ in range(2):
        result = check_tracking_health(site.url_for(WORKER), health_config(Settings()))

    assert result.readings.queue.waiting == 16
    assert {alert.alert_type for alert in result.recorded.active_alerts} >= {
        "failed_events_critical",
        "pixel_missing",
    }
    assert site.run("select sum(events) from tracking_match_key_hourly") == [(40,)]
    with psycopg.connect(site.url_for(WORKER), autocommit=True) as connection:
        assert recount_recent(connection, health_config(Settings()).counting).finished
        deadline = time.monotonic() + 60
        assert prune(connection, SNAPSHOTS, older_than_days=0, deadline=deadline).deleted
        assert prune(connection, ATTEMPTS, older_than_days=100, deadline=deadline).done
    assert site.run("select count(*) from tracking_health_snapshots") == [(0,)]


def test_the_worker_role_may_do_no_more_than_its_work(site: Site) -> None:
    migrate(site.url, worker_role=WORKER)

    with psycopg.connect(site.url_for(WORKER), autocommit=True) as connection:
        for statement in (
            "delete from tracking_failed_events",
            "delete from leads",
            "update wm_event_log set event_name = ''",
            "update tracking_delivery_attempts set attempt = 2",
            "update tracking_schema_version set version_num = ''",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_a_second_worker_role_works_beside_the_first(site: Site) -> None:
    migrate(site.url, worker_role=WORKER)
    with login_role(site, "Second worker"):
        migrate(site.url, worker_role="Second worker")
        check(site, "Second worker")
        check(site, WORKER)


def test_a_role_with_grants_but_without_a_policy_is_refused(site: Site) -> None:
    grant_all(site, WORKER)
    admit_all(site, WORKER, but="tracking_delivery_attempts")

    message = refusal(site)

    assert "row security hides public.tracking_delivery_attempts" in message
    assert f"role {WORKER}" in message
    assert "TRACKING_WORKER_ROLE" in message
    assert "tracking-pipeline migrate" in message


def test_a_policy_for_another_command_is_not_enough(site: Site) -> None:
    grant_all(site, WORKER)
    admit_all(site, WORKER, but="tracking_destination_state")
    site.run(
        f"create policy reads on tracking_destination_state for select to {WORKER} using (true)"
    )
    assert "policy for insert" in refusal(site)


@pytest.mark.parametrize(
    ("command", "rows"), [("select", "using"), ("insert", "with check"), ("update", "using")]
)
def test_a_policy_that_lets_admins_in_does_not_let_a_worker_in(
    site: Site, command: str, rows: str
) -> None:
    """Written without TO it is for PUBLIC, so it applies to the worker, and admits no row."""
    table = "tracking_destination_state"
    grant_all(site, WORKER)
    admit_all(site, WORKER, but=table)
    admitted = {"select": "using", "insert": "with check", "update": "using"}
    admitted.pop(command)
    for other, clause in admitted.items():
        site.run(f"create policy {other}s on {table} for {other} to {WORKER} {clause} (true)")
    admin = "public.has_role(auth.uid(), 'admin')"
    site.run(f"create policy admins on {table} for {command} {rows} ({admin})")

    assert f"policy for {command}" in refusal(site)


@pytest.mark.parametrize("admitted", [WORKER, "public"])
def test_a_role_that_somebody_gave_policies_may_start(site: Site, admitted: str) -> None:
    grant_all(site, WORKER)
    admit_all(site, admitted)

    check(site, WORKER)


def test_a_policy_written_for_the_role_itself_counts_whatever_it_asks(site: Site) -> None:
    grant_all(site, WORKER)
    admit_all(site, WORKER, but="leads")
    site.run(f"create policy unlost on leads to {WORKER} using (status <> 'lost')")

    check(site, WORKER)


def test_policies_and_grants_of_a_group_count_for_its_members(site: Site) -> None:
    grant_all(site, "service_role")
    admit_all(site, "service_role")
    site.run(f"grant service_role to {WORKER}", superuser=True)

    check(site, WORKER)


def test_a_role_that_bypasses_row_security_needs_no_policy(site: Site) -> None:
    grant_all(site, WORKER)
    site.run(f"alter role {WORKER} bypassrls", superuser=True)

    check(site, WORKER)


def test_an_owner_who_is_subject_to_row_security_is_refused(site: Site) -> None:
    site.run("alter table leads force row level security")

    with pytest.raises(AccessError, match="leads"):
        check(site)


def test_a_table_without_row_security_needs_no_policy(site: Site) -> None:
    grant_all(site, WORKER)
    admit_all(site, WORKER, but="leads")
    site.run("alter table leads disable row level security")

    check(site, WORKER)


def test_a_missing_privilege_is_named(site: Site) -> None:
    migrate(site.url, worker_role=WORKER)
    site.run(f"revoke update on tracking_failed_events from {WORKER}")

    assert f"role {WORKER} may not update on public.tracking_failed_events" in refusal(site)


def test_a_closed_schema_is_no_missing_table(site: Site) -> None:
    migrate(site.url, worker_role=WORKER)
    site.run("revoke usage on schema public from public", superuser=True)

    assert "may not select" in refusal(site)


def test_a_database_without_the_tables_is_told_to_migrate(server: TestServer) -> None:
    with (
        new_site(server) as empty,
        pytest.raises(AccessError, match="run tracking-pipeline migrate"),
    ):
        check(empty)


def test_the_connection_is_left_as_it_was(site: Site) -> None:
    def status_after(connection: psycopg.Connection[dict[str, Any]]) -> TransactionStatus:
        check_access(connection)
        return connection.info.transaction_status

    with psycopg.connect(site.url, row_factory=dict_row) as connection:
        assert status_after(connection) == TransactionStatus.IDLE
        connection.execute("create temporary table mine ()")
        assert status_after(connection) == TransactionStatus.INTRANS
