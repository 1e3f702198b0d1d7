"""Forms x fields: whatever form a purchase is stored in, each destination is told the same."""

from __future__ import annotations

from typing import Any

import pytest

from tracking_pipeline.delivery.engine.outcomes import Rejected
from tracking_pipeline.events import forms
from tracking_pipeline.events.reading import read_payload
from tracking_pipeline_tests.events.written import (
    AD_DESTINATIONS,
    AN_HOUR_AGO,
    CLICK,
    DESTINATIONS,
    EVENT_ID,
    ORDER,
    PAGE,
    SPELLINGS,
    facts,
    prepare,
    purchase,
    renamed,
    sent,
    sha256,
    spelled,
)
from tracking_pipeline_tests.events.written_forms import FORMS, HASH, Written

_GOOGLES_PHONE, _METAS_PHONE = sha256("+16505551212"), sha256("16505551212")


def expected(destination: str, written: Written) -> dict[str, Any]:
    """What the destination is told of the purchase: all that the form has a field for."""
    told: dict[str, Any] = {
        "name": written.name,
        "id": EVENT_ID,
        "time": AN_HOUR_AGO,
        "value": 129.9,
        "currency": "EUR",
        "order": ORDER,
        "transaction": ORDER,
        "source": "WEB" if destination == "google_ec" else "website",
        "click": CLICK,
        "emails": [HASH],
        "phones": [_GOOGLES_PHONE if destination == "google_ec" else _METAS_PHONE],
        "client": written.client,
    }
    return {
        name: value
        for name, value in told.items()
        if value is not None and name not in written.lacks
    }


def test_every_form_is_written_here() -> None:
    known = {form.name for form in (*forms.FORMS, forms.FLAT)}

    assert {written.form for written in FORMS} == known


@pytest.mark.parametrize("written", FORMS, ids=lambda written: written.form)
def test_a_form_is_told_by_its_names(written: Written) -> None:
    assert read_payload(written.payload).form.name == written.form


@pytest.mark.parametrize("destination", DESTINATIONS)
@pytest.mark.parametrize("written", FORMS, ids=lambda written: written.form)
def test_each_field_goes_out_of_each_form(written: Written, destination: str) -> None:
    told = facts(destination, sent(destination, written.payload, event_name="Purchase"))

    wanted = {name: value for name, value in expected(destination, written).items() if name in told}
    assert {name: told[name] for name in wanted} == wanted
    if "page" in told:
        assert (told["page"] or "").startswith("" if "page" in written.lacks else PAGE)


@pytest.mark.parametrize("written", FORMS, ids=lambda written: written.form)
def test_the_ledger_keeps_what_it_has_no_column_for(written: Written) -> None:
    metadata = sent("ledger", written.payload, event_name="Purchase")["metadata"]

    assert float(metadata["value"]) == 129.9
    assert metadata["currency"] == "EUR"
    assert metadata["order_id"] == ORDER


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("written", FORMS, ids=lambda written: written.form)
def test_the_spelling_of_a_forms_names_changes_nothing(written: Written, spelling: str) -> None:
    other = renamed(written.payload, spelling)

    assert read_payload(other).form.name == written.form
    for destination in DESTINATIONS:
        told = facts(destination, sent(destination, written.payload, event_name="Purchase"))
        again = facts(destination, sent(destination, other, event_name="Purchase"))
        assert again == told, destination


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("destination", ["meta_capi", "google_ec"])
@pytest.mark.parametrize("written", FORMS, ids=lambda written: written.form)
def test_nor_does_it_in_what_a_platform_gets(
    written: Written, destination: str, spelling: str
) -> None:
    other = renamed(written.payload, spelling)

    assert sent(destination, other, event_name="Purchase") == sent(
        destination, written.payload, event_name="Purchase"
    )


@pytest.mark.parametrize("written", FORMS, ids=lambda written: written.form)
def test_a_form_in_a_list_of_one_is_that_event(written: Written) -> None:
    for destination in DESTINATIONS:
        assert sent(destination, [written.payload], event_name="Purchase") == sent(
            destination, written.payload, event_name="Purchase"
        ), destination


_UNREADABLE: dict[str, Any] = {
    "event_time": "yesterday",
    "event_id": {"a": {"b": 1}},
    "order_id": [1, 2],
    "value": "a lot",
    "currency": "doubloons",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("field", _UNREADABLE)
def test_a_field_that_cannot_be_read_is_named_and_not_replaced(field: str, spelling: str) -> None:
    name = spelled(field, spelling)
    payload = {**purchase(**{field: None}), name: _UNREADABLE[field]}

    for destination in AD_DESTINATIONS:
        refused = prepare(destination, payload)
        assert isinstance(refused, Rejected), (destination, refused)
        assert refused.reason == f"unreadable {name}"
