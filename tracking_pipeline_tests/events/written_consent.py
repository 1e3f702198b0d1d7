"""Statements of consent: under which names, and in which words and forms."""

from __future__ import annotations

import json
from itertools import cycle
from typing import Any

STATEMENTS = (
    "consent",
    "ad_user_data",
    "ad_storage",
    "marketing_consent",
    "consent_marketing",
    "advertising_consent",
    "ads_consent",
    "tracking_consent",
    "cookie_consent",
    "user_consent",
    "consent_status",
    "consent_given",
    "has_consent",
    "has_marketing_consent",
    "gdpr_consent",
    "targeting_consent",
    "marketing_opt_in",
    "marketing_allowed",
)
"""Fields that say of advertising what their value says."""
WORDS_OF_REFUSAL = (
    "denied", "declined", "rejected", "refused", "revoked", "withdrawn", "opted_out", "Opted Out",
    "disallowed", "DENIED", "CONSENT_DENIED", "no", "off", "false", "0", "not granted",
)  # fmt: skip
WORDS_OF_GRANT = (
    "granted", "given", "accepted", "allowed", "opted_in", "Opted In", "GRANTED",
    "CONSENT_GRANTED", "yes", "on", "true", "1", "agreed",
)  # fmt: skip
_INNER_NAMES = ("status", "value", "state", "granted", "accepted", "consent")


def _values(words: tuple[str, ...], *flags: Any) -> tuple[Any, ...]:
    objects = tuple(
        {name: said} for name, said in zip(_INNER_NAMES, cycle((*words, *flags)), strict=False)
    )
    texts = tuple(json.dumps(each) for each in objects)
    return (*words, *flags, *objects, *texts, json.dumps(words[0]), *map(_in_more, objects))


def _in_more(said: dict[str, Any]) -> dict[str, Any]:
    """With what belongs to a statement and decides nothing."""
    return {"version": "2.1", "timestamp": "2026-11-01T08:00:00Z", **said, "text": "I agree to .."}


REFUSED = _values(WORDS_OF_REFUSAL, False, 0)
GRANTED = _values(WORDS_OF_GRANT, True, 1)
UNCLEAR = (
    "perhaps", "pending", "[object Object]", "{broken", "eyJtYWRlIjoidXAifQ-made-up", 7,
    {"status": "perhaps"}, '{"status": "perhaps"}', {"colour": "blue"}, ["blue"],
)  # fmt: skip
SILENT = (None, "", " ", {}, "CONSENT_STATUS_UNSPECIFIED", {"status": None}, {"ad_user_data": ""})
OBJECTS = (
    "consent", "consent_state", "consent_mode", "user_consent", "consent_status",
    "cookie_preferences", "category_preferences", "consent_settings",
)  # fmt: skip
"""Fields that hold what was said of each purpose."""
PURPOSES = (
    "ad_storage", "ad_user_data", "advertising", "marketing", "advertisement", "ads", "targeting",
)  # fmt: skip
