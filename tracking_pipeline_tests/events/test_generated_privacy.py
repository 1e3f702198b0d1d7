"""Privacy options x places x spellings x types: at the event's top, in Meta's types, or refused."""

from __future__ import annotations

import json
from itertools import cycle
from typing import Any

import pytest

from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import Rejected
from tracking_pipeline_tests.events.written import (
    DESTINATIONS,
    PLACES,
    SPELLINGS,
    placed,
    prepare,
    purchase,
    sent,
    spelled,
    written_so,
)

OPTIONS: dict[str, tuple[tuple[Any, ...], Any]] = {
    "opt_out": ((True, "true", "TRUE", 1, "1", 1.0, "yes", "on", [True]), True),
    "data_processing_options": (
        (["LDU"], ["ldu"], '["LDU"]', "LDU", "ldu ", '"LDU"'),
        ["LDU"],
    ),
    "data_processing_options_country": ((1, "1", 1.0, "1.0", " 1"), 1),
    "data_processing_options_state": ((1000, "1000", 1000.0), 1000),
}
"""Of each option, what may be written, and what Meta gets."""
HARMLESS: dict[str, tuple[Any, ...]] = {
    "opt_out": (False, "false", 0, "0", "no", None, ""),
    "data_processing_options": ([], "[]", None, "", [""]),
    "data_processing_options_country": (None, "", "null"),
    "data_processing_options_state": (None, "", "undefined"),
}
UNREADABLE: dict[str, tuple[Any, ...]] = {
    "opt_out": ("perhaps", 2, {"a": 1}, [True, False]),
    "data_processing_options": (7, True, [7], "{broken", {"a": "LDU"}, "[LDU"),
    "data_processing_options_country": ("USA", True, 1.5, [1], {"a": 1}),
    "data_processing_options_state": ("California", False, 10.5),
}
LIMITED = {
    "data_processing_options": ["LDU"],
    "data_processing_options_country": 1,
    "data_processing_options_state": 1000,
    "opt_out": True,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_goes_out_wherever_and_however_it_is_written(option: str, place: str) -> None:
    written, meta_gets = OPTIONS[option]

    for spelling in SPELLINGS:
        for value in written:
            payload, row = placed(place, {spelled(option, spelling): value})
            told = sent("meta_capi", payload, **row)[option]
            # Equal is not enough: to Meta's types 1 is not True.
            assert (told, type(told)) == (meta_gets, type(meta_gets)), (value, spelling)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("place", PLACES)
def test_all_options_go_out_together(place: str, spelling: str) -> None:
    payload, row = placed(place, written_so(LIMITED, spelling))

    body = sent("meta_capi", payload, **row)
    assert {name: body[name] for name in LIMITED} == LIMITED
    assert not LIMITED.keys() & body["user_data"].keys()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_that_says_no_costs_nothing(option: str, place: str) -> None:
    for value in HARMLESS[option]:
        payload, row = placed(place, {option: value})
        for name in DESTINATIONS:
            assert isinstance(prepare(name, payload, **row), Prepared), (name, value)
        assert not sent("meta_capi", payload, **row).get(option), value
        assert "consent" not in sent("google_ec", payload, **row), value


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_that_cannot_be_read_is_refused_by_name(option: str, place: str) -> None:
    for value, spelling in zip((*UNREADABLE[option],) * 3, cycle(SPELLINGS), strict=False):
        name = spelled(option, spelling)
        payload, row = placed(place, {name: value})
        refused = prepare("meta_capi", payload, **row)
        assert isinstance(refused, Rejected), (value, refused)
        assert refused.reason.startswith("unreadable "), value
        assert refused.reason.endswith(name), value


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("said", [{"opt_out": "1"}, {"dataProcessingOptions": ["LDU"]}], ids=str)
def test_what_limits_the_use_for_meta_is_told_to_google(place: str, said: dict[str, Any]) -> None:
    payload, row = placed(place, said)

    assert sent("google_ec", payload, **row)["consent"] == {"adPersonalization": "CONSENT_DENIED"}
    shared = sent("measurement_protocol", payload, **row)["shared"]
    assert shared["consent"] == {"ad_personalization": "DENIED"}


@pytest.mark.parametrize("place", PLACES)
def test_of_two_options_the_stricter_counts(place: str) -> None:
    for near, far in ((False, True), (True, False)):
        payload, row = placed(place, {"optOut": far})
        if isinstance(payload, dict) and "event_name" in payload:
            assert sent("meta_capi", {**payload, "opt_out": near}, **row)["opt_out"] is True


def test_options_in_json_text_within_user_data_are_seen() -> None:
    payload = purchase(user_data=json.dumps({"email": "jane.roe@example.com", **LIMITED}))

    body = sent("meta_capi", payload)
    assert {name: body[name] for name in LIMITED} == LIMITED
