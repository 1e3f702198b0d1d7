from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest

from tracking_pipeline.delivery.destinations.linkedin.answers import classify
from tracking_pipeline.delivery.destinations.linkedin.capi import (
    LinkedInCapi,
    linkedin_request,
    version_end,
)
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck
from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Paused,
    PerEvent,
    Refused,
    Rejected,
    Retry,
    Uniform,
    Withheld,
)
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.http_client import Answer, http_client
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.claimed import NOW, claimed
from tracking_pipeline_tests.delivery.conformance import GOOD

TOKEN = "token-of-a-test"
RULES = {"Lead": "104012", "Purchase": "urn:lla:llaPartnerConversion:104013"}


def made(rules: dict[str, str] = RULES) -> LinkedInCapi:
    request = linkedin_request("https://api.linkedin.example", TOKEN, "202608")
    return LinkedInCapi(
        request, httpx.AsyncClient(), ReadingRules(), conversion_rules=rules, secrets=(TOKEN,)
    )


def form_of(payload: dict[str, Any]) -> dict[str, Any]:
    prepared = made().prepare(claimed({**GOOD, **payload}))
    assert isinstance(prepared, Prepared), prepared
    form: dict[str, Any] = orjson.loads(prepared.body)
    return form


def told(status: int, body: Any, events: int = 3) -> Any:
    answer = Answer(status, {}, orjson.dumps(body))
    return classify(answer, NOW, made().judge, events=events)


@pytest.mark.parametrize(
    ("name", "rule"),
    [("generate_lead", "104012"), ("Order Completed", "104013"), ("Purchase", "104013")],
)
def test_an_event_goes_to_the_rule_of_its_kind(name: str, rule: str) -> None:
    assert form_of({"event_name": name})["conversion"] == f"urn:lla:llaPartnerConversion:{rule}"


def test_an_event_without_a_rule_is_withheld() -> None:
    withheld = made().prepare(claimed({**GOOD, "event_name": "Search"}))

    assert isinstance(withheld, Withheld)
    assert withheld.fault.failure is Failure.EVENT_NOT_FOR_DESTINATION


@pytest.mark.parametrize(
    "refusal",
    [{"ad_personalization": "denied"}, {"opt_out": True}, {"Sec-GPC": "1"}],
)
def test_who_refused_personalisation_is_not_sent_where_it_cannot_be_told(
    refusal: dict[str, Any],
) -> None:
    withheld = made().prepare(claimed({**GOOD, **refusal}))

    assert isinstance(withheld, Withheld)
    assert withheld.reason == "consent denied"


def test_the_amount_is_text_and_a_long_id_is_known_by_its_hash() -> None:
    form = form_of({"value": 1e-7, "event_id": "x" * 65})

    assert form["conversionValue"] == {"currencyCode": "USD", "amount": "0.0000001"}
    assert len(form["eventId"]) == 64
    assert form["eventId"] == form_of({"event_id": "x" * 65})["eventId"]
    assert form_of({"event_id": "x" * 64})["eventId"] == "x" * 64


def test_names_go_together_or_not_at_all() -> None:
    assert "userInfo" not in form_of({})["user"]
    both = form_of({"last_name": "Roe", "country": "de"})["user"]["userInfo"]
    assert (both["lastName"], both["countryCode"]) == ("Roe", "DE")
    alone = {"event_name": "Lead", "first_name": "Jane"}
    refused = made().prepare(claimed(alone))
    assert isinstance(refused, Rejected)
    assert refused.fault.failure is Failure.EVENT_UNIDENTIFIED


def test_an_event_of_ninety_days_is_too_old() -> None:
    old = NOW - timedelta(days=90)
    prepared = made().prepare(claimed({**GOOD, "event_time": old.isoformat()}))

    assert not isinstance(prepared, Prepared)
    assert form_of({"event_time": (old + timedelta(days=1)).isoformat()})


def test_each_element_has_its_own_end() -> None:
    verdict = told(
        200,
        {
            "elements": [
                {"status": 201},
                {"status": 422, "error": {"status": 422, "message": "no such rule"}},
                {"status": 503},
            ]
        },
    )

    assert isinstance(verdict, PerEvent)
    first, second, third = verdict.outcomes
    assert first == Delivered(200)
    assert isinstance(second, Rejected)
    assert second.fault.message == "no such rule"
    assert isinstance(third, Retry)


@pytest.mark.parametrize("elements", [[], [{"status": 201}] * 2, [{}, {}, {}], "none"])
def test_an_answer_about_others_than_were_sent_is_not_believed(elements: Any) -> None:
    verdict = told(200, {"elements": elements})

    assert isinstance(verdict, Uniform)
    assert isinstance(verdict.outcome, Retry)


def test_the_lines_of_a_refusal_name_the_culprits() -> None:
    message = (
        "Index: 0, ERROR :: /conversionHappenedAt :: too old\n"
        "Index: 2, ERROR :: /user :: e-mail person@example.com is no hash\n"
    )

    verdict = told(422, {"status": 422, "message": message})

    assert isinstance(verdict, Refused)
    assert verdict.named.keys() == {0, 2}
    assert "person@example.com" not in str(verdict)


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (401, {"status": 401, "serviceErrorCode": 65601}, Failure.LINKEDIN_TOKEN_REFUSED),
        (401, {"status": 401, "code": "EXPIRED_ACCESS_TOKEN"}, Failure.LINKEDIN_TOKEN_REFUSED),
        (403, {"status": 403, "serviceErrorCode": 100}, Failure.LINKEDIN_PERMISSION_MISSING),
        (426, {"status": 426, "code": "NONEXISTENT_VERSION"}, Failure.LINKEDIN_VERSION_ENDED),
    ],
)
def test_a_fault_of_the_call_pauses(status: int, body: Any, failure: Failure) -> None:
    verdict = told(status, body)

    assert isinstance(verdict, Uniform)
    assert isinstance(verdict.outcome, Paused)
    assert verdict.outcome.fault.failure is failure


@pytest.mark.parametrize(
    ("version", "ends"),
    [("202608", "2027-08-17"), ("202511", "2026-11-16"), ("202612", "2027-12-15"), ("", None)],
)
def test_a_version_lives_about_a_year(version: str, ends: str | None) -> None:
    end = version_end(version)
    assert (end.date().isoformat() if end else None) == ends


@pytest.mark.parametrize(
    ("options", "state", "word"),
    [
        ({}, "ok", "LINKEDIN_AD_ACCOUNT_ID"),
        ({"ad_account_id": "5"}, "ok", "knows the conversion rules"),
        ({"ad_account_id": "5", "rule": "999"}, "refused", "999"),
        ({"version": "202510"}, "refused", "202510"),
        ({"version": "202510", "ad_account_id": "5"}, "refused", "202510"),
    ],
)
def test_the_probe_reads_the_rules_and_sends_nothing(
    options: dict[str, str], state: str, word: str
) -> None:
    version = options.get("version", "202608")

    async def check(url: str) -> DestinationCheck:
        async with http_client(max_connections=1) as client:
            destination = LinkedInCapi(
                linkedin_request(url, TOKEN, version),
                client,
                ReadingRules(),
                conversion_rules={"*": options.get("rule", "104012")},
                secrets=(TOKEN,),
                ad_account_id=options.get("ad_account_id"),
                api_version=version,
            )
            return await destination.check(NOW)

    with Sandbox() as sandbox:
        found = asyncio.run(check(sandbox.address_of("linkedin_capi")))
        assert sandbox.memory.accepted_ids == set()

    assert (found.state, word in found.detail) == (state, True), found
    assert found.endings.keys() == {f"LINKEDIN_API_VERSION {version}"}
