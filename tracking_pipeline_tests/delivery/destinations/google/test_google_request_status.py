"""What Google's status of an accepted request means, and which family a reason belongs to."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.delivery.destinations.google.answers import is_the_accounts, is_unmatched
from tracking_pipeline.delivery.destinations.google.request_status import (
    RequestStatus,
    read_request_status,
)
from tracking_pipeline.http_client import Answer

NOBODYS = (
    *("CLICK_NOT_FOUND", "INVALID_CLICK", "USER_ID_NOT_FOUND", "MATCH_ID_NOT_FOUND"),
    *("USER_ID_NOT_FOUND_FOR_GCLID", "USER_ID_NOT_FOUND_FOR_IMPRESSION_ID"),
    *("ORIGINAL_CONVERSIONS_NOT_FOUND", "VISITOR_NOT_FOUND", "IMPRESSION_NOT_FOUND"),
    *("CONVERSION_NOT_MATCHED", "EVENT_UNMATCHED", "EVENT_NOT_ATTRIBUTED"),
)
THE_ACCOUNTS = (
    *("EXTERNAL_ATTRIBUTION_DATA_MISSING", "EXTERNAL_ATTRIBUTION_NOT_SUPPORTED"),
    *("CONVERSION_ACTION_NOT_FOUND", "LOGIN_ACCOUNT_NOT_FOUND", "LINKED_ACCOUNT_NOT_FOUND"),
    "TERMS_AND_CONDITIONS_NOT_SIGNED",
)
THE_EVENTS = ("INVALID_GCLID", "NO_CONSENT", "INVALID_OPERATING_ACCOUNT_FOR_CLICK")
PASSING = ("INTERNAL_ERROR", "TOO_RECENT_CLICK", "SOMETHING_NEW")


def status_of(
    errors: dict[str, int], events: int, warnings: dict[str, int] | None = None
) -> RequestStatus:
    failed = sum(errors.values())
    told: dict[str, Any] = {
        "requestStatus": "SUCCESS"
        if not failed
        else "FAILED"
        if failed >= events
        else "PARTIAL_SUCCESS",
        "errorInfo": {"errorCounts": counts("PROCESSING_ERROR_REASON_", errors)},
        "warningInfo": {"warningCounts": counts("PROCESSING_WARNING_REASON_", warnings or {})},
    }
    body = orjson.dumps({"requestStatusPerDestination": [told]})
    return read_request_status(Answer(status=200, body=body), events)


def counts(prefix: str, found: dict[str, int]) -> list[dict[str, str]]:
    return [{"reason": prefix + each, "recordCount": str(n)} for each, n in found.items()]


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        (NOBODYS, (True, False)),
        (THE_ACCOUNTS, (False, True)),
        (THE_EVENTS, (False, False)),
        (PASSING, (False, False)),
    ],
)
def test_a_reason_belongs_to_one_family(
    reasons: tuple[str, ...], expected: tuple[bool, bool]
) -> None:
    for reason in reasons:
        assert (is_unmatched(reason), is_the_accounts(reason)) == expected, reason


@given(
    st.lists(
        st.sampled_from("CLICK USER ACCOUNT LINKED NOT FOUND CONVERSION ACTION MATCH ID".split()),
        min_size=1,
    ).map("_".join)
)
def test_no_reason_is_the_accounts_and_nobodys(reason: str) -> None:
    assert not (is_unmatched(reason) and is_the_accounts(reason))


def test_events_that_match_nobody_are_delivered_and_counted_by_reason() -> None:
    told = status_of({"CLICK_NOT_FOUND": 40, "USER_ID_NOT_FOUND": 3}, 100)

    assert (told.state, told.reasons) == ("delivered", ())
    assert told.unmatched == {"CLICK_NOT_FOUND": 40, "USER_ID_NOT_FOUND": 3}
    assert status_of({"CLICK_NOT_FOUND": 7}, 7).unmatched == {"CLICK_NOT_FOUND": 7}
    assert status_of({"CLICK_NOT_FOUND": 2, "DUPLICATE_GCLID": 5}, 7).state == "delivered"


@given(
    st.dictionaries(st.sampled_from(NOBODYS), st.integers(1, 50), min_size=1),
    st.dictionaries(st.sampled_from((*THE_EVENTS, *PASSING)), st.integers(1, 50), min_size=1),
    st.integers(0, 100),
)
def test_who_matches_nobody_hides_no_fault_and_is_not_counted_before_the_fault_is_found(
    nobodys: dict[str, int], faults: dict[str, int], delivered: int
) -> None:
    errors = {**nobodys, **faults}

    told = status_of(errors, sum(errors.values()) + delivered)

    assert told.state == "unclear"
    assert set(told.reasons) == set(faults)
    assert told.unmatched == {}


def test_of_one_event_a_fault_decides() -> None:
    assert status_of({"CLICK_NOT_FOUND": 1, "INVALID_GCLID": 1}, 1).state == "refused"
    assert status_of({"CLICK_NOT_FOUND": 1, "TOO_RECENT_CLICK": 1}, 1).state == "later"
    assert status_of({"CLICK_NOT_FOUND": 1, THE_ACCOUNTS[0]: 1}, 1).state == "account"


def test_an_accounts_fault_is_no_events() -> None:
    for reason in THE_ACCOUNTS:
        assert status_of({reason: 9}, 9).state == "account"


def test_warnings_are_counted_and_change_nothing() -> None:
    told = status_of({}, 5, {"INTERNAL_ERROR": 2})

    assert (told.state, told.warnings) == ("delivered", {"INTERNAL_ERROR": 2})
    assert status_of({"INVALID_GCLID": 1}, 5, {"INTERNAL_ERROR": 2}).state == "unclear"


@pytest.mark.parametrize("count", [None, "", "many", 0, -3, 10**12, "99999999999"])
def test_a_count_that_cannot_be_believed_is_at_least_one_event_and_at_most_all(count: Any) -> None:
    each = {"reason": "PROCESSING_ERROR_REASON_CLICK_NOT_FOUND", "recordCount": count}
    told = {"requestStatus": "PARTIAL_SUCCESS", "errorInfo": {"errorCounts": [each, 7, {}]}}
    body = orjson.dumps({"requestStatusPerDestination": [told]})

    unmatched = read_request_status(Answer(status=200, body=body), 8).unmatched["CLICK_NOT_FOUND"]

    assert 1 <= unmatched <= 8
