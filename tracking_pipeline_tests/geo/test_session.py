from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st

from tracking_pipeline.geo.place import Place
from tracking_pipeline.geo.session import session_place

MIAMI = Place(city="Miami", state="Florida", state_code="FL", zip="33101", country="US")


@pytest.mark.parametrize(
    "session",
    [
        {"city": "Miami", "state": "Florida", "zip": "33101", "country": "US"},
        {"city": "Miami", "region": "FL", "postal_code": 33101, "country": "United States"},
        {"aiContext": {"city": "Miami", "state": "FL", "zip_code": "33101", "country": "US"}},
        {"city": "Miami", "aiContext": {"state": "FL", "zip": "33101", "country": "US"}},
        {
            "city": "Miami", "state": " ", "region": "FL", "zip": None, "zip_code": "33101",
            "country": "US", "aiContext": {"city": "Tampa", "zip": "33602"},
        },
    ],
)  # fmt: skip
def test_a_place_is_read_at_the_top_and_under_ai_context(session: dict[str, Any]) -> None:
    assert session_place(session) == MIAMI
    assert session_place(json.dumps(session)) == MIAMI
    assert session_place(json.dumps(json.dumps(session))) == MIAMI


def test_a_session_without_a_country_keeps_the_state_as_it_is_written() -> None:
    assert session_place({"state": "CA"}) == Place(state="CA")
    assert session_place({"state": "CA"}, "US") == Place(state="California", state_code="CA")


@pytest.mark.parametrize(
    "session",
    [None, "", "Miami", "[]", "{", "\ud800", 1, True, [], [{"city": "Miami"}], {},
     {"country": "US"}, {"city": ""}, {"city": ["Miami"]}, {"city": {"name": "Miami"}},
     {"aiContext": None}, {"aiContext": [{"city": "Miami"}]}, {"city": "unknown", "zip": "null"}],
)  # fmt: skip
def test_a_session_that_knows_no_place_has_none(session: object) -> None:
    assert session_place(session) is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["city", "state", "zip", "zip_code", "country", "aiContext"]), inner
        )
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given_any(_JSON)
def test_no_session_makes_the_reader_raise(session: object) -> None:
    place = session_place(session, "US")
    assert place is None or place.city or place.state or place.zip
