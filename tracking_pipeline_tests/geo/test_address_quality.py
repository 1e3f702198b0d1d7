"""When addresses are hardly visitors', and how that is told without telling them."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tracking_pipeline.geo.coverage import judge_addresses, read_suspicion
from tracking_pipeline.store.geo_coverage import StoredAddress
from tracking_pipeline_tests.geo.asking import addresses
from tracking_pipeline_tests.geo.databases import write_database
from tracking_pipeline_tests.geo.enriching import Enriching, a_file
from tracking_pipeline_tests.geo.lead_table import LeadTable


def one_lead_each(count: int) -> list[StoredAddress]:
    return [StoredAddress(address, 1) for address in addresses(count)]


def test_visitors_from_everywhere_are_no_suspicion() -> None:
    suspicion = judge_addresses([*one_lead_each(100), StoredAddress("81.2.69.7", 15)], set())
    assert not suspicion.looks_like_a_server
    assert not suspicion.few_have_an_address
    assert suspicion.with_address_percent == 100.0


def test_one_address_behind_a_fifth_of_the_leads_is_told_masked() -> None:
    stored = [*one_lead_each(60), StoredAddress("81.2.69.7", 30), StoredAddress("81.2.69.7:80", 5)]
    suspicion = judge_addresses(stored, set())
    assert suspicion.looks_like_a_server
    (shared,) = suspicion.shared
    assert (shared.masked, shared.leads) == ("81.2.69.0/24", 35)
    assert shared.percent == pytest.approx(100 * 35 / 95)


def test_a_family_behind_one_address_is_none() -> None:
    assert not judge_addresses([StoredAddress("81.2.69.7", 5)], set()).looks_like_a_server


def test_a_site_behind_several_servers_is_a_suspicion() -> None:
    behind_eight = [StoredAddress(f"81.2.{n}.7", 250) for n in range(8)]
    assert len(judge_addresses(behind_eight, set()).shared) == 8
    behind_ten = [StoredAddress(f"81.2.{n}.7", 6) for n in range(10)]
    assert len(judge_addresses([*behind_ten, *one_lead_each(50)], set()).shared) == 10
    assert not judge_addresses([*behind_ten, *one_lead_each(70)], set()).looks_like_a_server
    # Ten households.
    assert not judge_addresses(behind_ten, set()).looks_like_a_server


def test_a_hundred_leads_from_one_address_are_a_suspicion_where_they_are_a_twentieth() -> None:
    university = StoredAddress("81.2.69.7", 120)
    assert judge_addresses([*one_lead_each(2000), university], set()).looks_like_a_server
    assert not judge_addresses([*one_lead_each(2500), university], set()).looks_like_a_server


def test_a_load_balancers_addresses_are_one() -> None:
    stored = [StoredAddress(f"10.0.0.{n}", 1) for n in range(30)]
    suspicion = judge_addresses(stored, set())
    assert [(each.masked, each.leads) for each in suspicion.shared] == [("private", 30)]
    assert suspicion.private_percent == 100.0


def test_many_addresses_of_data_centres_are_a_suspicion_and_a_few_are_not() -> None:
    stored = one_lead_each(100)
    assert judge_addresses(stored, set(addresses(40))).looks_like_a_server
    assert not judge_addresses(stored, set(addresses(10))).looks_like_a_server


def test_leads_without_an_address_are_counted_with_those_that_hold_nonsense() -> None:
    stored = [StoredAddress(None, 80), StoredAddress("unknown", 15), StoredAddress("8.8.8.8", 5)]
    suspicion = judge_addresses(stored, set())
    assert (suspicion.leads, suspicion.with_address) == (100, 5)
    assert suspicion.few_have_an_address


def test_without_leads_nothing_is_suspected() -> None:
    suspicion = judge_addresses([], set())
    assert not suspicion.few_have_an_address
    assert not suspicion.looks_like_a_server
    assert suspicion.with_address_percent is None


def test_addresses_are_read_from_where_a_look_up_takes_them(
    leads: LeadTable, connection: psycopg.Connection
) -> None:
    leads.add_many(20, client_ip="8.8.8.8")
    for lead in leads.add_many(5):
        leads.add_ledger_event(lead, {"client_ip_address": "8.8.8.8"})
    leads.add()
    leads.add(client_ip="8.8.8.8", created_at="2020-01-01")
    connection.execute(
        "insert into tracking_ip_locations (ip, status, hosting) values ('8.8.8.8', 'ok', true)"
    )
    suspicion = read_suspicion(connection)
    assert (suspicion.leads, suspicion.with_address) == (26, 25)
    assert [(each.masked, each.leads) for each in suspicion.shared] == [("8.8.8.0/24", 25)]
    assert suspicion.hosting_percent == 100.0


@pytest.mark.parametrize("dry_run", [False, True])
def test_an_address_that_a_local_file_knows_as_a_data_centres_counts(
    leads: LeadTable, database_url: str, tmp_path: Path, dry_run: bool
) -> None:
    record = {"city": "Ashburn", "region": "Virginia", "country": "US", "is_hosting": "true"}
    file = write_database(tmp_path / "places.mmdb", {"8.8.0.0/16": record}, kind="ipinfo")
    for address in addresses(30):
        leads.add(client_ip=address)
    Enriching(database_url, a_file(file)).run(dry_run=dry_run)
    suspicion = read_suspicion(leads.connection)
    assert suspicion.hosting_percent == (0.0 if dry_run else 100.0)
    assert suspicion.looks_like_a_server is not dry_run
