"""The stand-in for Google keeps Google's rules, and those that are this project's own."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import httpx
import pytest

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.sandbox.stage import RandomFaults

Event = dict[str, Any]
EMAIL = sha256(b"emily@example.com").hexdigest()
ADDRESS = {
    "givenName": sha256(b"emily").hexdigest(),
    "familyName": sha256(b"roe").hexdigest(),
    "regionCode": "US",
    "postalCode": "94035",
}


def _timestamp(age: timedelta = timedelta(hours=1)) -> str:
    moment = datetime.now(timezone.utc) - age
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _event(transaction_id: str = "order-1", **changes: Any) -> Event:
    """An event that Google takes; a change to None leaves a field out."""
    event = {
        "destinationReferences": ["d1"],
        "transactionId": transaction_id,
        "eventTimestamp": _timestamp(),
        "eventSource": "WEB",
        "currency": "USD",
        "conversionValue": 19.9,
        "userData": {"userIdentifiers": [{"emailAddress": EMAIL}, {"address": ADDRESS}]},
        "consent": {"adUserData": "CONSENT_GRANTED"},
        **changes,
    }
    return {name: value for name, value in event.items() if value is not None}


class Google:
    """A sender to one stand-in that knows nothing of this project's own delivery."""

    def __init__(self, client: httpx.Client, sandbox: Sandbox) -> None:
        self._client = client
        self._url = sandbox.google_url
        self.headers = {"Authorization": "Bearer token"}

    def ingest(self, *events: Any, **fields: Any) -> httpx.Response:
        body = {
            "destinations": [
                {
                    "reference": "d1",
                    "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": "1234567890"},
                    "productDestinationId": "987654321",
                }
            ],
            "encoding": "HEX",
            "events": list(events),
            **fields,
        }
        url = f"{self._url}/v1/events:ingest"
        return self._client.post(url, json=body, headers=self.headers, timeout=10)

    def ids(self, *transaction_ids: str) -> httpx.Response:
        """Post a good event for each id, as one batch."""
        return self.ingest(*map(_event, transaction_ids))

    def status(self, request_id: str) -> dict[str, Any]:
        url = f"{self._url}/v1/requestStatus:retrieve"
        answer = self._client.get(url, params={"requestId": request_id}, headers=self.headers)
        assert answer.status_code == 200, answer.text
        (status,) = answer.json()["requestStatusPerDestination"]
        assert isinstance(status, dict)
        return status

    def url(self, path: str) -> str:
        return self._url + path

    def behave(self, **changes: Any) -> httpx.Response:
        return self._client.post(f"{self._url}/_behaviour", json=changes)


@pytest.fixture
def google(http: httpx.Client, sandbox: Sandbox) -> Google:
    return Google(http, sandbox)


def _violations(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["status"] == "INVALID_ARGUMENT"
    (listed,) = [each for each in error["details"] if "fieldViolations" in each]
    return [(each["field"], each["reason"]) for each in listed["fieldViolations"]]


def test_a_good_batch_is_accepted_under_an_id(google: Google, sandbox: Sandbox) -> None:
    answer = google.ids("a", "b")

    assert answer.status_code == 200
    assert answer.json().keys() == {"requestId"}
    assert sandbox.memory.accepted_ids == {"a", "b"}
    assert sandbox.memory.violations == []


def test_one_bad_event_refuses_the_batch_and_is_named(google: Google, sandbox: Sandbox) -> None:
    answer = google.ingest(_event("a"), _event("b", currency="dollars"), _event("c"))

    assert _violations(answer) == [("events[1].currency", "INVALID_CURRENCY_CODE")]
    assert sandbox.memory.accepted_ids == set()


def test_the_names_of_culprits_can_be_withheld(google: Google) -> None:
    google.behave(name_culprits=False)

    answer = google.ingest(_event("a"), _event("b", currency="dollars"))

    assert _violations(answer) == [("events.currency", "INVALID_CURRENCY_CODE")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"eventTimestamp": None}, "REQUIRED_FIELD_MISSING"),
        ({"eventTimestamp": 1_790_000_000}, "EVENT_TIME_INVALID"),
        ({"eventTimestamp": "2026-11-20 10:00"}, "EVENT_TIME_INVALID"),
        ({"eventTimestamp": "2026-02-30T10:00:00Z"}, "EVENT_TIME_INVALID"),
        ({"eventTimestamp": _timestamp(timedelta(days=91))}, "EVENT_TIME_INVALID"),
        ({"eventTimestamp": _timestamp(timedelta(hours=-1))}, "EVENT_TIME_INVALID"),
        ({"eventSource": None}, "REQUIRED_FIELD_MISSING"),
        ({"eventSource": "website"}, "INVALID_FORMAT"),
        ({"transactionId": None}, "REQUIRED_FIELD_MISSING"),
        ({"transactionId": 7}, "INVALID_FORMAT"),
        ({"conversionValue": "19.9"}, "INVALID_FORMAT"),
        ({"consent": {"adUserData": "GRANTED"}}, "INVALID_FORMAT"),
        ({"adIdentifiers": {"gclid": ""}}, "INVALID_FORMAT"),
        ({"userData": None}, "NO_IDENTIFIERS_PROVIDED"),
        ({"userData": {"userIdentifiers": []}}, "REQUIRED_FIELD_MISSING"),
        (
            {"userData": {"userIdentifiers": [{"emailAddress": EMAIL}] * 11}},
            "TOO_MANY_USER_IDENTIFIERS",
        ),
        (
            {"userData": {"userIdentifiers": [{"emailAddress": EMAIL, "phoneNumber": EMAIL}]}},
            "INVALID_FORMAT",
        ),
        (
            {"userData": {"userIdentifiers": [{"phoneNumber": EMAIL[:-1]}]}},
            "INVALID_SHA256_FORMAT",
        ),
        (
            {"userData": {"userIdentifiers": [{"address": {**ADDRESS, "regionCode": "us"}}]}},
            "INVALID_REGION_CODE",
        ),
        (
            {"userData": {"userIdentifiers": [{"address": {**ADDRESS, "postalCode": EMAIL}}]}},
            "INVALID_POSTAL_CODE",
        ),
        ({"destinationReferences": ["d2"]}, "INVALID_DESTINATION_REFERENCE"),
        ({"eventName": "Lead"}, "INVALID_FORMAT"),
    ],
)
def test_what_google_refuses_is_refused(
    google: Google, changes: dict[str, Any], reason: str
) -> None:
    assert reason in [found for _, found in _violations(google.ingest(_event(**changes)))]


def test_an_address_needs_all_of_its_parts(google: Google) -> None:
    for part in ADDRESS:
        address = {name: value for name, value in ADDRESS.items() if name != part}
        answer = google.ingest(_event(userData={"userIdentifiers": [{"address": address}]}))
        assert _violations(answer)[0][1] == "REQUIRED_FIELD_MISSING"


@pytest.mark.parametrize(
    "fields",
    [
        {"destinations": []},
        {"destinations": [{"operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": "1-2"}}]},
        {"encoding": None},
        {"events": []},
        {"events": "all"},
        {"access_token": "token"},
    ],
)
def test_a_request_that_is_wrong_as_a_whole_names_no_event(
    google: Google, fields: dict[str, Any]
) -> None:
    found = _violations(google.ingest(_event(), **fields))

    assert found
    assert not any("events[" in field for field, _ in found)


def test_two_thousand_events_are_taken_and_one_more_is_too_many(
    google: Google, sandbox: Sandbox
) -> None:
    assert google.ids(*(f"a{number}" for number in range(2000))).status_code == 200
    assert google.ids(*(f"b{number}" for number in range(2001))).status_code == 400
    assert [violation.kind for violation in sandbox.memory.violations] == ["too_many_events"]


def test_raw_personal_data_is_remembered_without_the_value(
    google: Google, sandbox: Sandbox
) -> None:
    raw = {"userIdentifiers": [{"emailAddress": "emily@example.com"}]}

    answer = google.ingest(_event("a", userData=raw), _event("emily@example.com"))

    assert answer.status_code == 400
    assert "emily" not in answer.text
    assert [(each.kind, each.what) for each in sandbox.memory.violations] == [
        ("raw_personal_data", "userData.emailAddress"),
        ("raw_personal_data", "transactionId"),
    ]


@pytest.mark.parametrize("header", [{}, {"Authorization": "Basic token"}, {"X": "Bearer token"}])
def test_a_request_without_a_bearer_token_is_not_let_in(
    google: Google, header: dict[str, str]
) -> None:
    google.headers = header
    answer = google.ids("a")

    assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


def test_only_the_named_tokens_are_let_in_when_some_are_named(google: Google) -> None:
    google.behave(tokens=["another"])
    assert google.ids("a").status_code == 401
    google.headers = {"Authorization": "Bearer another"}
    assert google.ids("a").status_code == 200


def test_a_token_in_the_url_is_refused_and_remembered_without_the_token(
    google: Google, http: httpx.Client, sandbox: Sandbox
) -> None:
    url = google.url("/v1/events:ingest?access_token=sesame")
    assert http.post(url, json={}, headers=google.headers).status_code == 401
    [violation] = sandbox.memory.violations
    assert violation.kind == "token_in_url"
    assert "sesame" not in repr(violation)


def test_the_rate_of_a_minute_is_kept_and_can_be_lifted(google: Google) -> None:
    google.behave(requests_per_minute=2)
    statuses = [google.ids("a").status_code for _ in range(2)]
    limited = google.ids("a")
    google.behave(requests_per_minute=None)

    assert statuses == [200, 200]
    assert limited.status_code == 429
    details = limited.json()["error"]["details"]
    assert details[0]["metadata"]["quota_limit"] == "IngestRequestsPerMinutePerProject"
    assert {"retryDelay": "60s"}.items() <= details[1].items()
    assert google.ids("a").status_code == 200


def test_a_behaviour_that_does_not_exist_is_refused(google: Google) -> None:
    assert google.behave(mood="bad").status_code == 400


def test_an_accepted_request_is_processing_until_told_otherwise(google: Google) -> None:
    request_id = google.ids("a", "b").json()["requestId"]
    assert google.status(request_id)["requestStatus"] == "PROCESSING"

    google.behave(processing=False)

    status = google.status(request_id)
    assert status["requestStatus"] == "SUCCESS"
    assert status["eventsIngestionStatus"] == {"recordCount": "2"}
    assert "errorInfo" not in status


def test_some_or_all_events_may_fail_after_they_were_accepted(google: Google) -> None:
    some = google.ids("a", "b", "c").json()["requestId"]
    all_of_them = google.ids("d").json()["requestId"]
    google.behave(processing=False, refused_later={"b": "EVENT_TOO_OLD", "d": "NO_CONSENT"})

    partial, failed = google.status(some), google.status(all_of_them)

    assert partial["requestStatus"] == "PARTIAL_SUCCESS"
    assert partial["errorInfo"]["errorCounts"] == [
        {"recordCount": "1", "reason": "PROCESSING_ERROR_REASON_EVENT_TOO_OLD"}
    ]
    assert failed["requestStatus"] == "FAILED"
    assert "b" not in partial["errorInfo"]


def test_an_id_that_google_has_already_is_a_duplicate(google: Google) -> None:
    google.behave(processing=False)
    first = google.ids("a").json()["requestId"]
    second = google.ids("a", "b").json()["requestId"]

    assert google.status(first)["requestStatus"] == "SUCCESS"
    status = google.status(second)
    assert status["requestStatus"] == "PARTIAL_SUCCESS"
    assert status["errorInfo"]["errorCounts"] == [
        {"recordCount": "1", "reason": "PROCESSING_ERROR_REASON_DUPLICATE_TRANSACTION_ID"}
    ]


def test_the_status_of_an_unknown_request_is_not_found(google: Google, http: httpx.Client) -> None:
    url = google.url("/v1/requestStatus:retrieve?requestId=nobodys")
    answer = http.get(url, headers=google.headers)

    assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("step", "status", "name"),
    [
        (400, 400, "INVALID_ARGUMENT"),
        (401, 401, "UNAUTHENTICATED"),
        (403, 403, "PERMISSION_DENIED"),
        (429, 429, "RESOURCE_EXHAUSTED"),
        (500, 500, "INTERNAL"),
        (503, 503, "UNAVAILABLE"),
        ({"status": 403, "message": "NOT_ALLOWLISTED"}, 403, "PERMISSION_DENIED"),
    ],
)
def test_a_scripted_error_has_a_body_like_googles(
    google: Google, sandbox: Sandbox, step: Any, status: int, name: str
) -> None:
    sandbox.scripts.set("a", [step])

    error = google.ids("a").json()["error"]

    assert (error["code"], error["status"]) == (status, name)
    if isinstance(step, dict):
        assert error["details"][0]["reason"] == step["message"]
    assert google.ids("a").status_code == 200


def test_all_that_scripts_refuse_are_named_at_once(google: Google, sandbox: Sandbox) -> None:
    sandbox.scripts.update({"b": ["bad"], "d": ["bad"]})

    found = _violations(google.ids("a", "b", "c", "d"))

    assert [field for field, _ in found] == ["events[1]", "events[3]"]


def test_the_lot_names_those_that_it_refuses(http: httpx.Client) -> None:
    with Sandbox(random_faults=RandomFaults(1, share_rejected=0.5)) as sandbox:
        google = Google(http, sandbox)
        ids = [f"order-{number}" for number in range(20)]
        refused = {ids[int(field[7:-1])] for field, _ in _violations(google.ids(*ids))}
        rest = [each for each in ids if each not in refused]

        assert 0 < len(refused) < 20
        assert google.ids(*rest).status_code == 200


def test_a_late_reset_leaves_events_behind_that_come_again_as_duplicates(
    google: Google, sandbox: Sandbox
) -> None:
    sandbox.scripts.set("a", ["late_reset"])
    with pytest.raises(httpx.ReadError):
        google.ids("a")
    google.behave(processing=False)

    again = google.ids("a").json()["requestId"]

    assert google.status(again)["requestStatus"] == "FAILED"
    assert sandbox.memory.accepted("a") == 2


def test_a_request_while_told_to_wait_is_remembered(google: Google, sandbox: Sandbox) -> None:
    sandbox.scripts.set("a", [{"status": 429, "retry_after": "30"}])
    assert google.ids("a").headers["Retry-After"] == "30"
    deadline = time.monotonic() + 10
    while not sandbox.memory.violations and time.monotonic() < deadline:
        google.ids("b")
    assert sandbox.memory.violations[0].kind == "request_while_told_to_wait"


def test_a_token_is_given_for_an_assertion_or_a_refresh_token(
    google: Google, http: httpx.Client
) -> None:
    url = google.url("/token")
    asked = {"grant_type": "refresh_token", "refresh_token": "kept"}

    first, second = http.post(url, data=asked).json(), http.post(url, data=asked).json()

    assert first["access_token"] != second["access_token"]
    assert http.post(url, data={"grant_type": "refresh_token"}).status_code == 400
    assert http.post(url, data={**asked, "refresh_token": "revoked"}).status_code == 400
