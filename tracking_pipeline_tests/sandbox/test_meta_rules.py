from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tracking_pipeline.sandbox.meta_rules import hashed_plain_keys, raw_personal_data, refusal

_NOW = 1_790_000_000
_DAY = 86400
_HASH = "a" * 64
_AGENT = {"client_user_agent": "Mozilla/5.0"}


@pytest.fixture
def timed(event: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    return lambda **changes: event(**{"event_time": _NOW, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"event_id": None},
        {"event_time": str(_NOW)},
        {"event_time": _NOW - 7 * _DAY + 5},
        {"event_time": _NOW + 59},
        {"event_time": _NOW - 61 * _DAY, "action_source": "physical_store"},
        {"action_source": "system_generated", "event_source_url": None},
        {"event_source_url": None},
        {"action_source": "app", "app_data": {"advertiser_tracking_enabled": 1, "extinfo": []}},
        {"user_data": {"client_ip_address": "8.8.8.8", **_AGENT}},
        {"user_data": {"em": [_HASH, "B" * 64], **_AGENT}},
        {"user_data": {"ph": _HASH + ".AQYBAQMB", **_AGENT}},
        {"user_data": {"fn": _HASH, "ln": _HASH, **_AGENT}},
        {"user_data": {"external_id": "customer-17", **_AGENT}},
        {"event_name": "Purchase", "custom_data": {"value": 0, "currency": "usd"}},
    ],
)
def test_meta_takes_what_its_pages_allow(
    timed: Callable[..., dict[str, Any]], changes: dict[str, Any]
) -> None:
    taken = timed(**changes)
    assert refusal(taken, _NOW) is None
    assert list(raw_personal_data(taken)) == []


@pytest.mark.parametrize(
    ("changes", "subcode"),
    [
        ({"event_name": None}, None),
        ({"event_name": " "}, None),
        ({"event_time": None}, None),
        ({"event_time": 1.5}, None),
        ({"event_time": True}, None),
        ({"event_time": "yesterday"}, None),
        ({"event_time": _NOW + 61}, None),
        ({"event_time": _NOW * 1000}, None),
        ({"event_time": _NOW - 7 * _DAY - 1}, 2804003),
        ({"event_time": _NOW - 63 * _DAY, "action_source": "physical_store"}, 2804003),
        ({"user_data": None}, 2804050),
        ({"user_data": {}}, 2804050),
        ({"user_data": {"ct": _HASH, "st": _HASH, "zp": _HASH, **_AGENT}}, 2804050),
        ({"user_data": {"db": _HASH, **_AGENT}}, 2804050),
        (
            {"user_data": {"fn": _HASH, "ge": _HASH}, "action_source": "email"},
            2804050,
        ),
        (
            {"user_data": {"ln": _HASH, "ge": _HASH}, "action_source": "email"},
            2804050,
        ),
        ({"action_source": None}, None),
        ({"action_source": "web"}, None),
        ({"user_data": {"em": _HASH}}, None),
        ({"action_source": "app"}, None),
        ({"action_source": "business_messaging"}, None),
        ({"event_id": 17}, None),
        ({"event_id": ""}, None),
        ({"user_data": {"em": "emily@example.com", **_AGENT}}, None),
        ({"user_data": {"em": [_HASH, "emily@example.com"], **_AGENT}}, None),
        ({"user_data": {"em": [None], **_AGENT}}, None),
        ({"user_data": {"em": [], **_AGENT}}, None),
        ({"user_data": {"ph": "d41d8cd98f00b204e9800998ecf8427e", **_AGENT}}, None),
        ({"user_data": {"em": _HASH, "email": "emily@example.com", **_AGENT}}, None),
        ({"event_name": "Purchase"}, 2804009),
        ({"event_name": "Purchase", "custom_data": {"value": "9", "currency": "USD"}}, 2804009),
        ({"event_name": "Purchase", "custom_data": {"value": 9, "currency": "$"}}, 2804009),
    ],
)
def test_meta_refuses_what_its_pages_forbid(
    timed: Callable[..., dict[str, Any]], changes: dict[str, Any], subcode: int | None
) -> None:
    refused = refusal(timed(**changes), _NOW)
    assert refused is not None
    assert (refused.code, refused.subcode) == (100, subcode)


@pytest.mark.parametrize("event", [None, [], "event", 7])
def test_what_is_no_object_is_refused(event: object) -> None:
    assert refusal(event, _NOW) is not None


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"user_data": {"em": "emily@example.com"}}, "user_data.em"),
        ({"user_data": {"ph": ["+1 305 555 0123"]}}, "user_data.ph"),
        ({"user_data": {"phone": "+1 305 555 0123"}}, "user_data.phone"),
        ({"user_data": {"external_id": "emily@example.com"}}, "user_data.external_id"),
        ({"email": "emily@example.com"}, "email"),
        ({"custom_data": {"note": "call emily@example.com"}}, "custom_data.note"),
        ({"event_source_url": "https://example.com/?m=emily%40example.com"}, "event_source_url"),
    ],
)
def test_personal_data_in_the_clear_is_found_and_named_without_its_value(
    event: Callable[..., dict[str, Any]], changes: dict[str, Any], place: str
) -> None:
    assert list(raw_personal_data(event(**changes))) == [place]


def test_a_hash_where_meta_wants_plain_text_is_found(event: Callable[..., dict[str, Any]]) -> None:
    user_data = {"fbp": _HASH, "client_ip_address": _HASH, "em": _HASH, "fbc": "fb.1.2.abc"}
    assert list(hashed_plain_keys(event(user_data=user_data))) == ["client_ip_address", "fbp"]
