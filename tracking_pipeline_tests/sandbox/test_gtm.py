from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tracking_pipeline.sandbox.server import Sandbox

HASH = "a" * 64
_NOW = int(time.time())


class Gtm:
    """Posts to one sandbox's containers what a sender of another project would."""

    def __init__(self, http: httpx.Client, sandbox: Sandbox) -> None:
        self._http = http
        self._base = sandbox.gtm_url.removesuffix("/main")

    def post(self, path: str, body: Any, **request: Any) -> httpx.Response:
        return self._http.post(f"{self._base}/{path}", json=body, **request)

    def measure(
        self, *events: Any, query: str = "measurement_id=G-1&api_secret=s", **said: Any
    ) -> httpx.Response:
        body = {"client_id": "1.2", "events": list(events), **said}
        return self.post(f"main/mp/collect?{query}", body)


@pytest.fixture
def gtm(http: httpx.Client, sandbox: Sandbox) -> Gtm:
    return Gtm(http, sandbox)


def data(event_id: str = "a", **changes: Any) -> dict[str, Any]:
    event = {
        "event_name": "generate_lead",
        "event_id": event_id,
        "client_id": "1.2",
        "timestamp": _NOW,
        "ip_override": "8.8.8.8",
        "user_agent": "Mozilla/5.0",
        **changes,
    }
    return {name: value for name, value in event.items() if value is not None}


def measured(event_id: str = "a", **changes: Any) -> dict[str, Any]:
    return {
        "name": "generate_lead",
        "timestamp_micros": _NOW * 1_000_000,
        "params": {"event_id": event_id},
        **changes,
    }


def test_a_good_event_is_taken_and_answered_as_the_data_client_does(
    sandbox: Sandbox, gtm: Gtm
) -> None:
    answer = gtm.post("main/data", data())
    assert answer.status_code == 200
    assert answer.json().keys() == {"timestamp", "unique_event_id"}
    assert "x-gtm-server-preview" in answer.headers["Access-Control-Allow-Headers"]
    assert sandbox.memory.accepted("a") == 1
    assert sandbox.memory.violations == []


def test_a_list_is_taken_where_the_container_accepts_multiple_events(
    sandbox: Sandbox, gtm: Gtm
) -> None:
    answer = gtm.post("multiple/data", [data("a"), data("b")])
    assert [told.keys() for told in answer.json()] == [{"timestamp", "unique_event_id"}] * 2
    assert sandbox.memory.accepted_ids == {"a", "b"}
    assert sandbox.memory.violations == []


def test_elsewhere_a_list_is_taken_for_one_event_and_lost(sandbox: Sandbox, gtm: Gtm) -> None:
    answer = gtm.post("main/data", [data("a"), data("b")])
    assert (answer.status_code, type(answer.json())) == (200, dict)
    assert (sandbox.memory.accepted("a"), sandbox.memory.accepted("b")) == (0, 0)
    assert [v.kind for v in sandbox.memory.violations] == ["list_taken_for_one_event"]


def test_all_events_of_a_list_get_the_first_client_id(sandbox: Sandbox, gtm: Gtm) -> None:
    gtm.post("multiple/data", [data("a"), data("b", client_id="3.4")])
    assert sandbox.memory.events("b")[0]["client_id"] == "1.2"
    assert [v.kind for v in sandbox.memory.violations] == ["visitors_mixed"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"client_id": None}, "no client_id"),
        ({"timestamp": None}, "no timestamp"),
        ({"timestamp": _NOW * 1000}, "no timestamp in seconds"),
        ({"event_name": None}, "no event_name"),
        ({"ip_override": None, "client_ip_address": "8.8.8.8"}, "no ip_override"),
        ({"ip_override": None, "user_data": {"ip": "8.8.8.8"}}, "no ip_override"),
        ({"user_agent": None, "client_user_agent": "Mozilla/5.0"}, "no user_agent"),
        ({"user_data": {"sha256_email_address": "emily@example.com"}}, "is no hash"),
        ({"user_data": {"email_address": HASH}}, "is a hash"),
        ({"user_data": {"address": {"sha256_first_name": "emily"}}}, "is no hash"),
    ],
)
def test_what_the_container_has_to_fill_in_is_remembered_without_a_value(
    sandbox: Sandbox, gtm: Gtm, changes: dict[str, Any], told: str
) -> None:
    assert gtm.post("main/data", data(**changes)).status_code == 200
    [violation] = sandbox.memory.violations
    assert (violation.kind, violation.event_id) == ("filled_in_by_container", "a")
    assert told in violation.what
    assert "emily" not in violation.what


def test_an_event_whose_visitor_nobody_knows_gets_the_requests_address_without_reproach(
    sandbox: Sandbox, gtm: Gtm
) -> None:
    gtm.post("main/data", data(ip_override=None, user_agent=None))
    [seen] = sandbox.memory.events("a")
    assert seen["ip_override"] == "127.0.0.1"
    assert seen["user_agent"].startswith("python-httpx")
    assert sandbox.memory.violations == []


@pytest.mark.parametrize(
    ("container", "status", "body"),
    [("silent", 200, ""), ("status-403", 403, ""), ("status-302", 302, "")],
)
def test_a_container_answers_as_it_is_configured(
    sandbox: Sandbox, gtm: Gtm, container: str, status: int, body: str
) -> None:
    answer = gtm.post(f"{container}/data", data())
    assert (answer.status_code, answer.text) == (status, body)
    assert sandbox.memory.accepted("a") == 1


def test_a_talkative_container_answers_with_what_it_saw(gtm: Gtm) -> None:
    assert gtm.post("talkative/data", data()).json()["event_name"] == "generate_lead"


@pytest.mark.parametrize(
    "path", ["unpublished/data", "unpublished/mp/collect", "main/other", "nowhere/data", ""]
)
def test_what_no_client_claims_is_answered_with_400(sandbox: Sandbox, gtm: Gtm, path: str) -> None:
    answer = gtm.post(path, data())
    assert answer.status_code == 400
    assert "Access-Control-Allow-Headers" not in answer.headers
    assert sandbox.memory.accepted_ids == set()


@pytest.mark.parametrize("body", [None, 7, [], [None], "text", {"user_data": []}])
def test_any_body_gets_an_answer(gtm: Gtm, body: Any) -> None:
    for container in ("main", "multiple", "talkative"):
        assert gtm.post(f"{container}/data", body).status_code == 200
    assert gtm.post("main/mp/collect", body).status_code == 204


def test_the_preview_token_is_remembered(sandbox: Sandbox, gtm: Gtm) -> None:
    gtm.post("main/data", data(), headers={"X-Gtm-Server-Preview": "ZW52"})
    assert [request.test_event_code for request in sandbox.memory.requests] == ["ZW52"]


def test_measured_events_are_taken_with_what_the_request_says_of_the_visitor(
    sandbox: Sandbox, gtm: Gtm
) -> None:
    answer = gtm.measure(measured("a"), measured("b"), ip_override="8.8.8.8")
    assert (answer.status_code, answer.content) == (204, b"")
    assert sandbox.memory.events("b")[0]["ip_override"] == "8.8.8.8"
    assert sandbox.memory.violations == []


@pytest.mark.parametrize(
    ("events", "said", "told"),
    [
        ([measured(name="Lead Captured")], {}, "a name that is allowed"),
        ([measured(name="ga_x")], {}, "a name that is allowed"),
        ([measured(name="x" * 41)], {}, "a name that is allowed"),
        ([measured(timestamp_micros=_NOW)], {}, "no timestamp_micros"),
        ([measured(timestamp_micros=(_NOW - 73 * 3600) * 1_000_000)], {}, "72 hours"),
        ([measured(params={"x": "y" * 101})], {}, "too long"),
        ([measured(params={"a b": 1})], {}, "name that is not allowed"),
        ([measured(params={f"p{n}": n for n in range(26)})], {}, "more than 25 parameters"),
        ([measured(str(n)) for n in range(26)], {}, "more than 25 events"),
        ([measured(params={"items": ["s" * 130_000]})], {}, "130 kB"),
        ([measured()], {"client_id": None}, "no client_id"),
        ([measured()], {"user_data": {"email_address": "emily@example.com"}}, "is not hashed"),
        ([measured()], {"user_data": {"sha256_email_address": ["emily"]}}, "is no hash"),
        ([measured()], {"query": ""}, "no measurement_id or api_secret"),
        ([], {}, "no events"),
    ],
)
def test_what_google_would_drop_is_taken_with_204_and_remembered(
    sandbox: Sandbox, gtm: Gtm, events: list[Any], said: dict[str, Any], told: str
) -> None:
    assert gtm.measure(*events, **said).status_code == 204
    [violation] = sandbox.memory.violations
    assert violation.kind == "dropped_in_silence"
    assert told in violation.what
    assert "emily" not in violation.what


@pytest.mark.parametrize("path", ["main/data", "main/mp/collect?measurement_id=G&api_secret=s"])
def test_a_script_is_acted_out_with_either_protocol(sandbox: Sandbox, gtm: Gtm, path: str) -> None:
    body = {**data(), "events": [measured()]} if "mp" in path else data()
    sandbox.scripts.set("a", [503, {"status": 429, "retry_after": "0"}, "html", 200])
    answers = [gtm.post(path, body) for _ in range(4)]
    assert [answer.status_code // 100 for answer in answers] == [5, 4, 5, 2]
    assert answers[1].headers["Retry-After"] == "0"
    assert answers[2].headers["Content-Type"] == "text/html"
    assert sandbox.memory.accepted("a") == 1


def test_a_bad_event_is_refused_by_the_client_that_claimed_it(sandbox: Sandbox, gtm: Gtm) -> None:
    sandbox.scripts.update({"a": ["bad"], "b": ["bad"]})
    answer = gtm.post("main/data", data())
    assert answer.status_code == 400
    assert "x-gtm-server-preview" in answer.headers["Access-Control-Allow-Headers"]
    assert gtm.measure(measured("b")).status_code == 413


def test_an_outage_of_the_container_is_no_outage_of_meta(
    sandbox: Sandbox, gtm: Gtm, send: Any
) -> None:
    sandbox.conditions["gtm_server"].outage(503)
    assert gtm.post("main/data", data()).status_code == 503
    assert send.ids("m").status_code == 200
