"""Addresses that are old enough are cut or removed, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tracking_pipeline.geo.retention import apply_ip_retention, kept
from tracking_pipeline.store.database import DatabaseError
from tracking_pipeline.store.migrations.indexes import INDEXES, build
from tracking_pipeline_tests.geo.databases import BERLIN, write_database
from tracking_pipeline_tests.geo.enriching import Enriching, a_file
from tracking_pipeline_tests.geo.lead_table import LeadTable

OLD = "2026-01-01"


@pytest.fixture
def enriching(database_url: str, tmp_path: Path) -> Enriching:
    file = write_database(tmp_path / "places.mmdb", {"81.2.70.0/24": BERLIN})
    return Enriching(database_url, a_file(file))


@pytest.mark.parametrize(
    ("stored", "left"),
    [
        ("81.2.69.160", "81.2.69.0/24"),
        ("2001:4860:4860::8888", "2001:4860:4860::/48"),
        ("10.0.0.1, 81.2.69.160", "81.2.69.0/24"),
        ("unknown", None),
        ("10.0.0.1", None),
    ],
)
def test_a_cut_address_is_its_network(stored: str, left: str | None) -> None:
    assert kept(stored, "truncate") == left
    assert kept(stored, "remove") is None


def test_addresses_of_old_enriched_leads_are_cut_and_their_places_stay(
    leads: LeadTable, enriching: Enriching, database_url: str
) -> None:
    old = leads.add(client_ip="81.2.70.7", created_at=OLD)
    new = leads.add(client_ip="81.2.70.7")
    enriching.run()
    open_one = leads.add(client_ip="81.2.70.7", created_at=OLD)
    totals = apply_ip_retention(database_url, 30, "truncate")
    assert (totals.leads_cut, totals.done) == (1, True)
    assert leads.row(old)["client_ip"] == "81.2.70.0/24"
    assert leads.place(old)[0] == "Berlin"
    assert leads.row(new)["client_ip"] == "81.2.70.7"
    # It has its place still to come.
    assert leads.row(open_one)["client_ip"] == "81.2.70.7"
    assert apply_ip_retention(database_url, 30, "truncate").leads_cut == 0


@pytest.mark.parametrize(
    ("stored", "left"),
    [
        ("81.2.70.7", "81.2.70.0/24"),
        # What the length alone would take for cut.
        ("81.2.70.7/24", "81.2.70.0/24"),
        ("2001:4860:4860:1::/48", "2001:4860:4860::/48"),
        ("2001:4860::8888", "2001:4860::/48"),
        ("10.0.0.1", None),
    ],
)
def test_an_address_in_a_column_of_the_sites_own_type_is_cut_too(
    leads: LeadTable, enriching: Enriching, database_url: str, stored: str, left: str | None
) -> None:
    (index,) = [each for each in INDEXES if each.name == "tracking_leads_uncut_address"]
    leads.connection.execute(f"drop index {index.name}".encode())
    leads.connection.execute("alter table leads alter client_ip type inet using client_ip::inet")
    build(leads.connection, index, invalid=False)
    lead = leads.add(client_ip=stored, created_at=OLD)
    enriching.run()
    totals = apply_ip_retention(database_url, 30, "truncate")
    assert (totals.leads_cut, totals.done) == (1, True)
    assert leads.one("select client_ip::text from leads where id = %s", lead) == left
    assert apply_ip_retention(database_url, 30, "truncate").leads_cut == 0
    assert (leads.place(lead)[0] == "Berlin") == stored.startswith("81.2.70.7")


def test_addresses_can_be_removed_instead(
    leads: LeadTable, enriching: Enriching, database_url: str
) -> None:
    lead = leads.add(client_ip="81.2.70.7", created_at=OLD)
    enriching.run()
    apply_ip_retention(database_url, 30, "remove")
    assert leads.row(lead)["client_ip"] is None
    assert leads.place(lead)[0] == "Berlin"


def test_more_than_a_batch_is_cut_in_one_pass(
    leads: LeadTable, database_url: str, connection: psycopg.Connection
) -> None:
    connection.execute(
        "insert into leads (email, client_ip, geo_status, created_at)"
        " select n || '@example.com', '81.2.70.7', 'ok', %s from generate_series(1, 2500) as n",
        (OLD,),
    )
    assert apply_ip_retention(database_url, 30, "truncate").leads_cut == 2500


def test_a_row_that_takes_no_change_keeps_no_other_address(
    leads: LeadTable, database_url: str
) -> None:
    lead = {"client_ip": "81.2.70.7", "geo_status": "ok", "created_at": OLD}
    closed = leads.add(email="none", **lead)
    others = leads.add_many(10, **lead)
    leads.connection.execute(
        "alter table leads add constraint mailck check (email like '%@%') not valid"
    )
    totals = apply_ip_retention(database_url, 30, "truncate")
    assert (totals.leads_cut, totals.done) == (10, True)
    assert {leads.row(each)["client_ip"] for each in others} == {"81.2.70.0/24"}
    assert leads.row(closed)["client_ip"] == "81.2.70.7"


def test_recorded_addresses_are_forgotten_when_old_or_expired(
    database_url: str, connection: psycopg.Connection
) -> None:
    connection.execute(
        """
        insert into tracking_ip_locations (ip, status, looked_up_at, expires_at, next_ask_at) values
            ('8.8.8.1', 'ok', now() - interval '31 days', now() + interval '9 days', null),
            ('8.8.8.2', 'ok', now(), now() - interval '1 second', null),
            ('8.8.8.3', 'ok', now(), now() + interval '9 days', null),
            ('8.8.8.4', 'error', now(), now() - interval '1 day', now() + interval '1 hour')
        """
    )
    assert apply_ip_retention(database_url, 30, "truncate").addresses_forgotten == 2
    rows = connection.execute("select host(ip) from tracking_ip_locations order by ip").fetchall()
    assert rows == [("8.8.8.3",), ("8.8.8.4",)]


def test_a_cut_address_is_not_looked_up_again(
    leads: LeadTable, enriching: Enriching, database_url: str
) -> None:
    lead = leads.add(client_ip="81.2.71.7", created_at=OLD)
    enriching.run()
    apply_ip_retention(database_url, 30, "truncate")
    enriching.run(recheck_failed=True)
    assert leads.row(lead)["geo_status"] == "no_data"
    assert leads.row(lead)["client_ip"] == "81.2.71.0/24"


def test_the_ledger_is_left_as_it_is(
    leads: LeadTable, enriching: Enriching, database_url: str, connection: psycopg.Connection
) -> None:
    lead = leads.add(created_at=OLD)
    leads.add_ledger_event(lead, {"client_ip_address": "81.2.70.7"}, OLD)
    enriching.run()
    apply_ip_retention(database_url, 30, "remove")
    assert leads.one("select user_data from wm_event_log") == {"client_ip_address": "81.2.70.7"}


def test_a_pass_without_time_says_that_it_is_not_done(
    database_url: str, connection: psycopg.Connection
) -> None:
    totals = apply_ip_retention(database_url, 30, "truncate", time_budget_seconds=0)
    assert not totals.done


def test_a_database_that_is_not_there_is_one_line() -> None:
    with pytest.raises(DatabaseError, match="cannot connect"):
        apply_ip_retention("postgresql://u:s3cret@127.0.0.1:1/d", 30, "truncate")
