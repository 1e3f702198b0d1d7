"""Refusals and grants under names that say less than they mean: the parts of a statement, what
consent managers write, names of purposes that nobody here knows."""

from __future__ import annotations

from typing import Any

import pytest

from tracking_pipeline.delivery.destinations.registry import ADVERTISING_NEEDS
from tracking_pipeline.delivery.engine.outcomes import Rejected, Withheld
from tracking_pipeline.delivery.engine.readiness import ready_conversion
from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline_tests.delivery.claimed import claimed

REFUSING_WORDS = ("denied", "reject", "Reject all", "REFUSED", "not granted", "declined")
PARTS = (
    "action collection option permission selection update type record mode level method label "
    "decision name preference"
).split()
UNKNOWN_PURPOSES = (
    "tracking third_party commercial advertiser ads_tracking marketing_tracking cookies_marketing "
    "data_sharing sell all publicitarias partners"
).split()


def ready(fields: dict[str, Any]) -> Any:
    return ready_conversion(claimed({"event_name": "Lead", **fields}), ADVERTISING_NEEDS)


@pytest.mark.parametrize("word", REFUSING_WORDS)
@pytest.mark.parametrize("part", PARTS)
def test_a_refusal_counts_under_the_name_of_a_part_of_a_statement(part: str, word: str) -> None:
    assert isinstance(ready({f"consent_{part}": word}), Withheld)
    if part != "preference" or word == "Reject all":  # a purpose is called so, too
        assert isinstance(ready({"consent": {part: word}}), (Withheld, Rejected))


@pytest.mark.parametrize("purpose", UNKNOWN_PURPOSES)
@pytest.mark.parametrize("known", ["analytics", "necessary", "functional"])
def test_a_refusal_of_an_unknown_purpose_beside_known_ones_is_not_sent(
    purpose: str, known: str
) -> None:
    made = ready({"consent": {known: True, purpose: False}})

    assert isinstance(made, (Withheld, Rejected))


@pytest.mark.parametrize(
    "fields",
    [
        {"consent_collection": False},
        {"consent_record": {"status": "denied"}},
        {"consent": {"level": "necessary"}},
        {"consent": {"level": "none"}},
        {"consent": {"preferences": ["necessary"]}},
        {"consentPreferences": ["necessary", "analytics"]},
        {"consentPreferences": {"status": "denied"}},
        {"consentPreferences": '{"status":"denied"}'},
        {"consent_preferences": {"accepted": ["necessary"], "rejected": ["marketing"]}},
        {"consent": {"status": "granted", "withdrawn_at": "2026-11-01T00:00:00Z"}},
        {"consent": {"revokedAt": "2026-11-01T00:00:00Z"}},
        {"cmplz_marketing": "deny"},
        {"cookies": {"cmplz_marketing": "deny"}},
        {"cookielawinfo-checkbox-advertisement": "no"},
        {"cc_cookie": {"categories": ["necessary"]}},
        {"cookies": {"fs-cc": "%7B%22consents%22%3A%7B%22marketing%22%3Afalse%7D%7D"}},
        {"consent_state": {"ccpa": {"data_sale_opt_out": {"consented": True}}}},
        {"__hs_opt_out": "yes"},
        {"privacy_info": {"ads_storage": "No"}},
        {"ads_user_data": "No"},
        {"allow_marketing": False},
        {"allowAds": False},
        {"tracking_allowed": False},
        {"gdpr": "denied"},
        {"gdpr_accepted": False},
        {"privacy": {"status": "denied"}},
        {"opted_out": True},
        {"cookies_accepted": False},
        {"cookie_settings": "denied"},
        {"acceptedCategories": ["necessary"]},
        {"unconsented": True},
        {"context.consent": "denied"},
        {"ep.ad_storage": "denied"},
        {"cookies.marketing": False},
        {"consent": {"default": {"ad_user_data": "denied"}, "update": {}}},
        {"consent": {"default": {"ad_user_data": "denied"}, "update": None}},
        {
            "consent": {
                "default": {"ad_user_data": "denied", "ad_storage": "denied"},
                "update": {"ad_storage": "granted"},
            }
        },
    ],
)
def test_a_refusal_in_another_writing_is_not_sent(fields: dict[str, Any]) -> None:
    assert isinstance(ready(fields), Withheld)


@pytest.mark.parametrize(
    "word", ["I agree", "Yes, I agree", "checked", "sí", "accepté", "да", "ok"]
)
def test_words_of_agreement(word: str) -> None:
    assert isinstance(ready({"consent": word}), Conversion)


@pytest.mark.parametrize(
    "fields",
    [
        {"consent": {"ad_storage": "granted", "ad_user_data": "granted", "region": ["DE"]}},
        {"consent": {"status": "granted", "vendors": ["google"], "languages": ["de"]}},
        {"consent": {"default": {"ad_storage": "denied"}, "update": {"ad_storage": "granted"}}},
        {"consent": {"ad_storage": {"default": False, "update": True}}},
        {"consent": {"preferences": "denied", "marketing": "granted"}},
        {"consent_preferences": False, "consent_marketing": True},
        {"OnetrustActiveGroups": ",C0001,C0004,C0005,C0002,V2STACK42,"},
        {"cookies": {"OptanonAlertBoxClosed": "2026-11-01T00:00:00Z"}},
        {"addtl_consent": "1~7.12.35"},
        {"consent": {"status": "ALL_ACCEPTED"}},
    ],
)
def test_a_grant_with_its_parts_is_one(fields: dict[str, Any]) -> None:
    assert isinstance(ready(fields), Conversion)


@pytest.mark.parametrize("word", ["n/a", "unset", "undefined", "null", "not required", "not set"])
def test_a_marker_is_no_statement(word: str) -> None:
    assert isinstance(ready({"consent": word}), Conversion)


@pytest.mark.parametrize(
    "fields",
    [
        {"requires_consent": False},
        {"is_consent_required": False},
        {"consent_banner_shown": False},
        {"consentless": False},
        {"trustedform_consent_cert": "https://cert.example/1"},
        {"consent_to_contact": False},
        {"consent_update": "2026-11-01"},
        {"consent_mode": "advanced"},
        {"consent_type": "opt-in"},
        {"consent_method": "opt-out"},
        {"consent_source": "checkout"},
        {"consent_form": "none"},
        {"cookies_enabled": True},
        {"allow_notifications": False},
        # Shopify's consent to be written to.
        {"accepts_marketing": False},
        {"customer": {"accepts_marketing": False}},
        {"action": "reject"},
        {"tracking": False},
    ],
)
def test_what_only_surrounds_consent_says_nothing(fields: dict[str, Any]) -> None:
    assert isinstance(ready(fields), Conversion)
