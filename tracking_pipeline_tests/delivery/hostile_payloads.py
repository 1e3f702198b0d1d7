"""Payloads that nobody meant to send, for property tests: any JSON under the names we read.

Wider than what a jsonb column can hold (it has neither NUL nor lone surrogates), because import and
the API prepare events too.
"""

from __future__ import annotations

import re
from typing import Any

import orjson
from hypothesis import strategies as st

from tracking_pipeline.delivery.engine.destination import Destination
from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import NotSent, reject
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline_tests.delivery.claimed import NOW, claimed

_NAMES = (
    "event_name", "event", "event_id", "event_time", "timestamp", "created_at", "action_source",
    "user_data", "custom_data", "metadata", "context", "properties", "page", "data", "consent",
    "email", "em", "phone", "ph", "first_name", "fn", "name", "lead_id", "client_user_agent",
    "client_ip_address", "fbp", "fbc", "fbclid", "external_id", "value", "currency", "order_id",
    "event_source_url", "page_path", "referrer", "contents", "content_ids", "num_items", "status",
    "predicted_ltv", "opt_out", "data_processing_options", "data_processing_options_country",
    "app_data", "extinfo", "advertiser_tracking_enabled", "messaging_channel",
    "original_event_data", "intent_tier", "lead_score", "session_id", "event_type", "gclid",
)  # fmt: skip

# Lone surrogates, NUL and controls among them, as far as a text of Python's can hold them.
_WILD_TEXT = st.text(st.characters(), max_size=20) | st.sampled_from(
    ("\x00", "a\x00b\x1f", "\ud800", "x\udfffy", "\u2028", "\\u0000", "[", '{"a": "\\ud800"}', " ")
)
_PLAUSIBLE = st.sampled_from(
    (
        "Purchase",
        "Lead",
        "website",
        "physical_store",
        "app",
        "business_messaging",
        "https://shop.example/thanks?step=2",
        "/thanks",
        "jane.roe@example.com",
        "+1 650 555 1212",
        "Mozilla/5.0",
        "203.0.113.9",
        "USD",
        "19,90",
        "denied",
        "granted",
        "2026-11-24T11:00:00Z",
        "2026-11-10",
        int(NOW.timestamp()) - 60,
        (int(NOW.timestamp()) - 60) * 1000,
        int(NOW.timestamp()) - 8 * 86_400,
        int(NOW.timestamp()) + 3_600,
    )
)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _WILD_TEXT
    | _PLAUSIBLE
)
_KEYS = st.sampled_from(_NAMES) | _WILD_TEXT


def _nested(value: Any, depth: int, in_list: bool) -> Any:
    for _ in range(depth):
        value = [value] if in_list else {"user_data": value}
    return value


_JSON: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=6),
    max_leaves=25,
)
_DEEP = st.builds(_nested, _SCALARS, st.integers(10, 600), st.booleans())

# Mostly objects with names that we read, for anything else is rejected at the door.
PAYLOADS: st.SearchStrategy[Any] = (
    st.dictionaries(st.sampled_from(_NAMES), _JSON | _DEEP, max_size=12)
    | st.dictionaries(st.sampled_from(_NAMES), _PLAUSIBLE, min_size=4, max_size=20)
    | _JSON
    | _DEEP
)


def prepare_as_a_drain_does(destination: Destination, payload: Any) -> Prepared | NotSent:
    """What ``prepare`` says, and a rejection for the two errors that the drain expects of it.

    orjson's error is Python's ``TypeError``: any other of these is a bug, and raised.
    """
    try:
        return destination.prepare(claimed(payload))
    except (RecursionError, orjson.JSONEncodeError) as error:
        if isinstance(error, RecursionError) or re.search("surrogates|(?i:recursion)", str(error)):
            return reject("event_payload cannot be encoded", Failure.EVENT_UNREADABLE)
        raise
