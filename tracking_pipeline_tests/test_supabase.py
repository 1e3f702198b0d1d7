"""The pipeline on a stand-in for Supabase: its roles, row security, an owner who is no superuser, a
role for the pipeline, and a transaction pooler in between. And the guide, whose SQL is run here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from psycopg.rows import dict_row

from tracking_pipeline.definitions import build_defs
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.settings import Settings, read_settings
from tracking_pipeline.store.access import AccessError, check_access
from tracking_pipeline.store.migrate import is_migrated, migrate
from tracking_pipeline.wiring.installation import open_installation
from tracking_pipeline_tests.dagster_instance import fresh_instance
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, payload
from tracking_pipeline_tests.geo.databases import BERLIN, write_database
from tracking_pipeline_tests.geo.lead_table import LeadTable
from tracking_pipeline_tests.servers import TestServer, find_server_binaries
from tracking_pipeline_tests.store.site import PASSWORD, Site, login_role, new_site, site_server
from tracking_pipeline_tests.transaction_pooler import TransactionPooler, transaction_pooler
from tracking_pipeline_tests.web.people import SECRET, bearer, token
from tracking_pipeline_tests.web.serving import FUNCTIONS, serving

WORKER = "tracking_pipeline"
IN_BERLIN = "81.2.70.7"
INTAKE_KEY = "sb_publishable_of_the_tests"
ADMIN, VISITOR = (f"a0000000-0000-4000-8000-00000000000{n}" for n in (1, 2))
# It asks the outside for a file.
NOT_RUN = ("update_geo_database_job",)

GUIDE = (Path(__file__).parent.parent / "docs" / "supabase.md").read_text(encoding="utf-8")
# What the guide expects of a project and supabase_roles.sql does not make.
REST_OF_SUPABASE = """
create table auth.users (id uuid primary key);
insert into auth.users values ('a0000000-0000-4000-8000-000000000001');
grant references on auth.users to site_owner;
create schema cron;
create table cron.job (jobid bigserial, jobname text, schedule text, command text, active boolean);
insert into cron.job (jobname, schedule) values ('retry-failed-events', '*/5 * * * *');
create function cron.unschedule(job_name text) returns boolean language sql as $$
    delete from cron.job where jobname = job_name returning true
$$;
grant usage on schema cron to site_owner;
grant select, delete on cron.job to site_owner;
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    binaries = find_server_binaries()
    with site_server(binaries[max(binaries)], tmp_path_factory.mktemp("supabase")) as running:
        yield running


@pytest.fixture
def project(server: TestServer) -> Iterator[Site]:
    """A project long in use, migrated by its owner over a session connection."""
    with new_site(server, supabase=True, in_use=True) as site, login_role(site, WORKER):
        site.run("alter table user_roles enable row level security")
        migrate(site.url, worker_role=WORKER)
        yield site


@pytest.fixture
def pooler(project: Site) -> Iterator[TransactionPooler]:
    with transaction_pooler(project.url_for(WORKER)) as running:
        yield running


@pytest.fixture
def owner(project: Site) -> Iterator[psycopg.Connection]:
    """What a test itself does with the tables."""
    with psycopg.connect(project.url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def configured(
    pooler: TransactionPooler, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipeline knows the pooler's address and no other."""
    places = write_database(tmp_path / "places.mmdb", {"81.2.70.0/24": BERLIN})
    settings = {
        "TRACKING_DATABASE_URL": pooler.url,
        "TRACKING_HOME": str(tmp_path),
        "GEO_MMDB_PATH": str(places),
        "META_DATASET_ID": "123",
        "META_ACCESS_TOKEN": "token-for-tests",
        "META_GRAPH_URL": sandbox.meta_url,
        "LOG_EVENT_FORWARD_TO": "meta_capi",
        "INTAKE_KEY": INTAKE_KEY,
        "SUPABASE_JWT_SECRET": SECRET,
        "TRUSTED_PROXIES": "127.0.0.1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def launch(job: str) -> dg.ExecuteInProcessResult:
    return build_defs().resolve_job_def(job).execute_in_process(raise_on_error=False)


def test_the_pooler_gives_each_transaction_another_connection(pooler: TransactionPooler) -> None:
    def backend(connection: psycopg.Connection) -> tuple[Any, ...] | None:
        return connection.execute("select pg_backend_pid()").fetchone()

    with psycopg.connect(pooler.url, autocommit=True, prepare_threshold=None) as connection:
        assert len({backend(connection) for _ in range(4)}) == 4
        with connection.transaction():
            assert len({backend(connection) for _ in range(4)}) == 1
    assert pooler.connections_used() == 4


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("set statement_timeout = '7s'", "setting statement_timeout"),
        ("select pg_advisory_lock(7)", "advisory lock"),
        ("listen something", "channel something"),
        ("prepare something as select 1", "prepared statement"),
        ("create temporary table something ()", "temporary table something"),
    ],
)
def test_what_a_session_would_have_kept_is_found_lying_about(
    pooler: TransactionPooler, statement: str, left: str
) -> None:
    with psycopg.connect(pooler.url, autocommit=True, prepare_threshold=None) as connection:
        assert pooler.left_behind() == []
        connection.execute(statement.encode())
    assert pooler.left_behind() == [left]


def test_a_statement_prepared_in_a_session_is_missing_in_the_pooler(
    pooler: TransactionPooler,
) -> None:
    with psycopg.connect(pooler.url, autocommit=True, prepare_threshold=1) as connection:
        connection.execute("select %s::integer", (1,))
        # From the second time on it is prepared in one transaction and used in the next.
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            connection.execute("select %s::integer", (2,))


@pytest.mark.usefixtures("configured")
def test_the_loop_heals_through_the_pooler(
    pooler: TransactionPooler, owner: psycopg.Connection, sandbox: Sandbox
) -> None:
    queue, leads = Queue(owner), LeadTable(owner)
    to_meta = queue.add(5)
    (to_ledger,) = queue.add(destination="supabase", event_payload=payload(event_type="conversion"))
    (not_configured,) = queue.add(destination="gtm_server")
    lead = leads.add(client_ip=IN_BERLIN)

    retried = launch("retry_failed_events_job")
    enriched = launch("enrich_leads_job")
    checked = launch("check_tracking_health_job")

    assert retried.success
    assert enriched.success
    assert checked.success
    assert {queue.row(event)["status"] for event in (*to_meta, to_ledger)} == {"resolved"}
    assert queue.row(not_configured)["status"] == "pending"
    assert sandbox.memory.accepted_ids == {event.sent_as for event in to_meta}
    assert queue.one("select count(*) from wm_event_log where event_id = %s", to_ledger.event_id)
    assert leads.place(lead) == ("Berlin", "State of Berlin", "10115", "DE")
    assert queue.one("select count(*) from tracking_health_snapshots") > 0
    assert pooler.connections_used() == 4
    assert pooler.left_behind() == []


@pytest.mark.usefixtures("configured")
def test_every_job_runs_through_the_pooler(pooler: TransactionPooler) -> None:
    jobs = [
        job.name
        for job in build_defs().get_repository_def().get_all_jobs()
        if not job.name.startswith("__") and job.name not in NOT_RUN
    ]

    failed = [job for job in jobs if not launch(job).success]

    assert failed == []
    assert pooler.left_behind() == []


@pytest.mark.usefixtures("configured")
def test_every_sensor_ticks_through_the_pooler(pooler: TransactionPooler) -> None:
    defs = build_defs()
    assert defs.resources is not None
    with fresh_instance() as instance:
        for sensor in defs.get_repository_def().sensor_defs:
            resources = {name: defs.resources[name] for name in sensor.required_resource_keys}
            with dg.build_sensor_context(instance, resources=resources) as context:
                sensor.evaluate_tick(context)

    assert pooler.connections_used() > 0
    assert pooler.left_behind() == []


@pytest.mark.usefixtures("configured")
def test_two_runs_at_once_through_the_pooler_send_each_event_once(
    pooler: TransactionPooler, owner: psycopg.Connection, sandbox: Sandbox
) -> None:
    queue = Queue(owner)
    due = queue.add(3000)
    with ThreadPoolExecutor(2) as executor:
        runs = list(executor.map(launch, ["retry_failed_events_job"] * 2))

    assert all(run.success for run in runs)
    assert {queue.row(event)["status"] for event in due[::300]} == {"resolved"}
    assert {sandbox.memory.accepted(event.sent_as) for event in due} == {1}
    assert pooler.left_behind() == []


@pytest.mark.usefixtures("configured")
def test_the_api_takes_leads_and_events_through_the_pooler(
    pooler: TransactionPooler, owner: psycopg.Connection, sandbox: Sandbox
) -> None:
    visitor = {"apikey": INTAKE_KEY, "x-forwarded-for": IN_BERLIN}
    with serving() as served:
        post = served.client.post
        lead = post(
            f"{FUNCTIONS}/save-lead",
            headers=visitor,
            json={"email": "emily@example.com", "name": "Emily Stone"},
        )
        events = [
            post(
                f"{FUNCTIONS}/log-event",
                headers=visitor,
                json={"event_name": "Lead", "event_id": f"ev-{n}", "email": "emily@example.com"},
            )
            for n in range(5)
        ]
        assert [answer.status_code for answer in (lead, *events)] == [200] * 6
        served.post("/admin-retry-failed-events")

    assert sandbox.memory.accepted_ids == {f"ev-{n}" for n in range(5)}
    with owner.cursor(row_factory=dict_row) as cursor:
        saved = cursor.execute("select * from leads where id = %s", (lead.json()["lead_id"],))
        row = saved.fetchone()
    assert row is not None
    assert owner.execute("select count(*) from tracking_accepted_events").fetchone() == (0,)
    assert (row["city"], row["client_ip"]) == ("Berlin", IN_BERLIN)
    assert pooler.left_behind() == []


@pytest.mark.usefixtures("configured")
def test_the_dashboards_admin_is_known_and_a_visitor_is_not(pooler: TransactionPooler) -> None:
    with serving() as served:

        def status(user: str) -> int:
            answer = served.client.get(
                f"{FUNCTIONS}/admin-tracking-health", headers=bearer(token(user))
            )
            return answer.status_code

        assert (status(ADMIN), status(VISITOR)) == (200, 403)
    assert pooler.left_behind() == []


def test_a_role_that_sees_no_rows_is_refused_instead_of_finding_nothing_to_do(
    project: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with login_role(project, "newcomer") as role:
        project.run(f"grant all on all tables in schema public to {role}")
        with transaction_pooler(project.url_for(role), size=1) as pooler:
            monkeypatch.setenv("TRACKING_DATABASE_URL", pooler.url)
            with (
                pytest.raises(AccessError, match=r"row security hides .* from role newcomer"),
                open_installation(read_settings()),
            ):
                pass


def sql_of_the_guide() -> dict[str, str]:
    """The SQL under each heading of the guide that has any."""
    parts = re.split(r"^## (.+)$", GUIDE, flags=re.MULTILINE)
    found = {}
    for heading, text in zip(parts[1::2], parts[2::2], strict=True):
        if blocks := re.findall(r"^ *```sql\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
            found[heading] = "\n".join(blocks)
    return found


@pytest.fixture
def fresh(server: TestServer) -> Iterator[Site]:
    """A project that was made a minute ago. Its owner may make roles, as on Supabase."""
    with new_site(server, supabase=True) as site:
        site.run(REST_OF_SUPABASE, superuser=True)
        site.run("alter role site_owner createrole", superuser=True)
        try:
            yield site
        finally:
            site.run(
                f"drop owned by {WORKER}; drop role {WORKER}; alter role site_owner nocreaterole",
                superuser=True,
            )


def test_the_guide_leads_from_a_fresh_project_to_a_running_pipeline(fresh: Site) -> None:
    before_migrate, *afterwards = sql_of_the_guide().items()

    fresh.run(
        before_migrate[1]
        .replace("a-long-random-password", PASSWORD)
        .replace("00000000-0000-0000-0000-000000000000", ADMIN)
    )
    migrate(fresh.url, worker_role=WORKER)
    for _, statements in afterwards:
        fresh.run(statements)

    with psycopg.connect(fresh.url_for(WORKER)) as connection:
        check_access(connection)
        assert is_migrated(connection)
    admin = f'set request.jwt.claims = \'{{"sub": "{ADMIN}"}}\'; set role authenticated;'
    fresh.run(
        "insert into tracking_destination_state (destination) values ('meta_capi')",
        superuser=True,
    )
    seen = fresh.run(f"{admin} select destination from tracking_destination_state", superuser=True)
    assert seen == [("meta_capi",)]
    assert fresh.run("select count(*) from cron.job") == [(0,)]
    # A lead that the site inserts through the Data API, and one that comes otherwise.
    lead = "insert into leads (email) values ('a@example.com') returning client_ip"
    headers = '{"x-forwarded-for": "203.0.113.7, 198.51.100.1"}'
    assert fresh.run(f"set request.headers = '{headers}'; {lead}") == [("203.0.113.7",)]
    assert fresh.run(lead) == [(None,)]
    assert fresh.run(f"set request.headers = ''; {lead}") == [(None,)]


def test_the_guide_names_only_settings_that_exist() -> None:
    known = {name.upper() for name in Settings.model_fields} | {"TRACKING_API_URL"}
    prefixes = "TRACKING|DAGSTER|SUPABASE|META|INTAKE|CORS|TRUSTED|ADMIN|LOG_EVENT|ALERT|GEO"
    named = set(re.findall(rf"`((?:{prefixes})_[A-Z_]+)", GUIDE))
    assert named
    assert named <= known
