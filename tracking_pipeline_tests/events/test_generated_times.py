"""An unknown spelling of the time never becomes the row's: it is read, or the event is refused."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from tracking_pipeline.events.conversion import Conversion, read_conversion
from tracking_pipeline_tests.delivery.claimed import NOW, claimed
from tracking_pipeline_tests.events.written import (
    AD_DESTINATIONS,
    AN_HOUR_AGO,
    EMAIL,
    ISO_TIME,
    SPELLINGS,
    prepare,
    purchase,
    spelled,
)

# In order of trust: where several stand in one event, the time is that of the first line.
TRUST = (
    "event_epoch event_unixtime conversion_ts order_timestamp transaction_ts sale_time lead_time "
    "purchase_unixtime time_of_purchase timestamp_of_order action_time tracked_at",
    "event_on order_date transaction_date purchase_date sale_date lead_date conversion_on",
    "submitted_time submission_time_utc form_submitted_at checkout_completed_at confirmed_at "
    "closed_at order_placed_at lead_submitted_ts signed_up_at registration_time",
    "submission_date submitted_on order_completed_on registration_date",
    "lead_created_time create_time inserted_at order_created_at form_created_ts received_at "
    "entry_created_at",
    "client_ts server_time unix_timestamp utc_timestamp local_time sent_at",
    "visit_time click_time",
    "date",
)
SPOKEN = [name for line in TRUST for name in line.split()]
OF_SOMETHING_ELSE = (
    "birth_date date_of_birth expires_at expiry_date updated_at order_updated_at modified_time "
    "delivery_date order_delivery_date due_date payment_due_date appointment_time start_time "
    "end_date checkout_date checkin_date customer_created_at account_created_at user_created_time "
    "format transaction action submission registration location"
).split()
LATER = "2026-11-24T11:40:00Z"


def read(fields: dict[str, Any]) -> Conversion:
    conversion = read_conversion(claimed({"event_name": "Purchase", "email": EMAIL, **fields}))
    assert isinstance(conversion, Conversion)
    return conversion


@pytest.mark.parametrize("value", [ISO_TIME, AN_HOUR_AGO, AN_HOUR_AGO * 1000, str(AN_HOUR_AGO)])
@pytest.mark.parametrize("name", SPOKEN)
def test_every_name_of_a_time_says_when_the_event_was(name: str, value: Any) -> None:
    conversion = read({name: value})

    assert conversion.has_own_time
    assert conversion.event_time == NOW - timedelta(hours=1)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", SPOKEN)
def test_in_every_spelling_and_in_the_events_own_parts(name: str, spelling: str) -> None:
    fields = {spelled(name, spelling): ISO_TIME}

    assert read(fields).has_own_time
    assert read({"properties": fields}).has_own_time


@pytest.mark.parametrize("name", SPOKEN)
def test_one_that_cannot_be_read_refuses_the_event(name: str) -> None:
    payload = {**purchase(event_time=None), name: "24/11/2026"}

    for destination in AD_DESTINATIONS:
        answer = prepare(destination, payload)
        assert getattr(answer, "reason", None) == f"unreadable {name}", destination


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (better, worse)
        for line, after in itertools.pairwise(TRUST)
        for better in line.split()
        for worse in after.split()
    ],
)
def test_the_events_own_time_comes_before_that_of_its_record(better: str, worse: str) -> None:
    for fields in (
        {worse: LATER, better: ISO_TIME},
        {worse: LATER, "properties": {better: ISO_TIME}},
    ):
        assert read(fields).event_time == NOW - timedelta(hours=1)


@pytest.mark.parametrize("name", SPOKEN)
def test_a_usual_name_comes_before_all_of_them(name: str) -> None:
    for fields in (
        {name: LATER, "created_at": ISO_TIME},
        {name: "24/11/2026", "properties": {"timestamp": ISO_TIME}},
    ):
        assert read(fields).event_time == NOW - timedelta(hours=1)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", OF_SOMETHING_ELSE)
def test_the_date_of_something_else_is_never_the_time(name: str, spelling: str) -> None:
    conversion = read({spelled(name, spelling): LATER})

    assert not conversion.has_own_time
    assert "event_time" not in conversion.unreadable


def test_the_answer_to_a_question_for_a_date_is_no_time() -> None:
    assert not read({"answers": {"date": "2026-12-24"}}).has_own_time
