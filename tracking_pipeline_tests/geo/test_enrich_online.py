"""Enrichment from online sources: asked once, never waited for with a lock, and not trusted to be
there.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import psycopg
import pytest

from tracking_pipeline.geo.provider import Answer, Provider
from tracking_pipeline.sandbox.ip_api_rules import IpApiLimits
from tracking_pipeline.sandbox.sample_people import known_place
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.sandbox.steps import RawStep
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, wait_until
from tracking_pipeline_tests.geo.asking import addresses
from tracking_pipeline_tests.geo.databases import BERLIN, write_database
from tracking_pipeline_tests.geo.enriching import (
    Enriching,
    MakeProvider,
    a_file,
    ip_api,
    ipinfo,
)
from tracking_pipeline_tests.geo.lead_table import LeadTable

ADDRESS = next(each for each in addresses(100) if known_place(each).place)
ONLY_ITS_COUNTRY = next(each for each in addresses(100) if not known_place(each).place)


@pytest.fixture
def enriching(database_url: str, sandbox: Sandbox) -> Enriching:
    return Enriching(database_url, ip_api(sandbox))


def place_at(address: str) -> tuple[str | None, ...]:
    """The place that the sandbox has for an address."""
    found = known_place(address)
    place = found.place
    return (
        (place.city, place.state, place.zip, found.country)
        if place
        else (
            None,
            None,
            None,
            found.country,
        )
    )


class Gate:
    """Holds the questions of a run until it is opened, and tells when one has come."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def open(self) -> None:
        self._open.set()

    def before(self, make: MakeProvider) -> MakeProvider:
        """The provider, behind this gate."""
        return lambda client, pool, seconds_left: _Gated(self, make(client, pool, seconds_left))

    async def pass_through(self) -> None:
        self.reached.set()
        await anyio.to_thread.run_sync(self._open.wait, 30)


@dataclass(frozen=True)
class _Gated:
    gate: Gate
    provider: Provider

    @property
    def name(self) -> str:
        return self.provider.name

    @property
    def source(self) -> str:
        return self.provider.source

    async def locate(self, asked: Sequence[str]) -> dict[str, Answer]:
        await self.gate.pass_through()
        return await self.provider.locate(asked)


def test_a_lead_gets_the_place_that_the_source_names(
    leads: LeadTable, enriching: Enriching, sandbox: Sandbox
) -> None:
    lead, country_only = leads.add(client_ip=ADDRESS), leads.add(client_ip=ONLY_ITS_COUNTRY)
    totals = enriching.run()
    assert leads.place(lead) == place_at(ADDRESS)
    assert leads.row(lead)["geo_source"] == "ip_api 2026-11-24"
    assert leads.place(country_only) == place_at(ONLY_ITS_COUNTRY)
    assert (totals.enriched, totals.asked_online) == (2, 2)
    assert sandbox.memory.violations == []


def test_thousands_of_leads_behind_one_address_ask_once(
    leads: LeadTable, enriching: Enriching, sandbox: Sandbox
) -> None:
    leads.connection.execute(
        "insert into leads (email, client_ip) select n || '@example.com', %s"
        " from generate_series(1, 3000) as n",
        (ADDRESS,),
    )
    assert enriching.run().enriched == 3000
    assert sandbox.ip_api.asked == {ADDRESS: 1}


def test_a_known_address_is_not_asked_about_until_its_answer_expires(
    leads: LeadTable, enriching: Enriching, sandbox: Sandbox
) -> None:
    leads.add(client_ip=ADDRESS)
    enriching.run()
    later = leads.add(client_ip=ADDRESS)
    assert enriching.run().asked_online == 0
    assert leads.place(later) == place_at(ADDRESS)
    leads.connection.execute("update tracking_ip_locations set expires_at = now()")
    leads.add(client_ip=ADDRESS)
    assert enriching.run().asked_online == 1
    assert sandbox.ip_api.asked == {ADDRESS: 2}


def test_four_workers_share_the_leads_and_break_no_limit(
    leads: LeadTable, enriching: Enriching, sandbox: Sandbox
) -> None:
    asked = addresses(700)
    leads.connection.execute(
        "insert into leads (email, client_ip)"
        " select n || '@example.com', (%s::text[])[1 + n %% 700]"
        " from generate_series(1, 5000) as n",
        (asked,),
    )
    runs = enriching.run_together(4)
    # Leads whose address another worker was asking about are due again soon.
    leads.make_due()
    runs.append(enriching.run())
    assert sum(run.enriched for run in runs) == 5000
    assert leads.statuses() == {"ok": 5000}
    assert sandbox.ip_api.asked == dict.fromkeys(asked, 1)
    assert sandbox.memory.violations == []


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (503, ("error", 300)),
        ("broken_json", ("error", 300)),
        ("html", ("error", 300)),
        ("reset", ("error", 300)),
        ({"status": 429, "retry_after": "60"}, ("rate_limited", 300)),
        ({"status": 429, "retry_after": "1800"}, ("rate_limited", 1800)),
    ],
    ids=str,
)
def test_a_failed_look_up_is_noted_and_asked_again_later(
    leads: LeadTable,
    enriching: Enriching,
    sandbox: Sandbox,
    step: RawStep,
    expected: tuple[str, float],
) -> None:
    status, first_wait = expected
    sandbox.scripts.set(ADDRESS, [step])
    lead = leads.add(client_ip=ADDRESS, created_at="2026-11-01")
    totals = enriching.run()
    row = leads.row(lead)
    assert (row["geo_status"], row["geo_attempts"]) == (status, 1)
    assert row["geo_wait"] == pytest.approx(first_wait, abs=30)
    assert totals.by_status == {status: 1}
    assert enriching.run().examined == 0
    # Another lead with that address waits with it, and asks nobody.
    other = leads.add(client_ip=ADDRESS)
    enriching.run()
    assert leads.row(other)["geo_status"] == status
    assert sandbox.ip_api.asked == {ADDRESS: 1}


def test_the_waits_double_and_end_after_five_look_ups_again(
    leads: LeadTable, enriching: Enriching, sandbox: Sandbox
) -> None:
    sandbox.scripts.set(ADDRESS, [503] * 20)
    lead = leads.add(client_ip=ADDRESS, created_at="2026-11-01")
    waits = []
    for _ in range(6):
        enriching.run()
        waits.append(leads.row(lead)["geo_wait"])
        leads.make_due()
    assert waits[:5] == pytest.approx([300, 600, 1200, 2400, 4800], abs=30)
    assert waits[5] is None
    assert leads.row(lead)["geo_status"] == "error"
    assert enriching.run().examined == 0
    assert sandbox.ip_api.asked == {ADDRESS: 6}


def test_a_recheck_asks_again_about_what_was_given_up(
    leads: LeadTable, enriching: Enriching, sandbox: Sandbox
) -> None:
    sandbox.scripts.set(ADDRESS, [503] * 6)
    lead = leads.add(client_ip=ADDRESS, created_at="2026-11-01")
    for _ in range(6):
        enriching.run()
        leads.make_due()
    assert enriching.run(recheck_failed=True).enriched == 1
    assert leads.place(lead) == place_at(ADDRESS)


def test_answers_in_another_order_go_to_their_own_leads(
    leads: LeadTable, enriching: Enriching, sandbox: Sandbox
) -> None:
    sandbox.ip_api.in_another_order = True
    added = {leads.add(client_ip=address): address for address in addresses(20)}
    enriching.run()
    assert {lead: leads.place(lead) for lead in added} == {
        lead: place_at(address) for lead, address in added.items()
    }


def test_a_used_up_window_costs_nothing_and_the_rest_stays_due(
    leads: LeadTable, enriching: Enriching, sandbox: Sandbox
) -> None:
    sandbox.ip_api.limits = IpApiLimits(batch_requests=2)
    for address in addresses(500):
        leads.add(client_ip=address)
    totals = enriching.run(time_budget_seconds=20)
    assert (totals.enriched, totals.waiting) == (200, 300)
    assert totals.stopped_reason == "sources_busy"
    assert leads.one("select count(*) from leads where geo_next_at <= now()") == 300
    assert leads.one("select max(geo_attempts) from leads") == 0
    assert sandbox.memory.violations == []


def test_a_private_address_is_never_sent_anywhere(
    leads: LeadTable, enriching: Enriching, sandbox: Sandbox
) -> None:
    leads.add(client_ip="192.168.1.5")
    leads.add(client_ip="169.254.169.254")
    enriching.run()
    assert leads.statuses() == {"private": 2}
    assert sandbox.memory.requests == []


def test_a_dry_run_asks_nobody_online(
    leads: LeadTable, enriching: Enriching, sandbox: Sandbox
) -> None:
    leads.add_many(3, client_ip=ADDRESS)
    totals = enriching.run(dry_run=True)
    assert (totals.examined, totals.enriched, totals.waiting) == (3, 0, 3)
    assert sandbox.memory.requests == []
    assert leads.one("select count(*) from tracking_ip_locations") == 0


def test_the_next_provider_is_asked_only_for_what_the_first_did_not_find(
    leads: LeadTable, database_url: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    file = write_database(tmp_path / "places.mmdb", {"81.2.70.0/24": BERLIN})
    local, online = leads.add(client_ip="81.2.70.7"), leads.add(client_ip=ADDRESS)
    totals = Enriching(database_url, a_file(file), ip_api(sandbox)).run()
    assert totals.by_source == {"mmdb": 1, "ip_api": 1}
    assert leads.place(local)[0] == "Berlin"
    assert leads.place(online) == place_at(ADDRESS)
    assert sandbox.ip_api.asked == {ADDRESS: 1}


def test_an_online_source_that_is_out_does_not_hold_up_the_next_one(
    leads: LeadTable, database_url: str, sandbox: Sandbox
) -> None:
    sandbox.scripts.set(ADDRESS, [503])
    lead = leads.add(client_ip=ADDRESS)
    totals = Enriching(database_url, ip_api(sandbox), ipinfo(sandbox)).run()
    assert totals.by_source == {"ipinfo": 1}
    assert leads.row(lead)["geo_status"] == "ok"


def test_a_source_that_may_not_be_asked_does_not_stop_the_local_file(
    leads: LeadTable, database_url: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.ip_api.limits = IpApiLimits(batch_requests=1)
    file = write_database(tmp_path / "places.mmdb", {"81.2.70.0/24": BERLIN})
    for address in addresses(300):
        leads.add(client_ip=address, created_at="2026-11-02")
    leads.connection.execute(
        "insert into leads (email, client_ip, created_at)"
        " select n || '@example.com', '81.2.70.7', '2026-11-01' from generate_series(1, 1500) as n"
    )
    totals = Enriching(database_url, a_file(file), ip_api(sandbox)).run(time_budget_seconds=20)
    assert totals.by_source == {"mmdb": 1500, "ip_api": 100}
    assert totals.stopped_reason == "sources_busy"


@pytest.mark.parametrize("damage", ["truncated", "gone"])
def test_a_file_that_cannot_serve_leaves_it_to_the_next_provider(
    leads: LeadTable, database_url: str, sandbox: Sandbox, tmp_path: Path, damage: str
) -> None:
    file = write_database(tmp_path / "places.mmdb", {"8.8.0.0/16": BERLIN})
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
    else:
        file.unlink()
    lead = leads.add(client_ip=ADDRESS)
    Enriching(database_url, a_file(file), ip_api(sandbox)).run()
    assert leads.place(lead) == place_at(ADDRESS)


@pytest.mark.parametrize("damage", ["truncated", "replaced"])
def test_a_file_may_change_during_a_run(
    leads: LeadTable, database_url: str, sandbox: Sandbox, tmp_path: Path, damage: str
) -> None:
    """The newest lead's address is asked about online; meanwhile the file changes under the run,
    which has looked into it already."""
    file = write_database(tmp_path / "places.mmdb", {"81.2.70.0/24": BERLIN})
    leads.add(client_ip=ADDRESS)
    leads.connection.execute(
        "insert into leads (email, client_ip, created_at)"
        " select n || '@example.com', '81.2.70.7', '2026-11-01' from generate_series(1, 1500) as n"
    )
    gate = Gate()
    enriching = Enriching(database_url, a_file(file), gate.before(ip_api(sandbox)))
    with enriching.under_way() as run:
        assert gate.reached.wait(30)
        if damage == "truncated":
            with file.open("r+b") as opened:
                opened.truncate(50)
        else:
            write_database(tmp_path / "new.mmdb", {"81.2.70.0/24": BERLIN}).replace(file)
        gate.open()
        totals = run.result()
    expected = (
        {"mmdb": 999, "ip_api": 502} if damage == "truncated" else {"mmdb": 1500, "ip_api": 1}
    )
    assert totals.by_source == expected


def test_what_a_person_says_while_the_question_is_on_its_way_survives(
    leads: LeadTable, database_url: str, sandbox: Sandbox
) -> None:
    lead = leads.add(client_ip=ADDRESS)
    gate = Gate()
    with Enriching(database_url, gate.before(ip_api(sandbox))).under_way() as run:
        assert gate.reached.wait(30)
        # No lock is in the way of the site.
        leads.connection.execute("set lock_timeout = '1s'")
        leads.connection.execute("update leads set city = 'Austin' where id = %s", (lead,))
        gate.open()
        assert run.result().enriched == 1
    assert leads.place(lead) == ("Austin", *place_at(ADDRESS)[1:])
    assert leads.sources(lead)["city"] == "user"


def test_what_a_person_is_just_saying_survives_too(
    leads: LeadTable, database_url: str, sandbox: Sandbox
) -> None:
    """The site's change is not committed yet when ours is made: ours waits and looks again."""
    lead = leads.add(client_ip=ADDRESS)
    gate = Gate()
    with (
        Enriching(database_url, gate.before(ip_api(sandbox))).under_way() as run,
        psycopg.connect(database_url) as site,
    ):
        assert gate.reached.wait(30)
        site.execute("update leads set city = 'Austin', zip = '78701' where id = %s", (lead,))
        gate.open()
        wait_until(
            lambda: leads.one(
                "select count(*) from pg_stat_activity where datname = current_database()"
                " and wait_event_type = 'Lock' and query ~ 'geo_fields'"
            )
        )
        site.commit()
        run.result()
    _, state, _, country = place_at(ADDRESS)
    assert leads.place(lead) == ("Austin", state, "78701", country)


def test_leads_of_a_worker_that_died_come_back(
    leads: LeadTable, database_url: str, sandbox: Sandbox, enriching: Enriching
) -> None:
    lead = leads.add(client_ip=ADDRESS)
    gate = Gate()
    dying = Enriching(database_url, gate.before(ip_api(sandbox)))

    async def die() -> None:
        run = asyncio.create_task(dying.enrich())
        await anyio.to_thread.run_sync(gate.reached.wait, 30)
        run.cancel()
        gate.open()
        await asyncio.gather(run, return_exceptions=True)

    asyncio.run(die())
    assert leads.row(lead)["geo_status"] is None
    assert enriching.run().examined == 0
    assert leads.row(lead)["geo_wait"] == pytest.approx(300, abs=30)
    leads.make_due()
    assert enriching.run().enriched == 1


def test_a_lead_that_was_deleted_meanwhile_is_no_failure(
    leads: LeadTable, database_url: str, sandbox: Sandbox
) -> None:
    lead = leads.add(client_ip=ADDRESS)
    gate = Gate()
    with Enriching(database_url, gate.before(ip_api(sandbox))).under_way() as run:
        assert gate.reached.wait(30)
        leads.connection.execute("delete from leads where id = %s", (lead,))
        gate.open()
        assert run.result().enriched == 0


def test_an_outage_of_the_database_in_the_middle_of_a_run_costs_nothing(
    leads: LeadTable, database_url: str, sandbox: Sandbox
) -> None:
    lead = leads.add(client_ip=ADDRESS)
    gate = Gate()
    with Enriching(database_url, gate.before(ip_api(sandbox))).under_way() as run:
        assert gate.reached.wait(30)
        assert Queue(leads.connection).break_connections() > 0
        gate.open()
        assert run.result().enriched == 1
    assert leads.place(lead) == place_at(ADDRESS)


def test_no_address_is_in_the_log(
    leads: LeadTable,
    enriching: Enriching,
    sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    sandbox.scripts.set(ADDRESS, [503])
    leads.add(client_ip=ADDRESS)
    enriching.run()
    leads.make_due()
    enriching.run()
    assert ADDRESS not in caplog.text


def test_a_row_that_takes_no_change_does_not_stop_the_others_from_being_leased(
    leads: LeadTable, enriching: Enriching, sandbox: Sandbox
) -> None:
    closed = leads.add(client_ip=ADDRESS, email="none")
    leads.connection.execute(
        "alter table leads add constraint mailck check (email like '%@%') not valid"
    )
    added = leads.add_many(5, client_ip=ADDRESS)
    totals = enriching.run()
    assert (totals.enriched, totals.refused, totals.stopped_reason) == (5, 1, "done")
    assert [leads.place(lead) for lead in added] == [place_at(ADDRESS)] * 5
    assert leads.row(closed)["geo_status"] is None
    assert enriching.run().refused == 1
    assert sandbox.ip_api.asked == {ADDRESS: 1}


def test_a_recheck_asks_once_again_about_an_address_known_by_its_country(
    leads: LeadTable, enriching: Enriching, sandbox: Sandbox
) -> None:
    leads.connection.execute(
        "insert into leads (email, client_ip) select n || '@example.com', %s"
        " from generate_series(1, 2500) as n",
        (ONLY_ITS_COUNTRY,),
    )
    enriching.run()
    totals = enriching.run(recheck_failed=True)
    assert (totals.examined, totals.enriched, totals.asked_online) == (2500, 0, 1)
    assert sandbox.ip_api.asked == {ONLY_ITS_COUNTRY: 2}
    assert leads.statuses() == {"ok": 2500}
