"""What is said of the leads' places, before enrichment and now."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tracking_pipeline.geo.coverage import read_geo_coverage
from tracking_pipeline_tests.geo.databases import BERLIN, write_database
from tracking_pipeline_tests.geo.enriching import Enriching, a_file
from tracking_pipeline_tests.geo.lead_table import LeadTable

IN_BERLIN = "81.2.70.7"


@pytest.fixture
def enriching(database_url: str, tmp_path: Path) -> Enriching:
    file = write_database(tmp_path / "places.mmdb", {"81.2.70.0/24": BERLIN})
    return Enriching(database_url, a_file(file))


def test_shares_are_told_before_and_after_enrichment_and_by_source(
    leads: LeadTable, enriching: Enriching, connection: psycopg.Connection
) -> None:
    leads.add(city="Miami", state="Florida", zip="33130")
    leads.add(session_data={"city": "Miami"})
    leads.add_many(2, client_ip=IN_BERLIN, city=" ")
    leads.add(client_ip=IN_BERLIN, created_at="2020-01-01")
    before = read_geo_coverage(connection)
    assert (before.with_city_percent, before.before_city_percent) == (25.0, 25.0)
    assert (before.leads, before.waiting) == (4, 4)
    enriching.run()
    after = read_geo_coverage(connection)
    assert (after.with_city_percent, after.before_city_percent) == (100.0, 25.0)
    assert (after.with_state_percent, after.before_state_percent) == (75.0, 25.0)
    assert (after.with_zip_percent, after.before_zip_percent) == (75.0, 25.0)
    assert after.by_source == {"mmdb": 2, "session": 1, "user": 1}
    assert after.leads == 4
    # The one without an address is looked at again on its first day.
    assert after.waiting == 1


def test_a_correction_counts_as_the_persons_own_before_any_run_has_noted_it(
    leads: LeadTable, enriching: Enriching, connection: psycopg.Connection
) -> None:
    lead = leads.add(client_ip=IN_BERLIN)
    enriching.run()
    leads.connection.execute("update leads set city = 'Potsdam' where id = %s", (lead,))
    coverage = read_geo_coverage(connection)
    assert coverage.by_source == {"user": 1}
    assert (coverage.before_city_percent, coverage.before_state_percent) == (100.0, 0.0)


@pytest.mark.parametrize(
    ("places", "percent"),
    [
        ([{"city": "Miami", "state": "Florida"}, {"zip": "33130"}], 0.0),
        ([{"city": "Miami", "state": "Florida", "zip": "33130"}, {"zip": "33130"}], 50.0),
        ([{"city": "Miami", "state": "Florida", "zip": "N/A"}], 0.0),
    ],
)
def test_a_place_is_whole_where_one_lead_has_city_state_and_zip(
    leads: LeadTable, connection: psycopg.Connection, places: list[dict[str, str]], percent: float
) -> None:
    for place in places:
        leads.add(**place)
    assert read_geo_coverage(connection).complete_percent == percent


def test_without_leads_there_is_no_share(connection: psycopg.Connection) -> None:
    coverage = read_geo_coverage(connection)
    assert coverage.leads == 0
    assert coverage.complete_percent is None
    assert coverage.with_city_percent is None
    assert coverage.by_source == {}


def test_leads_that_wait_for_more_than_an_hour_are_told_apart(
    leads: LeadTable, connection: psycopg.Connection
) -> None:
    leads.add()
    lead = leads.add()
    leads.connection.execute(
        "update leads set created_at = now() - interval '2 hours' where id = %s", (lead,)
    )
    coverage = read_geo_coverage(connection)
    assert (coverage.waiting, coverage.waiting_for_hours) == (2, 1)
