from __future__ import annotations

import asyncio
from typing import Any

import httpx
import orjson
import pytest

from tracking_pipeline.delivery.destinations.microsoft.answers import classify
from tracking_pipeline.delivery.destinations.microsoft.uet import MicrosoftUet, microsoft_request
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck
from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import Delivered, PerEvent, Refused, Rejected
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.events.policy import ReadingPolicy
from tracking_pipeline.http_client import Answer, http_client
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.claimed import NOW, claimed
from tracking_pipeline_tests.delivery.conformance import GOOD, MICROSOFT, Front, HttpStand
from tracking_pipeline_tests.delivery.failed_event_queue import Queue

TOKEN = "token-of-a-test"


def made(policy: ReadingPolicy | None = None) -> MicrosoftUet:
    request = microsoft_request("https://capi.example", "12345", TOKEN)
    rules = ReadingRules(policy or ReadingPolicy())
    names = {"Lead": "submit_lead_form"}
    return MicrosoftUet(request, httpx.AsyncClient(), rules, secrets=(TOKEN,), names=names)


def form_of(payload: dict[str, Any], policy: ReadingPolicy | None = None) -> dict[str, Any]:
    prepared = made(policy).prepare(claimed({**GOOD, **payload}))
    assert isinstance(prepared, Prepared), prepared
    form: dict[str, Any] = orjson.loads(prepared.body)
    return form


SILENCE_IS_A_GRANT = ReadingPolicy(consent_default="granted")


@pytest.mark.parametrize(
    ("said", "policy", "consent"),
    [
        ({"ad_storage": "granted", "ad_user_data": "granted"}, None, "G"),
        ({}, None, "D"),
        ({}, SILENCE_IS_A_GRANT, "G"),
        ({"ad_personalization": "denied", "ad_storage": "granted"}, None, "D"),
        ({"Sec-GPC": "1"}, SILENCE_IS_A_GRANT, "D"),
    ],
)
def test_consent_is_called_granted_only_where_somebody_said_so(
    said: dict[str, Any], policy: ReadingPolicy | None, consent: str
) -> None:
    assert form_of(said, policy)["adStorageConsent"] == consent


@pytest.mark.parametrize(
    ("name", "kind", "sent_as"),
    [
        ("Lead", "custom", "submit_lead_form"),
        ("lead_captured", "custom", "submit_lead_form"),
        ("page_view", "pageLoad", "page_view"),
        ("Quote asked", "custom", "Quote asked"),
    ],
)
def test_an_event_has_the_sites_name_or_the_operators(name: str, kind: str, sent_as: str) -> None:
    form = form_of({"event_name": name})
    assert (form["eventType"], form["eventName"]) == (kind, sent_as)


def test_the_click_and_the_browser_come_from_microsofts_cookies() -> None:
    user = form_of({"_uetmsclkid": "_uetabc123", "_uetvid": "visitor-1"})["userData"]
    assert (user["msclkid"], user["anonymousId"]) == ("abc123", "visitor-1")


def test_refused_events_and_warnings_are_told_by_position_and_no_value_is_kept() -> None:
    details = [
        _detail(1, "userData.em", "is no hash", warning=False),
        _detail(2, "customData.value", "was rounded", warning=True),
        _detail(99, "eventTime", "of nobody", warning=False),
    ]
    body = {"eventsReceived": 2, "error": {"details": details}, "traceId": "trace-1"}

    verdict = classify(Answer(200, {}, orjson.dumps(body)), NOW, made().judge, events=3)

    assert isinstance(verdict, PerEvent)
    first, second, third = verdict.outcomes
    assert first == Delivered(200)
    assert isinstance(second, Rejected)
    assert (second.fault.message, second.fault.fields, second.fault.trace_id) == (
        "is no hash",
        "userData.em",
        "trace-1",
    )
    assert third == Delivered(200, warnings=("customData.value",))
    assert "person@example.com" not in str(verdict)


def test_a_refused_request_names_its_culprits_and_no_warning_is_one() -> None:
    details = [
        _detail(0, "eventTime", "too old", warning=False),
        _detail(1, "customData", "odd", warning=True),
    ]
    body = {"error": {"message": "Bad request", "details": details}}

    verdict = classify(Answer(400, {}, orjson.dumps(body)), NOW, made().judge, events=2)

    assert isinstance(verdict, Refused)
    assert verdict.named.keys() == {0}


def _detail(index: int, name: str, message: str, *, warning: bool) -> dict[str, Any]:
    return {
        "index": index,
        "propertyName": name,
        "attemptedValue": "person@example.com",
        "errorMessage": message,
        "errorCode": "code",
        "isWarning": warning,
    }


def test_the_good_events_of_a_request_are_taken_with_it(queue: Queue, database_url: str) -> None:
    rows = queue.add(5, destination="microsoft_uet", event_payload=GOOD)
    with Sandbox() as sandbox, Front(sandbox.port) as front:
        stand = HttpStand(MICROSOFT, database_url, sandbox, front)
        stand.refuse(rows[2])
        totals = stand.run().by_destination["microsoft_uet"]

    assert (totals.resolved, totals.dead_lettered, totals.requests) == (4, 1, 1)
    assert queue.row(rows[2])["failure_code"] == Failure.MICROSOFT_EVENT_REFUSED.code


@pytest.mark.parametrize(("tag", "state"), [("12345", "ok"), ("none", "refused")])
def test_the_probe_sends_no_event(tag: str, state: str) -> None:
    async def check(url: str) -> DestinationCheck:
        async with http_client(max_connections=1) as client:
            request = microsoft_request(url, tag, TOKEN)
            return await MicrosoftUet(request, client, ReadingRules(), secrets=(TOKEN,)).check(NOW)

    with Sandbox() as sandbox:
        found = asyncio.run(check(sandbox.address_of("microsoft_uet")))

    assert found.state == state, found
