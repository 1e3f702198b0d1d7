"""What ends, how urgent that is and in which words; and what an answer says of a destination."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.delivery.destinations.google.check import read_tokeninfo
from tracking_pipeline.delivery.destinations.meta.check import (
    TokenFacts,
    read_token_answer,
    version_end,
)
from tracking_pipeline.delivery.engine.destination_check import (
    DestinationCheck,
    ending_level,
    ending_words,
)
from tracking_pipeline.http_client import Answer
from tracking_pipeline.settings import Settings

NOW = datetime(2026, 11, 30, 3, 0, tzinfo=timezone.utc)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("days", "level", "words"),
    [
        (400.0, "ok", "T ends in 400 days (2028-01-04 03:00 UTC)"),
        (60.0, "ok", "T ends in 60 days (2027-01-29 03:00 UTC)"),
        (59.9, "warning", "T ends in 59 days (2027-01-29 00:36 UTC)"),
        (2.0, "warning", "T ends in 2 days (2026-12-02 03:00 UTC)"),
        (1.99, "critical", "T ends in 47 hours (2026-12-02 02:45 UTC)"),
        (0.05, "critical", "T ends in 1 hour (2026-11-30 04:12 UTC)"),
        (-1.0, "critical", "T ended on 2026-11-29 03:00 UTC"),
    ],
)
def test_an_ending_is_told_in_the_unit_that_matters(days: float, level: str, words: str) -> None:
    assert ending_level(days) == level
    assert ending_words("T", NOW + timedelta(days=days), days) == words


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_what_ends_sooner_is_never_less_urgent(one: float, other: float) -> None:
    order = ("critical", "warning", "ok")
    sooner, later = sorted((one, other))
    assert order.index(ending_level(sooner)) <= order.index(ending_level(later))


def test_versions_end_in_their_order_and_the_default_is_not_about_to() -> None:
    ends = [version_end(f"v{number}.0") for number in range(19, 26)]
    known = [end for end in ends if end is not None]
    assert len(known) == 7
    assert known == sorted(set(known))
    # Older than the table: ended. Newer: nobody knows.
    assert version_end("v3.2") == version_end("v19.0")
    assert version_end("v99.0") is None
    default = version_end(Settings.model_fields["meta_api_version"].default)
    assert default is None or default > NOW + timedelta(days=60)


def batch(body: object) -> Answer:
    return Answer(200, {}, json.dumps([{"code": 200, "body": json.dumps(body)}]).encode())


def test_a_token_that_never_ends_has_no_ending() -> None:
    data = {"is_valid": True, "expires_at": 0, "data_access_expires_at": 0, "scopes": ["ads_read"]}
    facts = read_token_answer(batch({"data": data}))
    assert facts == TokenFacts(True, {}, ("ads_read",))


@given(JSON)
def test_whatever_meta_says_of_a_token_is_read_or_passed_over(said: object) -> None:
    for answer in (
        Answer(200, {}, json.dumps(said).encode()),
        batch(said),
        batch({"data": said}),
        batch({"data": {"is_valid": True, "expires_at": said, "scopes": said}}),
    ):
        facts = read_token_answer(answer)
        assert facts.asked
        assert all(end.tzinfo is not None for end in facts.endings.values())


@given(JSON)
def test_whatever_google_says_of_a_token_is_read_or_passed_over(said: object) -> None:
    ok = DestinationCheck("ok")
    for body in (said, {"expires_in": said, "scope": said}):
        found = read_tokeninfo(ok, Answer(200, {}, json.dumps(body).encode()), NOW)
        assert found.state == "ok"


@pytest.mark.parametrize("answer", [Answer(fault="timeout"), Answer(503), Answer(None)])
def test_where_nobody_answers_what_was_known_before_holds(answer: Answer) -> None:
    assert not read_token_answer(answer).asked
    assert not read_tokeninfo(DestinationCheck("ok"), answer, NOW).all_endings
