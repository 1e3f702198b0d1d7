from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st

from tracking_pipeline.geo.place import Place, place_of, session_place, stated_place
from tracking_pipeline.identity import normalize
from tracking_pipeline.identity.countries import certain_state, full_names


@pytest.mark.parametrize(
    ("written", "country", "name", "code"),
    [
        ("Florida", "US", "Florida", "FL"),
        ("FL", "US", "Florida", "FL"),
        ("fla.", "us", "Florida", "FL"),
        ("Washington, D.C.", "US", "District of Columbia", "DC"),
        ("Québec", "CA", "Quebec", "QC"),
        ("ON", "CA", "Ontario", "ON"),
        ("New South Wales", "AU", "New South Wales", "NSW"),
        ("wa", "AU", "Western Australia", "WA"),
        ("WA", "US", "Washington", "WA"),
    ],
)
def test_a_state_has_its_full_name_and_its_code(
    written: str, country: str, name: str, code: str
) -> None:
    place = place_of(state=written, country=country)
    assert place == Place(state=name, state_code=code, country=country.upper())


@pytest.mark.parametrize(
    ("written", "country"),
    [("Bavaria", "DE"), ("Ontario", "US"), ("Kalifornia", "US"), ("CA", "ES"), ("CA", None)],
)
def test_a_state_without_a_certain_code_keeps_its_name_alone(
    written: str, country: str | None
) -> None:
    assert place_of(state=written, country=country) == Place(state=written, country=country)


def test_a_source_that_gives_iso_codes_is_believed() -> None:
    assert place_of(state="Bavaria", state_code="by", country="DE") == Place(
        state="Bavaria", state_code="BY", country="DE"
    )
    assert place_of(state="Bavaria", state_code="not a code", country="DE") == Place(
        state="Bavaria", country="DE"
    )


def test_a_code_alone_serves_where_it_is_certain() -> None:
    assert place_of(state_code="TX", country="US") == Place(
        state="Texas", state_code="TX", country="US"
    )


@pytest.mark.parametrize(
    ("city", "kept"),
    [
        ("San Jose (Stripe Elementary and Great Oaks)", "San Jose"),
        ("Montreal (Ville-Marie)", "Montreal"),
        ("Lyon (3e) (Part-Dieu", "Lyon"),
        ("Saint-Étienne", "Saint-Étienne"),
        ("  New \t York ", "New York"),
        ("(Centre)", None),
        ("Unknown", None),
        ("-", None),
        ("12345", None),
        ("x" * 201, None),
        (["Lyon"], None),
        (None, None),
    ],
)
def test_a_city_is_kept_without_its_neighbourhood(city: object, kept: str | None) -> None:
    assert place_of(city=city, country="FR") == Place(city=kept, country="FR")


def test_what_a_person_stated_keeps_its_brackets() -> None:
    assert stated_place(city="Frankfurt (Oder)") == Place(city="Frankfurt (Oder)")


@pytest.mark.parametrize(
    ("written", "kept"),
    [("33101", "33101"), (33101, "33101"), ("H1K", "H1K"), ("SW1A 1AA", "SW1A 1AA"),
     ("33101-1234", "33101-1234"), ("", None), ("n/a", None), ("none here", None),
     ("1" * 17, None), (True, None), ({}, None)],
)  # fmt: skip
def test_a_postal_code_is_kept_as_it_is_in_part_too(written: object, kept: str | None) -> None:
    assert place_of(zip_code=written, country="US") == Place(zip=kept, country="US")


@pytest.mark.parametrize("written", ["", "ZZ", "EU", "123", "Atlantis", None, 1, []])
def test_what_is_no_country_is_left_out(written: object) -> None:
    assert place_of(city="Springfield", country=written) == Place(city="Springfield")


def test_a_default_country_reads_the_state_and_is_no_part_of_the_place() -> None:
    stated = stated_place(state="FL", default_country="us")
    assert stated == Place(state="Florida", state_code="FL")
    abroad = stated_place(state="CA", country="Spain", default_country="US")
    assert abroad == Place(state="CA", country="ES")


@pytest.mark.parametrize("nothing", [None, "", " ", "null", "N/A", [], {}, 1.5, "\ud800"])
def test_nothing_usable_is_no_place(nothing: object) -> None:
    assert (
        place_of(city=nothing, state=nothing, state_code=nothing, zip_code=nothing, country=nothing)
        is None
    )


_ANYTHING = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())
)


@settings(deadline=None, max_examples=300)
@given_any(_ANYTHING, _ANYTHING, _ANYTHING, _ANYTHING, _ANYTHING | st.sampled_from(["US", "AU"]))
def test_no_part_of_a_place_is_ever_blank(
    city: object, state: object, state_code: object, zip_code: object, country: object
) -> None:
    place = place_of(
        city=city, state=state, state_code=state_code, zip_code=zip_code, country=country
    )
    if place is not None:
        parts = (place.city, place.state, place.state_code, place.zip, place.country)
        assert any(parts)
        assert all(part is None or part == part.strip() != "" for part in parts)


@pytest.mark.parametrize("country", ["US", "CA"])
def test_delivery_knows_every_state_of_the_table_by_name_and_by_code(country: str) -> None:
    names = {
        code: name for (where, code), name in full_names().items() if where == country and name
    }
    assert len(names) == {"US": 51, "CA": 13}[country]
    for code, name in names.items():
        assert certain_state(code, country) == certain_state(name, country) == (name, code)
        assert normalize("st", name, country=country) == normalize("st", code, country=country)


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
