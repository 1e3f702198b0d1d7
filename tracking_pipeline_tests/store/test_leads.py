"""The statements on leads: served by their indexes, and at home in a site's own table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest
from psycopg import sql

from tracking_pipeline.geo.retention import apply_ip_retention
from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.identity.text import text_of
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.ip_locations import claim_old_addresses
from tracking_pipeline.store.lead_places import claim_corrected
from tracking_pipeline.store.lead_text import SAID
from tracking_pipeline.store.leads import (
    BEGINNING,
    UNDATED,
    LeadsWanted,
    claim_leads,
    read_locate_backlog,
)
from tracking_pipeline.store.migrate import migrate
from tracking_pipeline_tests.geo.databases import BERLIN, write_database
from tracking_pipeline_tests.geo.enriching import Enriching, a_file, ip_api
from tracking_pipeline_tests.servers import TestServer, find_server_binaries
from tracking_pipeline_tests.store.site import (
    Site,
    copy_of,
    login_role,
    new_site,
    site_server,
)
from tracking_pipeline_tests.store.statements import run_statement

WORKER = "pipeline_worker"
SERVERS = find_server_binaries()


@pytest.fixture(
    scope="module", params=[min(SERVERS), max(SERVERS)], ids=lambda n: f"postgresql-{n}"
)
def sites(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp(f"postgresql-{request.param}")
    with site_server(SERVERS[request.param], folder) as running:
        yield running


@pytest.fixture(scope="module")
def migrated(sites: TestServer) -> Iterator[Site]:
    """A site long in use, with a trigger on its leads and columns of limited length."""
    with new_site(sites, in_use=True) as in_use:
        migrate(in_use.url)
        yield in_use


@pytest.fixture
def site(sites: TestServer, migrated: Site) -> Iterator[Site]:
    """A copy of that one."""
    with copy_of(migrated, sites) as copy:
        yield copy


def explained(query: Any) -> sql.Composed:
    statement = query if isinstance(query, sql.Composable) else sql.SQL(query)
    return sql.SQL("explain ") + statement


class Explaining(psycopg.Cursor[Any]):
    """Notes how the server would carry out each statement before it does."""

    plans: ClassVar[list[str]] = []

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        plan = psycopg.Cursor(self.connection).execute(explained(query), params)
        self.plans.append("\n".join(line for (line,) in plan.fetchall()))
        return super().execute(query, params, **options)


class ExplainingAsync(psycopg.AsyncCursor[Any]):
    """The same for the statements of a run."""

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        plan = psycopg.AsyncCursor(self.connection)
        await plan.execute(explained(query), params)
        Explaining.plans.append("\n".join(line for (line,) in await plan.fetchall()))
        return await super().execute(query, params, **options)


def plan_of(database_url: str, statement: Callable[[Any], Awaitable[Any]]) -> str:
    """How the server carries out the statement where an index is cheaper than the whole table."""

    async def carried_out(connection: Any) -> str:
        await connection.execute("set enable_seqscan = off; set enable_bitmapscan = off")
        connection.cursor_factory = ExplainingAsync
        await statement(connection)
        return Explaining.plans.pop()

    return run_statement(database_url, carried_out)


@pytest.mark.parametrize("after", [BEGINNING, UNDATED], ids=["dated", "undated"])
def test_a_claim_walks_its_index_and_sorts_nothing(
    database_url: str, connection: psycopg.Connection, after: Any
) -> None:
    connection.execute("alter table leads alter column created_at drop not null")
    plan = plan_of(
        database_url, lambda connection: claim_leads(connection, LeadsWanted(), after, 100)
    )
    assert "Index Scan Backward using tracking_leads_to_locate" in plan
    claim = plan[plan.index("CTE wanted") : plan.index("tracking_leads_to_locate")]
    assert "Sort" not in claim
    assert "tracking_ledger_lead" in plan
    assert "tracking_failed_events_lead" in plan


def test_corrections_are_found_by_their_index(database_url: str) -> None:
    plan = plan_of(database_url, lambda connection: claim_corrected(connection, 100))
    assert "tracking_leads_corrected" in plan


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (lambda connection: claim_old_addresses(connection, 30, 9), "tracking_leads_uncut_address"),
        (read_locate_backlog, "tracking_leads_to_locate"),
    ],
    ids=["old addresses", "backlog"],
)
def test_what_is_asked_often_is_found_by_its_index(
    connection: psycopg.Connection, statement: Callable[[Any], Any], index: str
) -> None:
    connection.execute("set enable_seqscan = off; set enable_bitmapscan = off")
    connection.cursor_factory = Explaining
    statement(connection)
    assert index in Explaining.plans.pop()


def test_a_site_in_use_is_enriched_by_the_worker_role(
    site: Site, sandbox: Sandbox, tmp_path: Path
) -> None:
    file = write_database(tmp_path / "places.mmdb", {"81.2.70.0/24": BERLIN})
    with login_role(site, WORKER):
        migrate(site.url, worker_role=WORKER)
        site.run(
            "update leads set client_ip = case when right(id::text, 1) < '5' then '81.2.70.7'"
            " else '8.8.8.8' end"
        )
        # The other leads have their addresses in the ledger, in a range for documentation.
        site.run("update leads set client_ip = null where right(id::text, 1) = '9'")
        worker = Enriching(site.url_for(WORKER), a_file(file), ip_api(sandbox))
        totals = worker.run()
        assert totals.by_source == {"mmdb": 20, "ip_api": 16}
        assert totals.by_status == {"ok": 36, "private": 4}
        assert site.run("select count(*) from leads where city = 'Tampa' and zip is not null") == [
            (11,)
        ]
        # The site's trigger has kept its time.
        assert site.run("select bool_and(updated_at > '2026-06-01') from leads") == [(True,)]
        site.run("update tracking_ip_locations set expires_at = now()")
        totals_of_retention = apply_ip_retention(site.url_for(WORKER), 30, "truncate")
        assert totals_of_retention.addresses_forgotten == 1
        assert totals_of_retention.leads_cut == 36


def test_an_unknown_status_is_kept_out(site: Site) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        site.run("update leads set geo_status = 'nonsense'")


def test_a_text_that_says_nothing_to_us_says_nothing_to_a_statement(
    connection: psycopg.Connection,
) -> None:
    texts = [chr(code) for code in range(1, 0x10000) if not 0xD800 <= code <= 0xDFFF]
    rows = connection.execute(
        f"select text, text {SAID} from unnest(%s::text[]) as t (text)".encode(), (texts,)
    ).fetchall()
    assert [text for text, said in rows if said == (text_of(text) is Refusal.EMPTY)] == []
