"""From log-event to the destinations: what was posted arrives, as if it had been sent itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
import psycopg
import pytest

from tracking_pipeline.delivery.destinations.google.credentials import AccessToken
from tracking_pipeline.delivery.destinations.google.enhanced_conversions import (
    GoogleAccount,
    GoogleEc,
)
from tracking_pipeline.delivery.destinations.gtm.server import GtmContainer, GtmServer
from tracking_pipeline.delivery.destinations.meta.account import MetaAccount
from tracking_pipeline.delivery.destinations.meta.capi import MetaCapi
from tracking_pipeline.delivery.engine.destination import Destination
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared
from tracking_pipeline.delivery.engine.outcomes import Rejected
from tracking_pipeline.identity import match_keys
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.match_key_rollup import ConversionRule
from tracking_pipeline.web.intake.events import IntakeRules, Sender, read_event
from tracking_pipeline.wiring.health import USUAL_CONVERSION_NAMES
from tracking_pipeline_tests.delivery.failed_event_queue import Queue
from tracking_pipeline_tests.delivery.runs import Runs
from tracking_pipeline_tests.web.intake_site import ADDRESS, AGENT, Site, site

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
RULES = IntakeRules(
    "US", ("meta_capi", "google_ec", "gtm_server"), ConversionRule(USUAL_CONVERSION_NAMES)
)
PERSON = {
    "email": "Emily.Stone+news@gmail.com",
    "phone": "(415) 555-2671",
    "first_name": "Emily",
    "last_name": "O'Stone",
    "external_id": "customer-77",
}
ORDER = {"value": 49.9, "currency": "USD", "order_id": "A-4711"}
AROUND = {
    "event_time": "2026-11-24T11:00:00Z",
    "event_source_url": "https://www.example.com/thanks?utm_source=x",
    "client_ip_address": ADDRESS,
    "client_user_agent": AGENT,
    "gclid": "Cj0KCQ-example",
    "fbp": "fb.1.1700000000000.1234567890",
    "fbc": "fb.1.1700000000000.IwAR2F4-dbP0l7Mn1IawQQGCINEz7PYXQvwjNwB_qa2ofrHyiLjcbCRxTDMgk",
    "client_id": "1234567890.1700000000",
}
FLAT = {"event_name": "Lead", "event_id": "ev-1", **PERSON, **ORDER, **AROUND}
META = {
    "event_name": "Purchase",
    "event_id": "ev-1",
    "event_time": 1_795_000_000,
    "action_source": "website",
    "event_source_url": "https://www.example.com/thanks",
    "user_data": {
        "em": ["Emily.Stone@example.com", "e.stone@example.com"],
        "ph": "+49 151 23456789",
        "country": "DE",
        "client_ip_address": ADDRESS,
        "client_user_agent": AGENT,
        "fbp": AROUND["fbp"],
        "subscription_id": "sub-1",
    },
    "custom_data": {
        **ORDER,
        "content_ids": ["sku-1"],
        "contents": [{"id": "sku-1", "quantity": 1}],
    },
    "data_processing_options": [],
}
LEDGER = {
    "event_name": "booking_confirmed",
    "event_id": str(UUID(int=7)),
    "event_type": "conversion",
    "page_path": "https://www.example.com/book",
    "gclid": AROUND["gclid"],
    "client_id": AROUND["client_id"],
    "metadata": {**ORDER, "event_time": "2026-11-24T11:00:00Z"},
    "user_data": {**PERSON, "country": "US", "client_user_agent": AGENT},
}


@pytest.fixture(scope="module")
def destinations() -> list[Destination]:
    """The three as they prepare events; nothing is sent."""
    client: Any = httpx.AsyncClient()
    return [
        MetaCapi(MetaAccount("1", "token"), client),
        GoogleEc(GoogleAccount("1", "2"), AccessToken("token"), client, None),
        GtmServer(GtmContainer("https://gtm.example.com"), client),
    ]


@pytest.mark.parametrize(
    "payload",
    [FLAT, META, LEDGER, {**FLAT, "event_time": "1795000000"}],
    ids=["flat", "Meta's", "the ledger's", "a time like a phone number"],
)
def test_a_destination_gets_of_a_handed_over_event_what_it_would_of_the_event_itself(
    destinations: list[Destination], payload: dict[str, Any]
) -> None:
    handed_over = _handed_over(payload)

    for destination in destinations:
        direct, later = (destination.prepare(_claimed(each)) for each in (payload, handed_over))
        assert isinstance(direct, Prepared)
        assert isinstance(later, Prepared)
        assert _comparable(later, destination) == _comparable(direct, destination)


@pytest.mark.parametrize(
    "fields",
    [
        {"cookies": {"OptanonConsent": "xx"}},
        {"cookies": "OptanonConsent=xx; sid=1"},
        {"x_cookies": {"CookieConsent": "xx"}},
        {"cookies": {"OptanonConsent": "xx"}, "consent_state": {"ad_storage": "granted"}},
    ],
)
def test_a_statement_that_nobody_can_read_is_handed_over_as_one(
    destinations: list[Destination], fields: dict[str, Any]
) -> None:
    handed_over = _handed_over({**FLAT, **fields})

    for destination in destinations:
        for payload in ({**FLAT, **fields}, handed_over):
            refused = destination.prepare(_claimed(payload))
            assert isinstance(refused, Rejected)
            assert "consent" in refused.reason


@pytest.mark.parametrize(
    "payload",
    [
        {**FLAT, "gclid": None, "headers": {"cookie": "_gcl_aw=GCL.1700000000.CjwKCAexample"}},
        {**FLAT, "gclid": None, "cookies": {"_gcl_gb": "GCL.1700000000.CjwKCAexample"}},
        {
            "event": {**FLAT, "gclid": None},
            "landing_page": "https://www.example.com/?gclid=CjwKCAexample",
        },
        {
            **FLAT,
            "consent_state": {"ad_user_data": "granted"},
            "cookies": {"OptanonConsent": "groups=C0001:1,C0004:1"},
        },
    ],
    ids=["a header's cookie", "a cookie", "the address around", "consent in two places"],
)
def test_google_gets_of_a_handed_over_event_what_it_would_of_the_event_itself(
    destinations: list[Destination], payload: dict[str, Any]
) -> None:
    google = destinations[1]
    direct, later = (google.prepare(_claimed(each)) for each in (payload, _handed_over(payload)))

    assert isinstance(direct, Prepared)
    assert isinstance(later, Prepared)
    assert later.body == direct.body


def _handed_over(payload: Any) -> Any:
    event = read_event(payload, Sender(), RULES, NOW)
    assert event.hand_over is not None
    return orjson.loads(event.hand_over)["event_payload"]


def _comparable(prepared: Prepared, destination: Destination) -> Any:
    """What a request carries. A container of the site's own gets clear text from whoever has it,
    and the hashes of it else."""
    body = orjson.loads(prepared.body)
    if destination.name == "gtm_server":
        body["user_data"] = match_keys({"user_data": body["user_data"]}, "google")
        body.pop("event_time", None)
    return body


def _claimed(payload: Any) -> FailedEvent:
    return FailedEvent(
        id=UUID(int=1),
        event_id=UUID(int=2),
        event_name="Lead",
        event_type="conversion",
        payload=payload,
        user_data=None,
        lead_id=None,
        session_id=None,
        retry_count=0,
        max_retries=5,
        created_at=NOW,
        now=NOW,
        lease_token=1,
    )


@pytest.fixture
def ours(connection: psycopg.Connection, database_url: str) -> Iterator[Site]:
    with site(connection, database_url, log_event_forward_to=("meta_capi",)) as running:
        yield running


def test_what_is_posted_reaches_its_destination_in_the_next_run(
    ours: Site, connection: psycopg.Connection, database_url: str, sandbox: Sandbox
) -> None:
    ids = [str(uuid4()) for _ in range(20)]
    for event_id in ids:
        event = {"event_name": "Lead", "event_id": event_id, **PERSON}
        assert ours.log_event(event).json()["forwarded_to"] == ["meta_capi"]

    totals = Runs(database_url, sandbox).run()

    assert totals.total("accepted_delivered") == 20
    assert sandbox.memory.accepted_ids == set(ids)
    assert sandbox.memory.violations == []
    queue = Queue(connection)
    assert queue.accepted() == {}
    assert queue.statuses() == {}
