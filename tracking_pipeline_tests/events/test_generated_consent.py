"""Consent statements x places x spellings x values: who refused is never sent to an ad platform."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest

from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import NotSent, Rejected, Withheld
from tracking_pipeline_tests.events.written import (
    AD_DESTINATIONS,
    PLACES,
    SPELLINGS,
    each_outcome,
    placed,
    purchase,
    spelled,
    written_so,
)
from tracking_pipeline_tests.events.written_consent import (
    GRANTED,
    OBJECTS,
    PURPOSES,
    REFUSED,
    SILENT,
    STATEMENTS,
    UNCLEAR,
    WORDS_OF_GRANT,
    WORDS_OF_REFUSAL,
)


def is_withheld(outcome: Prepared | NotSent) -> bool:
    return isinstance(outcome, Withheld) and outcome.reason == "consent denied"


def is_sent(outcome: Prepared | NotSent) -> bool:
    return isinstance(outcome, Prepared)


def wrong_of_refusal(payload: Any, **row: Any) -> Iterator[tuple[str, Any]]:
    """The destinations that do not do what they must with an event whose person refused."""
    for name, outcome in each_outcome(payload, **row):
        right = is_withheld(outcome) if name in AD_DESTINATIONS else is_sent(outcome)
        if not right:
            yield name, outcome


def wrong_of_grant(payload: Any, **row: Any) -> Iterator[tuple[str, Any]]:
    for name, outcome in each_outcome(payload, **row):
        if not is_sent(outcome):
            yield name, outcome


def wrong_of_unclear(field: str, payload: Any, **row: Any) -> Iterator[tuple[str, Any]]:
    for name, outcome in each_outcome(payload, **row):
        if name == "ledger":
            right = is_sent(outcome)
        else:
            right = (
                isinstance(outcome, Rejected)
                and outcome.reason.startswith("unreadable consent: ")
                and outcome.reason.split(".")[-1].endswith(field)
            )
        if not right:
            yield name, outcome


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("place", PLACES)
def test_a_refusal_is_seen_wherever_a_person_is(place: str, spelling: str) -> None:
    """Every field in every place; the values take turns, and each field has them all below."""
    values = cycle(REFUSED)
    for field in STATEMENTS:
        value = next(values)
        payload, row = placed(place, {spelled(field, spelling): value})
        assert list(wrong_of_refusal(payload, **row)) == [], (field, value)


@pytest.mark.parametrize("place", PLACES)
def test_consent_given_in_the_same_forms_is_sent(place: str) -> None:
    for field, value, spelling in zip(
        (*STATEMENTS, *STATEMENTS), cycle(GRANTED), cycle(SPELLINGS), strict=False
    ):
        payload, row = placed(place, {spelled(field, spelling): value})
        assert list(wrong_of_grant(payload, **row)) == [], (field, value)


@pytest.mark.parametrize("place", PLACES)
def test_a_statement_that_cannot_be_understood_is_named(place: str) -> None:
    values = cycle(UNCLEAR)
    for field in STATEMENTS:
        value = next(values)
        payload, row = placed(place, {field: value})
        assert list(wrong_of_unclear(field, payload, **row)) == [], (field, value)


@pytest.mark.parametrize("place", PLACES)
def test_silence_is_no_refusal(place: str) -> None:
    values = cycle(SILENT)
    for field in STATEMENTS:
        value = next(values)
        payload, row = placed(place, {field: value})
        assert list(wrong_of_grant(payload, **row)) == [], (field, value)


@pytest.mark.parametrize("field", STATEMENTS)
def test_each_field_may_have_each_value(field: str) -> None:
    for value in REFUSED:
        assert list(wrong_of_refusal(purchase(**{field: value}))) == [], value
    for value in GRANTED:
        assert list(wrong_of_grant(purchase(**{field: value}))) == [], value
    for value in UNCLEAR:
        assert list(wrong_of_unclear(field, purchase(**{field: value}))) == [], value
    for value in SILENT:
        assert list(wrong_of_grant(purchase() | {field: value})) == [], value


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("field", OBJECTS)
def test_an_object_of_purposes_refuses_where_advertising_is_refused(
    field: str, spelling: str
) -> None:
    name = spelled(field, spelling)
    refusals, grants = cycle((*WORDS_OF_REFUSAL, False)), cycle((*WORDS_OF_GRANT, True))
    for purpose in PURPOSES:
        said = {"necessary": True, "analytics": True, "functional": True}
        refused = written_so({**said, purpose: next(refusals)}, spelling)
        granted = written_so({**said, purpose: next(grants)}, spelling)
        for writing in (lambda each: each, json.dumps):
            assert list(wrong_of_refusal(purchase(**{name: writing(refused)}))) == [], refused
            assert list(wrong_of_grant(purchase(**{name: writing(granted)}))) == [], granted


@pytest.mark.parametrize("place", PLACES)
def test_an_object_of_purposes_is_read_in_each_place(place: str) -> None:
    for field, purpose in zip(cycle(OBJECTS), PURPOSES, strict=False):
        payload, row = placed(place, {field: {"analytics": True, purpose: False}})
        assert list(wrong_of_refusal(payload, **row)) == [], (field, purpose)
        payload, row = placed(place, {field: {"analytics": True, purpose: True}})
        assert list(wrong_of_grant(payload, **row)) == [], (field, purpose)


@pytest.mark.parametrize(
    "refused",
    [
        ["necessary", "analytics"],
        "necessary,analytics",
        '["necessary", "analytics"]',
        {"accepted": ["necessary", "analytics"]},
        {"accepted": ["necessary"], "rejected": ["marketing"]},
        {"denied": ["advertising"]},
        {"categories": {"marketing": False, "analytics": True}},
        [{"purpose": "marketing", "granted": False}, {"purpose": "analytics", "granted": True}],
        [{"category": "advertising", "status": "denied"}],
    ],
)
def test_a_list_of_purposes_says_what_was_refused(refused: Any) -> None:
    assert list(wrong_of_refusal(purchase(consent=refused))) == []


@pytest.mark.parametrize(
    "granted",
    [
        ["necessary", "analytics", "marketing"],
        "necessary,analytics,marketing",
        '["analytics", "advertising"]',
        {"accepted": ["analytics", "marketing"], "rejected": []},
        {"denied": ["functional"], "accepted": ["marketing", "analytics"]},
        {"categories": {"marketing": True, "analytics": True, "functional": False}},
        [{"purpose": "marketing", "granted": True}, {"purpose": "functional", "granted": False}],
    ],
)
def test_a_list_of_purposes_says_what_was_accepted(granted: Any) -> None:
    assert list(wrong_of_grant(purchase(consent=granted))) == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_only_belongs_to_a_statement_is_none(place: str, spelling: str) -> None:
    said = {
        "consent_timestamp": "2026-11-01T08:00:00Z",
        "consent_version": "2.1",
        "consent_id": "c-8d1e",
        "consent_text": "I have read it",
        "consent_url": "https://shop.example/privacy",
        "email_consent": False,
        "sms_consent": "no",
        "newsletter_consent": 0,
    }
    payload, row = placed(place, written_so(said, spelling))

    assert list(wrong_of_grant(payload, **row)) == []


@pytest.mark.parametrize("field", ["withdrawn_consent", "consent_denied", "consent_revoked"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_field_that_is_named_after_a_refusal_means_it_where_it_is_true(
    field: str, spelling: str
) -> None:
    name = spelled(field, spelling)
    for value in (True, "true", 1, "yes", "2026-11-01T08:00:00Z"):
        assert list(wrong_of_refusal(purchase(**{name: value}))) == [], value
    for value in (False, "false", 0, "no", "", None):
        assert list(wrong_of_grant(purchase() | {name: value})) == [], value


@pytest.mark.parametrize("place", PLACES)
def test_the_strictest_of_several_statements_counts(place: str) -> None:
    payload, row = placed(place, {"consent": "denied"})
    if isinstance(payload, dict) and "event_name" in payload:
        beside = {"ad_user_data": "granted", "marketing_consent": True}
        assert list(wrong_of_refusal({**payload, **beside}, **row)) == []
