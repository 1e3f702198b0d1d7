"""What each destination needs of a consent, what it is told of it, and what silence means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import Withheld
from tracking_pipeline.events.consent import ConsentDefault
from tracking_pipeline.events.policy import PrivacyControl, ReadingPolicy
from tracking_pipeline_tests.events.written import (
    AD_DESTINATIONS,
    PLACES,
    SPELLINGS,
    body_of,
    each_outcome,
    placed,
    prepare,
    purchase,
    sent,
    spelled,
    written_so,
)

GRANTED_ADS = {"ad_storage": "granted", "ad_user_data": "granted"}
NO_ANALYTICS = {**GRANTED_ADS, "ad_personalization": "granted", "analytics_storage": "denied"}
NO_PERSONALISATION = {**GRANTED_ADS, "ad_personalization": "denied"}


def sent_to(payload: Any, **row: Any) -> set[str]:
    return {name for name, outcome in each_outcome(payload, **row) if isinstance(outcome, Prepared)}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("place", PLACES)
def test_analytics_refused_concerns_analytics_alone(place: str, spelling: str) -> None:
    everybody_else = {"meta_capi", "google_ec", "data_client", "ledger"}

    for said in (
        written_so(NO_ANALYTICS, spelling),
        {spelled("consent_state", spelling): written_so(NO_ANALYTICS, spelling)},
        {spelled("consent", spelling): json.dumps(NO_ANALYTICS)},
        {"consent": {"marketing": True, "analytics": False}},
    ):
        payload, row = placed(place, said)
        assert sent_to(payload, **row) == everybody_else, said


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("place", PLACES)
def test_personalisation_refused_is_sent_and_told(place: str, spelling: str) -> None:
    for said in (
        written_so(NO_PERSONALISATION, spelling),
        {spelled("consent_mode", spelling): written_so(NO_PERSONALISATION, spelling)},
        {"consent": json.dumps({"adUserData": "GRANTED", "adPersonalization": "DENIED"})},
        {"consent": {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_DENIED"}},
    ):
        payload, row = placed(place, said)
        google = sent("google_ec", payload, **row)["consent"]
        assert google == {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_DENIED"}
        analytics = sent("measurement_protocol", payload, **row)["shared"]["consent"]
        assert analytics == {"ad_user_data": "GRANTED", "ad_personalization": "DENIED"}
        assert sent("meta_capi", payload, **row)["opt_out"] is True
        assert "denied" in json.dumps(_told(payload, **row)).lower().replace("false", "denied")


def _told(payload: Any, **row: Any) -> Any:
    """What the container's tags see of the site's statement."""
    return sent("data_client", payload, **row)["consent_state"]


@pytest.mark.parametrize("place", PLACES)
def test_agreeing_to_advertising_is_never_called_a_grant_of_what_was_not_asked(place: str) -> None:
    payload, row = placed(place, {"marketing_consent": True})

    assert "consent" not in sent("google_ec", payload, **row)
    assert "consent" not in sent("measurement_protocol", payload, **row)["shared"]
    assert "opt_out" not in sent("meta_capi", payload, **row)


_SILENT: tuple[dict[str, Any], ...] = ({}, {"consent": None}, {"consent": {}})


@pytest.mark.parametrize("default", ["granted", "unknown", "denied"])
@pytest.mark.parametrize("said", _SILENT, ids=str)
def test_what_silence_means_is_the_sites_to_say(
    said: dict[str, Any], default: ConsentDefault
) -> None:
    policy = ReadingPolicy(consent_default=default)

    for name, outcome in each_outcome(purchase() | said, policy):
        if default == "denied" and name in AD_DESTINATIONS:
            assert isinstance(outcome, Withheld), name
            assert outcome.reason == "no consent stated"
        else:
            assert isinstance(outcome, Prepared), name


@pytest.mark.parametrize("default", ["granted", "unknown", "denied"])
@pytest.mark.parametrize("place", PLACES)
def test_what_was_said_goes_before_what_silence_means(place: str, default: ConsentDefault) -> None:
    policy = ReadingPolicy(consent_default=default)
    refused, row_of_refused = placed(place, {"consent": "denied"})
    granted, row_of_granted = placed(place, {"consent": "granted"})

    for name in AD_DESTINATIONS:
        assert isinstance(prepare(name, refused, policy, **row_of_refused), Withheld), name
        assert isinstance(prepare(name, granted, policy, **row_of_granted), Prepared), name


@pytest.mark.parametrize("field", ["gpc", "global_privacy_control", "sec_gpc"])
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("value", [True, 1, "1", "true"])
def test_a_browsers_privacy_control_does_what_the_site_says(
    field: str, spelling: str, value: Any
) -> None:
    payload = purchase(**{spelled(field, spelling): value})

    def under(control: PrivacyControl, name: str) -> Any:
        return prepare(name, payload, ReadingPolicy(privacy_control=control))

    for name in AD_DESTINATIONS:
        assert isinstance(under("denied", name), Withheld), name
        assert isinstance(under("limited", name), Prepared), name
        assert isinstance(under("ignored", name), Prepared), name
    limited = body_of(under("limited", "meta_capi"))
    assert limited["data_processing_options"] == ["LDU"]
    assert "data_processing_options" not in body_of(under("ignored", "meta_capi"))
    google = body_of(under("limited", "google_ec"))["consent"]
    assert google["adPersonalization"] == "CONSENT_DENIED"


_GCS = {"G100": set(), "G101": set(), "G110": {"meta_capi", "google_ec", "data_client"}}


@pytest.mark.parametrize("field", ["gcs", "x-ga-gcs", "consent"])
@pytest.mark.parametrize("place", PLACES)
def test_googles_own_consent_string_is_read(place: str, field: str) -> None:
    for text, destinations in _GCS.items():
        payload, row = placed(place, {field: text})
        assert sent_to(payload, **row) == {*destinations, "ledger"}, text
    payload, row = placed(place, {field: "G111"})
    assert sent_to(payload, **row) == {*AD_DESTINATIONS, "ledger"}
