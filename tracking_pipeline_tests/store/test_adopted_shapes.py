"""Tables in the shapes that other people give them: each is adopted and the loop runs on it, or it
is refused by the column's name before anything is changed.

The shapes follow public schemas of this kind: Supabase's starters and its table editor, CRMs, form
builders, event stores of small shops. One table of each, the others are made by the migration.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.migrate import MigrationError, migrate
from tracking_pipeline_tests.delivery.failed_event_queue import Queue
from tracking_pipeline_tests.delivery.runs import Runs
from tracking_pipeline_tests.geo.databases import BERLIN, write_database
from tracking_pipeline_tests.geo.enriching import Enriching, a_file
from tracking_pipeline_tests.geo.lead_table import LeadTable
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import policy
from tracking_pipeline_tests.servers import TestServer

BERLINERS = "81.2.69.0/24"
QUEUE = """event_id uuid not null, event_name text not null, event_payload jsonb not null,
    error_message text not null, retry_count int default 0, max_retries int default 5,
    next_retry_at timestamptz"""


def leads(columns: str) -> str:
    return f"create table leads (id uuid primary key default gen_random_uuid(), {columns})"


def queue(columns: str, status: str = "status text default 'pending'") -> str:
    return (
        "create table tracking_failed_events (id uuid primary key default gen_random_uuid(),"
        f" {QUEUE}, destination text not null, {status}{columns and ', ' + columns})"
    )


def ledger(columns: str) -> str:
    return f"create table wm_event_log (event_id uuid unique, {columns})"


def alerts(columns: str) -> str:
    return (
        "create table tracking_health_alerts (id uuid primary key default gen_random_uuid(),"
        f" message text not null, {columns})"
    )


# As the extension makes it, which the server of the tests does not have.
CITEXT = """create type citext;
create function citextin(cstring) returns citext language internal immutable strict as 'textin';
create function citextout(citext) returns cstring language internal immutable strict as 'textout';
create type citext (input = citextin, output = citextout, like = text, category = 'S',
    collatable = true);
create cast (citext as text) without function as implicit;
create cast (text as citext) without function as assignment;
"""

ADOPTED = {
    "a waiting list": leads("email text unique not null, created_at timestamptz default now()"),
    "a form builder without times": leads(
        "email text, name text, answers jsonb not null default '{}'"
    ),
    "a CRM of short columns": leads(
        "email varchar(255) not null, phone varchar(20), city varchar(60), state varchar(40),"
        " zip varchar(10), country char(2), created_at timestamp not null default now()"
    ),
    "text without case": CITEXT
    + leads("email citext unique, city citext, state citext, client_ip inet"),
    "enums of the site's own": "create type stage as enum ('new', 'won');"
    + leads("email text, stage stage not null default 'new', tags text[], created_at date"),
    "domains that take no null": "create domain filled as text not null default '';"
    "create domain zip_code as varchar(10) check (value !~ 'x');"
    + leads("email text, city filled, source filled default 'web', zip zip_code"),
    "names that the server makes": leads(
        "email text, first_name text, last_name text, name text generated always as"
        " (first_name || ' ' || last_name) stored, number bigint generated always as identity"
    ),
    "a numbered event store": ledger(
        "id bigint generated always as identity primary key, event_name varchar(64),"
        " email_sha256 char(64), lead_score numeric(5, 2), created_at timestamptz default now()"
    ),
    "a queue of domains": "create domain how as text check (value in ('pending', 'retrying',"
    " 'resolved', 'dead_letter')) not null default 'pending';"
    + queue("http_status smallint, error_code varchar(120)", "status how"),
    "alerts of words": alerts(
        "alert_type varchar(50) not null, severity varchar(10) not null, metric_value float8,"
        " created_at timestamptz not null default now()"
    ),
}

WORD = "create type word as enum ('pending', 'retrying', 'resolved', 'dead_letter');"
REFUSED = {
    "state of a list": (
        "create type state_name as enum ('Florida', 'Texas');"
        + leads("email text, state state_name"),
        ("public.leads.state is an enum", "alter column state type text"),
    ),
    "state of a domain over a list": (
        "create type state_name as enum ('Florida'); create domain home_state as state_name;"
        + leads("email text, state home_state"),
        ("public.leads.state is an enum", "alter column state type text"),
    ),
    "cities": (leads("email text, city text[]"), ("public.leads.city is a list",)),
    "city out of an address": (
        leads(
            "email text, address jsonb, city text generated always as (address ->> 'city') stored"
        ),
        ("public.leads.city is a generated column", "alter column city drop expression"),
    ),
    "Supabase's table editor": (
        "create table leads (id bigint generated by default as identity primary key, email text)",
        ("public.leads.id is bigint, not uuid",),
    ),
    "times in milliseconds": (
        leads("email text, created_at bigint"),
        ("public.leads.created_at is bigint, not timestamptz",),
    ),
    "a view": ("create view leads as select 1 as id", ("public.leads is not a table",)),
    "status of an enum": (
        WORD + queue("", "status word default 'pending'"),
        ("public.tracking_failed_events.status is an enum", "alter column status type text"),
    ),
    "status of a few words": (
        queue("", "status text check (status in ('pending', 'failed', 'resolved'))"),
        ("tracking_failed_events.status refuses retrying, dead_letter", "drop constraint"),
    ),
    "status of a domain": (
        "create domain how as text check (value in ('pending', 'done'));" + queue("", "status how"),
        ("tracking_failed_events.status is how, which refuses retrying",),
    ),
    "short status": (
        queue("", "status varchar(10)"),
        ("tracking_failed_events.status holds 10 characters, and up to 11",),
    ),
    "padded status": (
        queue("", "status char(20)"),
        ("tracking_failed_events.status is character(20), which pads",),
    ),
    "short error": (
        queue("error_code varchar(10)"),
        ("tracking_failed_events.error_code holds 10 characters",),
    ),
    "always resolved by somebody": (
        queue("resolved_by text not null default 'nobody'"),
        ("resolved_by takes no null", "alter column resolved_by drop not null"),
    ),
    "a queue of tenants": (
        queue("tenant_id uuid not null"),
        ("public.tracking_failed_events.tenant_id takes no null and has no default",),
    ),
    "partitions": (
        "create table wm_event_log (event_id uuid, created_at timestamptz not null)"
        " partition by range (created_at)",
        ("public.wm_event_log is partitioned",),
    ),
    "event type of an enum": (
        "create type kind as enum ('page', 'conversion');" + ledger("id uuid, event_type kind"),
        ("public.wm_event_log.event_type is an enum",),
    ),
    "a computed click": (
        ledger("id uuid, metadata jsonb, fbc text generated always as (metadata ->> 'fbc') stored"),
        ("public.wm_event_log.fbc is a generated column",),
    ),
    "severity of an enum": (
        "create type severity as enum ('warning', 'critical');"
        + alerts("alert_type text not null, severity severity not null"),
        ("public.tracking_health_alerts.severity is an enum",),
    ),
    "an alert of a type": (
        "create type alert_type as enum ('emq_critical');"
        + alerts("alert_type alert_type not null, severity text"),
        ("public.tracking_health_alerts.alert_type is an enum",),
    ),
    "always measured": (
        alerts("alert_type text not null, severity text, threshold numeric not null"),
        ("public.tracking_health_alerts.threshold takes no null",),
    ),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_database(tmp_path_factory.mktemp("places") / "city.mmdb", {BERLINERS: BERLIN})


@pytest.fixture(scope="module")
def site_url(server: TestServer) -> Iterator[str]:
    yield server.create_database("shapes")
    server.drop_database("shapes")


@pytest.fixture
def site(site_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A database whose public schema is empty."""
    with psycopg.connect(site_url, autocommit=True) as connection:
        yield connection
        connection.execute("drop schema public cascade; create schema public")


@pytest.mark.parametrize("shape", ADOPTED.values(), ids=list(ADOPTED))
def test_the_loop_runs_on_a_table_of_this_shape(
    site_url: str, site: psycopg.Connection[Any], sandbox: Sandbox, places: Path, shape: str
) -> None:
    site.execute(shape.encode())
    migrate(site_url)
    lead = LeadTable(site).add(client_ip="81.2.69.7")
    Queue(site).add(destination="supabase")
    Queue(site).add(destination="meta_capi", event_payload={"event_name": "Lead"})

    Enriching(site_url, a_file(places)).run()
    Runs(site_url, sandbox).run()
    check_tracking_health(site_url, policy())

    (place,) = site.execute(
        "select city::text, state::text, zip::text, country::text, geo_status from leads"
        " where id = %s",
        (lead,),
    ).fetchall()
    settled = site.execute("select destination, status from tracking_failed_events order by 1")
    assert place == ("Berlin", "State of Berlin", "10115", "DE", "ok")
    assert settled.fetchall() == [("meta_capi", "dead_letter"), ("supabase", "resolved")]
    assert migrate(site_url).applied == []


def catalogue(site: psycopg.Connection[Any]) -> list[Any]:
    return site.execute(
        "select relname::text, relkind::text, attname::text, atttypid, attnotnull, relrowsecurity"
        " from pg_class left join pg_attribute on attrelid = pg_class.oid"
        " where relnamespace = 'public'::regnamespace order by 1, 3"
    ).fetchall()


@pytest.mark.parametrize(("shape", "words"), REFUSED.values(), ids=list(REFUSED))
def test_a_shape_that_cannot_be_worked_with_is_named_before_any_change(
    site_url: str, site: psycopg.Connection[Any], shape: str, words: tuple[str, ...]
) -> None:
    site.execute(shape.encode())
    before = catalogue(site)

    for _ in range(2):
        with pytest.raises(MigrationError) as refused:
            migrate(site_url)
        for each in words:
            assert each in str(refused.value)
        assert "\n" not in str(refused.value)
    assert catalogue(site) == before
