"""The stand-ins of platforms that take a JSON list: what their pages say is refused, and how."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tracking_pipeline.sandbox.server import Sandbox

HASH = "a" * 64
BEARER = {"Authorization": "Bearer token-1"}


def tiktok(event_id: str = "a", **changes: Any) -> dict[str, Any]:
    return {
        "event": "Lead",
        "event_time": int(time.time()),
        "event_id": event_id,
        "user": {"email": HASH},
        **changes,
    }


def pinterest(event_id: str = "a", **changes: Any) -> dict[str, Any]:
    return {
        "event_name": "lead",
        "action_source": "web",
        "event_time": int(time.time()),
        "event_id": event_id,
        "user_data": {"em": [HASH]},
        **changes,
    }


def snapchat(event_id: str = "a", **changes: Any) -> dict[str, Any]:
    return {
        "event_name": "SIGN_UP",
        "action_source": "WEB",
        "event_source_url": "https://shop.example",
        "event_time": int(time.time()),
        "event_id": event_id,
        "user_data": {"em": [HASH]},
        **changes,
    }


def post_tiktok(
    http: httpx.Client, sandbox: Sandbox, *events: Any, token: str | None = "token-1", **said: Any
) -> Any:
    body = {"event_source": "web", "event_source_id": "P", "data": list(events), **said}
    address = f"{sandbox.address_of('tiktok_events')}/open_api/v1.3/event/track/"
    response = http.post(address, json=body, headers={"Access-Token": token} if token else {})
    assert response.status_code == 200
    return response.json()["code"]


def post_pinterest(
    http: httpx.Client, sandbox: Sandbox, *events: Any, query: str = ""
) -> httpx.Response:
    address = f"{sandbox.address_of('pinterest_capi')}/v5/ad_accounts/549/events{query}"
    return http.post(address, json={"data": list(events)}, headers=BEARER)


def post_snapchat(
    http: httpx.Client, sandbox: Sandbox, *events: Any, path: str = ""
) -> httpx.Response:
    address = f"{sandbox.address_of('snapchat_capi')}/v3/pixel/events{path}"
    return http.post(address, json={"data": list(events)}, headers=BEARER)


def test_tiktok_says_by_its_code_what_is_wrong(http: httpx.Client, sandbox: Sandbox) -> None:
    assert post_tiktok(http, sandbox, tiktok("good")) == 0
    assert post_tiktok(http, sandbox, tiktok("b"), token=None) == 40105
    assert post_tiktok(http, sandbox, tiktok("b"), event_source="shop") == 40002
    assert post_tiktok(http, sandbox) == 40002
    assert sandbox.memory.accepted_ids == {"good"}


@pytest.mark.parametrize(
    "changes",
    [
        {"event_time": int(time.time()) - 30 * 86_400},
        {"event_id": ""},
        {"user": {}},
        {"user": {"email": HASH, "shoe_size": "9"}},
        {"properties": {"value": "9", "currency": "EUR"}},
        {"properties": {"value": 9}},
        {"timestamp": "2026-01-01"},
    ],
)
def test_one_bad_event_refuses_all_that_tiktok_gets(
    http: httpx.Client, sandbox: Sandbox, changes: dict[str, Any]
) -> None:
    assert post_tiktok(http, sandbox, tiktok("good"), tiktok("bad") | changes) == 40002
    assert not sandbox.memory.accepted_ids


@pytest.mark.parametrize(
    "changes",
    [
        {"event_name": "Purchase"},
        {"action_source": "website"},
        {"event_time": 1},
        {"user_data": {"ph": [HASH]}},
        {"user_data": {"em": HASH}},
        {"custom_data": {"value": 9.5}},
        {"custom_data": {"contents": [{"id": "A", "item_price": 1}]}},
        {"custom_data": {"coupon": "X"}},
        {"colour": "red"},
    ],
)
def test_pinterest_refuses_an_event_by_itself(
    http: httpx.Client, sandbox: Sandbox, changes: dict[str, Any]
) -> None:
    answer = post_pinterest(http, sandbox, pinterest("good"), pinterest("bad", **changes))

    assert answer.status_code == 422
    assert [each["status"] for each in answer.json()["events"]] == ["processed", "failed"]
    assert sandbox.memory.accepted_ids == {"good"}
    alone = post_pinterest(http, sandbox, pinterest("bad", **changes))
    assert (alone.status_code, alone.json()["num_events_processed"]) == (422, 0)


def test_what_pinterest_only_tests_is_not_recorded(http: httpx.Client, sandbox: Sandbox) -> None:
    assert post_pinterest(http, sandbox, pinterest("t"), query="?test=true").status_code == 200
    assert not sandbox.memory.accepted_ids


@pytest.mark.parametrize(
    "changes",
    [
        {"event_name": "LEAD"},
        {"event_time": int(time.time()) - 38 * 86_400},
        {"event_source_url": None},
        {"user_data": {"client_ip_address": "8.8.8.8"}},
        {"custom_data": {"value": 9}},
    ],
)
def test_snapchat_names_the_events_that_it_refuses(
    http: httpx.Client, sandbox: Sandbox, changes: dict[str, Any]
) -> None:
    answer = post_snapchat(http, sandbox, snapchat("good"), snapchat("bad", **changes))

    assert answer.status_code == 200
    assert [each["index"] for each in answer.json()["error_records"]] == [1]
    assert sandbox.memory.accepted_ids == {"good"}


def test_what_snapchat_only_validates_is_not_recorded(http: httpx.Client, sandbox: Sandbox) -> None:
    answer = post_snapchat(http, sandbox, snapchat("t"), path="/validate")

    assert answer.json()["status"] == "VALID"
    assert not sandbox.memory.accepted_ids


def test_an_unhashed_person_is_a_promise_broken(http: httpx.Client, sandbox: Sandbox) -> None:
    post_tiktok(http, sandbox, tiktok(user={"email": "a@b.co"}))
    post_pinterest(http, sandbox, pinterest(user_data={"em": ["a@b.co"]}))
    post_snapchat(http, sandbox, snapchat(user_data={"em": ["a@b.co"]}))

    assert [each.kind for each in sandbox.memory.violations] == ["raw_personal_data"] * 3
