"""What a refusal and a grant do to an event. Every statement in every place: test_generated_*."""

from __future__ import annotations

from typing import Any

import pytest

from tracking_pipeline.delivery.destinations.registry import REGISTRY
from tracking_pipeline.delivery.engine.outcomes import Rejected, Withheld
from tracking_pipeline.delivery.engine.readiness import ready_conversion
from tracking_pipeline.events.consent import Purpose, Said, stated_choices
from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline.events.policy import ReadingPolicy
from tracking_pipeline_tests.delivery.claimed import claimed

NEEDS = {
    **{spec.name: spec.needs for spec in REGISTRY if not spec.is_store},
    **{protocol: needs for spec in REGISTRY for protocol, needs in spec.needs_of_protocol.items()},
}
DESTINATIONS = sorted(NEEDS)


def ready(fields: dict[str, Any], destination: str | None = "meta_capi", **changes: Any) -> Any:
    event = claimed({"event_name": "Lead", **fields}, **changes)
    return ready_conversion(event, NEEDS[destination] if destination else ())


@pytest.mark.parametrize("destination", DESTINATIONS)
@pytest.mark.parametrize(
    "fields",
    [
        {"consent": False},
        {"consent": 0},
        {"consent": "denied"},
        {"consent": " DENIED "},
        {"consent": {"ad_user_data": "denied", "analytics_storage": "granted"}},
        {"consent": {"adUserData": "CONSENT_DENIED"}},
        {"consent": {"marketing": False}},
        {"consent": '{"ad_storage":"denied"}'},
        {"consent_state": {"ad_storage": "denied"}},
        {"metadata": {"consent": {"marketing": "revoked"}}},
        {"user_data": {"consent": "no"}},
        {"marketing_consent": False},
        {"marketingConsent": "declined"},
        {"metadata": {"marketing_consent": "no"}},
        {"ad_user_data": "denied"},
    ],
)
def test_a_person_who_refused_advertising_is_not_sent(
    destination: str, fields: dict[str, Any]
) -> None:
    withheld = ready(fields, destination)

    assert isinstance(withheld, Withheld)
    assert withheld.reason == "consent denied"


def test_a_refusal_in_the_rows_own_column_counts() -> None:
    assert isinstance(ready({}, user_data={"consent": "denied"}), Withheld)


@pytest.mark.parametrize("consent", ["denied", False, {"ad_user_data": "denied"}, "perhaps"])
def test_what_is_not_for_advertising_needs_no_consent(consent: Any) -> None:
    kept = ready({"consent": consent}, None)

    assert isinstance(kept, Conversion)
    assert kept.reading.loose()["consent"] == consent


@pytest.mark.parametrize(
    "consent",
    [
        None,
        "",
        {},
        True,
        1,
        "granted",
        "yes",
        {"ad_user_data": "granted"},
        {"ad_user_data": "CONSENT_STATUS_UNSPECIFIED"},
        {"marketing": 1, "analytics": 0},
        {"given": True, "given_at": "2026-11-24T10:00:00Z", "version": 3},
        ["necessary", "marketing"],
    ],
)
def test_silence_or_a_grant_is_no_refusal(consent: Any) -> None:
    assert isinstance(ready({"consent": consent}), Conversion)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"consent": "perhaps"}, "consent"),
        ({"consent": "[object Object]"}, "consent"),
        ({"consent": {"ad_user_data": "unknown"}}, "consent"),
        ({"consent": 7}, "consent"),
        ({"metadata": {"marketing_consent": "{broken"}}, "metadata.marketing_consent"),
        ({"user_data": {"adUserData": "later"}}, "user_data.adUserData"),
    ],
)
def test_a_statement_that_nobody_can_read_is_not_sent_and_is_named(
    fields: dict[str, Any], path: str
) -> None:
    rejected = ready(fields)

    assert isinstance(rejected, Rejected)
    assert rejected.reason == f"unreadable consent: {path}"


def test_a_refusal_counts_before_a_grant_wherever_each_stands() -> None:
    for fields in (
        {"consent": "granted", "metadata": {"consent": "denied"}},
        {"consent": "denied", "metadata": {"consent": "granted"}},
        {"consent": "perhaps", "user_data": {"ad_storage": "denied"}},
    ):
        assert isinstance(ready(fields), Withheld)


def test_only_analytics_refused_stops_the_protocol_of_analytics_alone() -> None:
    fields = {"consent": {"analytics_storage": "denied", "ad_storage": "granted"}}

    stopped = {name for name in DESTINATIONS if isinstance(ready(fields, name), Withheld)}

    assert stopped == {"measurement_protocol"}


def test_only_personalisation_refused_stops_those_that_cannot_be_told_of_it() -> None:
    fields = {"consent": {"ad_personalization": "denied"}}

    stopped = {name for name in DESTINATIONS if isinstance(ready(fields, name), Withheld)}

    assert stopped == {"linkedin_capi"}


def test_what_silence_means_is_the_sites_to_say() -> None:
    event = claimed({"event_name": "Lead"})
    policy = ReadingPolicy(consent_default="denied")

    withheld = ready_conversion(event, NEEDS["meta_capi"], policy=policy)

    assert isinstance(withheld, Withheld)
    assert withheld.reason == "no consent stated"
    assert isinstance(ready_conversion(event, (), policy=policy), Conversion)


@pytest.mark.parametrize(
    ("said", "told"),
    [(Said.GRANTED, True), (Said.AGREED, None), (Said.DENIED, False), (Said.UNCLEAR, False)],
)
@pytest.mark.parametrize("purpose", [Purpose.AD_USER_DATA, Purpose.AD_PERSONALIZATION])
def test_a_platform_is_told_of_no_grant_but_one_in_so_many_words(
    purpose: Purpose, said: Said, told: bool | None
) -> None:
    assert stated_choices({purpose: said}).get(purpose) is told
