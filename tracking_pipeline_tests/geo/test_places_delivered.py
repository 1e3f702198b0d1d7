"""What enrichment found goes out with the events of the lead."""

from __future__ import annotations

import hashlib
from pathlib import Path

import psycopg

from tracking_pipeline.geo.retention import apply_ip_retention
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, payload
from tracking_pipeline_tests.delivery.runs import Runs
from tracking_pipeline_tests.geo.databases import SAN_JOSE, write_database
from tracking_pipeline_tests.geo.enriching import Enriching, a_file
from tracking_pipeline_tests.geo.lead_table import LeadTable


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
