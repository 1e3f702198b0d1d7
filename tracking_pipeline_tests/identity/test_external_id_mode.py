"""`EXTERNAL_ID`: the site's pixel and the server have to send the same text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import pytest

from tracking_pipeline.delivery.engine.retry import RetryRequest, retry_failed_events
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.identity import match_keys, sanitize
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.settings import read_settings
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.wiring.destinations import Made, configured_destinations
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, payload


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def sent_to_meta(database_url: str, sandbox: Sandbox, queue: Queue, **fields: Any) -> Any:
    """Drain one event as the settings have it; give the `external_id` that Meta received."""
    row = queue.add_one(event_payload=payload(**fields))

    def make(client: DeliveryClient, pool: AsyncPool) -> Sequence[Made]:
        return configured_destinations(read_settings(), client, pool)

    totals = asyncio.run(retry_failed_events(database_url, make, RetryRequest(), run_id="a-run"))

    assert totals.total("resolved") == 1
    (event,) = sandbox.memory.events(row.sent_as)
    return event["user_data"]["external_id"]


@pytest.fixture(autouse=True)
def _meta_is_the_sandbox(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    monkeypatch.setenv("META_DATASET_ID", "1234567890")
    monkeypatch.setenv("META_ACCESS_TOKEN", "token-of-a-test")
    monkeypatch.setenv("META_GRAPH_URL", sandbox.meta_url)


def test_an_external_id_is_hashed_when_nothing_is_set(
    database_url: str, sandbox: Sandbox, queue: Queue
) -> None:
    found = sent_to_meta(database_url, sandbox, queue, external_id=" User-42")
    assert found == hashed("user-42")


def test_an_external_id_is_sent_as_the_pixel_sends_it_when_it_is_set_so(
    database_url: str, sandbox: Sandbox, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTERNAL_ID", "raw")
    found = sent_to_meta(database_url, sandbox, queue, external_id=" User-42")
    assert found == "User-42"
    assert not sandbox.memory.violations


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (42, "42"),
        (" Us Er ", "Us Er"),
        (hashed("user-42"), hashed("user-42")),
        (["A-1", "a-1"], ["A-1", "a-1"]),
        ("Jane@Example.com", hashed("jane@example.com")),
        ("+1 650 555 1212", hashed("+16505551212")),
    ],
)
def test_a_raw_id_keeps_its_spelling_but_no_address_leaves_in_the_clear(
    given: object, sent: object
) -> None:
    assert match_keys({"external_id": given}, external_id="raw") == {"external_id": sent}


@pytest.mark.parametrize("given", ["0", "guest", "null", hashed(""), "x" * 3000, None])
def test_the_id_of_nobody_is_left_out_in_either_mode(given: object) -> None:
    assert match_keys({"external_id": given}, external_id="raw") == {}
    assert match_keys({"external_id": given}) == {}


def test_no_other_key_changes_with_the_mode_of_the_external_id() -> None:
    person = {"email": "jane@example.com", "phone": "(650) 555-1212", "city": "Miami"}
    for platform in ("meta", "google"):
        assert match_keys(person, platform, external_id="raw") == match_keys(person, platform)


def test_google_gets_no_external_id_in_any_mode() -> None:
    assert match_keys({"external_id": "user-42"}, "google", external_id="raw") == {}


def test_what_is_stored_holds_no_raw_external_id_in_any_mode() -> None:
    assert sanitize({"external_id": "user-42"}) == {}
