"""The asset geo_coverage and its checks, as Dagster materializes them."""

from __future__ import annotations

from typing import Any

import dagster as dg
import psycopg
import pytest

from tracking_pipeline.defs.health.assets import tracking_health
from tracking_pipeline.defs.health.checks import (
    addresses_are_visitors,
    enrichment_keeps_up,
    leads_have_an_address,
)
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline_tests.geo.asking import addresses
from tracking_pipeline_tests.geo.lead_table import LeadTable

pytestmark = pytest.mark.usefixtures("served_database")


@pytest.fixture
def leads(connection: psycopg.Connection) -> LeadTable:
    return LeadTable(connection)


def materialize() -> tuple[dict[str, Any], dict[str, dg.AssetCheckEvaluation]]:
    """The metadata of the asset, and the checks by name."""
    result = dg.materialize(
        [tracking_health, leads_have_an_address, addresses_are_visitors, enrichment_keeps_up],
        selection=["geo_coverage"],
        resources={"tracking": TrackingResource()},
    )
    (materialization,) = result.asset_materializations_for_node("tracking_health")
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    return dict(materialization.metadata), checks


def test_every_share_is_a_number_of_its_own(leads: LeadTable) -> None:
    leads.add(city="Miami", state="Florida")
    leads.add(client_ip="8.8.8.8")
    metadata, _ = materialize()
    assert metadata["with_city_percent"] == dg.FloatMetadataValue(50.0)
    assert metadata["before_city_percent"] == dg.FloatMetadataValue(50.0)
    assert metadata["with_zip_percent"] == dg.FloatMetadataValue(0.0)
    assert metadata["leads"] == dg.IntMetadataValue(2)
    assert metadata["from_user"] == dg.IntMetadataValue(1)
    assert metadata["from_mmdb"] == dg.IntMetadataValue(0)


def test_without_leads_there_is_nothing_to_plot_and_nothing_wrong() -> None:
    metadata, checks = materialize()
    assert metadata["leads"] == dg.IntMetadataValue(0)
    assert "with_city_percent" not in metadata
    assert all(check.passed for check in checks.values())


def test_leads_from_everywhere_with_a_place_pass_every_check(leads: LeadTable) -> None:
    for address in addresses(30):
        leads.add(client_ip=address, geo_status="ok")
    _, checks = materialize()
    assert [name for name, check in checks.items() if not check.passed] == []
    assert len(checks) == 4


def test_a_servers_address_behind_the_leads_fails_the_check_and_is_masked(
    leads: LeadTable,
) -> None:
    leads.add_many(25, client_ip="81.2.69.160", geo_status="ok")
    _, checks = materialize()
    check = checks["addresses_are_visitors"]
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.ERROR
    (record,) = check.metadata["behind_many_leads"].records  # type: ignore[attr-defined]
    assert record.data["address"] == "81.2.69.0/24"
    assert "81.2.69.160" not in str(check.metadata)


def test_leads_without_an_address_fail_a_check(leads: LeadTable) -> None:
    leads.add_many(20, geo_status="no_data")
    _, checks = materialize()
    assert not checks["leads_have_an_address"].passed


def test_leads_that_wait_for_hours_fail_a_check_that_says_what_to_set(
    leads: LeadTable, connection: psycopg.Connection
) -> None:
    leads.add(client_ip="8.8.8.8")
    connection.execute("update leads set created_at = now() - interval '2 hours'")
    _, checks = materialize()
    check = checks["enrichment_keeps_up"]
    assert not check.passed
    assert check.metadata["ipinfo_not_configured"].value == "set IPINFO_TOKEN"
