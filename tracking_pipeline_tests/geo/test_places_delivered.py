"""What enrichment found goes out with the events of the lead."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tracking_pipeline.geo.retention import apply_ip_retention
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, payload
from tracking_pipeline_tests.delivery.runs import Runs
from tracking_pipeline_tests.geo.databases import SAN_JOSE, write_database
from tracking_pipeline_tests.geo.enriching import Enriching, a_file
from tracking_pipeline_tests.geo.lead_table import LeadTable

PLACES = ("ct", "st", "zp", "country")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_found_place_is_sent_with_its_states_code_and_a_cut_address_is_not(
    leads: LeadTable,
    connection: psycopg.Connection,
    database_url: str,
    sandbox: Sandbox,
    tmp_path: Path,
) -> None:
    file = write_database(tmp_path / "places.mmdb", {"81.2.69.0/24": SAN_JOSE})
    lead = leads.add(client_ip="81.2.69.7", created_at="2026-01-01")
    Enriching(database_url, a_file(file)).run()
    apply_ip_retention(database_url, 30, "truncate")
    row = Queue(connection).add_one(lead_id=lead, event_payload=payload())
    totals = Runs(database_url, sandbox).run()
    (event,) = sandbox.memory.events(row.sent_as)
    sent = event["user_data"]
    assert (sent["ct"], sent["st"]) == (sha256("sanjose"), sha256("ca"))
    assert sent["country"] == sha256("us")
    assert "zp" not in sent
    assert "client_ip_address" not in sent
    assert totals.dropped == {}


@pytest.mark.parametrize(
    "said", [{"is_hosting": True}, {"privacy": {"relay": True}}, {"traits": {"is_anonymous": True}}]
)
def test_the_place_of_a_host_is_noted_and_not_sent_but_what_the_person_said_is(
    leads: LeadTable,
    database_url: str,
    sandbox: Sandbox,
    tmp_path: Path,
    said: dict[str, Any],
) -> None:
    file = write_database(tmp_path / "places.mmdb", {"81.2.69.0/24": {**SAN_JOSE, **said}})
    lead = leads.add(client_ip="81.2.69.7", session_data={"state": "Texas"})
    corrected = leads.add(client_ip="81.2.69.8", zip="95013")
    Enriching(database_url, a_file(file)).run()
    leads.connection.execute("update leads set city = 'Oslo' where id = %s", (corrected,))
    fields = {name: each.get("hosting") for name, each in leads.row(lead)["geo_fields"].items()}
    assert fields == {"city": True, "country": True, "state": None}
    queue = Queue(leads.connection)
    rows = [queue.add_one(lead_id=each, event_payload=payload()) for each in (lead, corrected)]
    Runs(database_url, sandbox).run()
    sent = [sandbox.memory.events(row.sent_as)[0]["user_data"] for row in rows]
    places = [{key: keys[key] for key in PLACES if key in keys} for keys in sent]
    assert places == [{"st": sha256("tx")}, {"ct": sha256("oslo"), "zp": sha256("95013")}]
