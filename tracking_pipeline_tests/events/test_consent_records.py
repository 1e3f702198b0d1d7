"""What consent managers keep of a choice under ids: the Framework's numbers, Didomi's purposes,
HubSpot's categories. A refusal counts wherever it was kept; what is in doubt is not taken for a
yes.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from tracking_pipeline.events.consent import Purpose, Said
from tracking_pipeline.events.reading import said_by

ADS = (Purpose.AD_STORAGE, Purpose.AD_USER_DATA)
DIDOMI = {
    1: "cookies",
    2: "select_basic_ads",
    3: "create_ads_profile",
    4: "select_personalized_ads",
    7: "measure_ad_performance",
    8: "measure_content_performance",
    9: "market_research",
    10: "improve_products",
}
YES = (Said.GRANTED, Said.AGREED)
VENDORS = {"consents": {"1": False, "7": True, "755": True}, "legitimateInterests": {"1": True}}


def _didomi(agreed: set[int]) -> dict[str, list[str]]:
    return {
        "enabled": [name for number, name in DIDOMI.items() if number in agreed],
        "disabled": [name for number, name in DIDOMI.items() if number not in agreed],
    }


def _token(agreed: set[int]) -> str:
    record = {
        "user_id": "18ee10b5-1c0b-67bb-b764-00385b75dff5",
        "created": "2026-11-24T09:16:39.232Z",
        "updated": "2026-11-24T09:16:42.504Z",
        "vendors": {"disabled": ["google", "c:mixpanel"]},
        "purposes": {name: ids for name, ids in _didomi(agreed).items() if ids},
        "version": 2,
    }
    return base64.b64encode(json.dumps(record).encode()).decode()


def _consents(agreed: set[int]) -> dict[str, bool]:
    return {str(number): number in agreed for number in range(1, 12)}


RECORDS: dict[str, Callable[[set[int]], dict[str, Any]]] = {
    "the Framework's API": lambda agreed: {
        "tcData": {"gdprApplies": True, "purpose": {"consents": _consents(agreed),
                   "legitimateInterests": {}}, "vendor": VENDORS}},
    "the same as text": lambda agreed: {
        "tcData": json.dumps({"purpose": {"consents": _consents(agreed)}, "vendor": VENDORS})},
    "purposes in a consent": lambda agreed: {"consent": {"purposes": _consents(agreed)}},
    "numbers": lambda agreed: {"consent": {str(n): int(n in agreed) for n in range(1, 11)}},
    "a device's storage": lambda agreed: {
        "IABTCF_PurposeConsents": "".join("01"[n in agreed] for n in range(1, 12)),
        "IABTCF_VendorConsents": "0010" * 300, "IABTCF_PublisherConsent": "0" * 11},
    "Didomi's status": lambda agreed: {"didomi": {
        "purposes": {"consent": _didomi(agreed), "global": _didomi(agreed), "essential": [],
                     "legitimate_interest": {"enabled": [], "disabled": []}},
        "vendors": {"consent": {"enabled": ["google"], "disabled": ["c:x"]}},
        "updated": "2026-11-24T09:16:42.504Z", "regulation": "gdpr"}},
    "a consent of Didomi's": lambda agreed: {"consent": {"purposes": {"consent": _didomi(agreed)}}},
    "Didomi's cookie": lambda agreed: {"cookies": {"didomi_token": _token(agreed)}},
    "a header with it": lambda agreed: {"headers": {"cookie": f"didomi_token={_token(agreed)}"}},
}  # fmt: skip


def said(payload: dict[str, Any]) -> dict[Purpose, Said]:
    return {purpose: each.said for purpose, each in said_by({"event_name": "x", **payload}).items()}


@pytest.mark.parametrize("write", RECORDS.values(), ids=RECORDS.keys())
def test_choices_of_the_frameworks_purposes_say_what_google_takes_them_for(
    write: Callable[[set[int]], dict[str, Any]],
) -> None:
    everything = set(range(1, 12))
    for left_out in itertools.chain.from_iterable(
        itertools.combinations((1, 3, 4, 7), count) for count in range(5)
    ):
        agreed = everything - set(left_out)
        found = said(write(agreed))
        assert (found[Purpose.AD_STORAGE] in YES) == (1 in agreed), left_out
        assert (found[Purpose.AD_USER_DATA] in YES) == ({1, 7} <= agreed), left_out
        assert (found[Purpose.AD_PERSONALIZATION] in YES) == ({3, 4} <= agreed), left_out
    assert set(said(write(set())).values()) == {Said.DENIED}


@pytest.mark.parametrize(
    "payload",
    [
        {"consent": {"1": True, "2": True, "3": True}},
        {"consent": {"1": "maybe", "7": True}},
        {"consent": {"purposes": [1, 2, 3]}},
        {"consent": {"enabled": ["personnalisationmarketing"], "disabled": []}},
        {"didomi_token": base64.b64encode(b'{"purposes": {"enabled": ["own"]}}').decode()},
        {"consent": {"vendors": {"755": True, "1": True}}},
        {"consent": {"vendors": {"enabled": ["google"], "disabled": []}}},
        {"__hs_cookie_cat_pref": "1:true"},
        {"__hs_cookie_cat_pref": "all of them"},
    ],
)
def test_ids_of_the_sites_own_are_not_taken_for_a_yes(payload: dict[str, Any]) -> None:
    found = said(payload)
    assert found
    assert all(found[purpose] not in YES for purpose in ADS)


def test_that_nobody_was_asked_is_no_statement() -> None:
    nothing = {"enabled": [], "disabled": []}
    assert said({"didomi": {"purposes": {"consent": nothing, "global": nothing}}}) == {}


@pytest.mark.parametrize("separator", [",", "_", "%2C"])
@pytest.mark.parametrize("place", ["flat", "cookies", "header"])
@pytest.mark.parametrize("ads", [True, False])
def test_hubspots_second_category_is_advertising(separator: str, place: str, ads: bool) -> None:
    value = separator.join(["1:true", f"2:{str(ads).lower()}", "3:true"])
    payload: dict[str, Any] = {
        "flat": {"__hs_cookie_cat_pref": value},
        "cookies": {"cookies": {"__hs_cookie_cat_pref": value}},
        "header": {"headers": {"cookie": f"a=b; __hs_cookie_cat_pref={value}; c=d"}},
    }[place]
    found = said(payload)
    assert all((found[purpose] in YES) == ads for purpose in ADS)
    assert found[Purpose.ANALYTICS_STORAGE] in YES


def test_a_refusal_beside_a_record_counts() -> None:
    consent = {"purposes": _consents(set(range(1, 12))), "marketing": False}
    assert said({"consent": consent})[Purpose.AD_STORAGE] is Said.DENIED
