"""A place as this project writes it, whatever a source calls its parts; and the place that a
person's session states, as sites keep it in ``session_data``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import orjson

from tracking_pipeline.identity.countries import certain_state, country_code
from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.identity.text import has_letter, text_of

# No place has a longer name: Bangkok's, in full, has 168 letters.
_LONGEST_NAME = 200
_LONGEST_CODE = 16
# DB-IP: "San Jose (Stripe Elementary and Great Oaks)", in one record of five.
_NEIGHBOURHOOD = re.compile(r"\s*\([^)]*\)?")
_STATE_CODE = re.compile(r"[A-Z0-9]{1,3}")
_ZIP = re.compile(r"[A-Z0-9 -]*[0-9][A-Z0-9 -]*", re.IGNORECASE | re.ASCII)

# Once by a client that encodes twice, and once because the column is read as text.
_MOST_ENCODINGS = 2
# Where the site's assistant notes what the visitor told it.
_AI_CONTEXT = "aiContext"
_CITY_KEYS = ("city",)
_STATE_KEYS = ("state", "region")
_ZIP_KEYS = ("zip", "zip_code", "postal_code")
_COUNTRY_KEYS = ("country",)


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody is. A part that is not known is None, never blank.

    ``state`` is the full name ("Florida"), ``state_code`` its code ("FL") where that is certain,
    ``zip`` may be the first part of a postal code ("H1K"), ``country`` is ISO 3166-1 alpha-2.
    """

    city: str | None = None
    state: str | None = None
    state_code: str | None = None
    zip: str | None = None
    country: str | None = None


def place_of(
    *,
    city: object = None,
    state: object = None,
    state_code: object = None,
    zip_code: object = None,
    country: object = None,
) -> Place | None:
    """Gives the place that a source's answer describes; None where nothing of it is usable.

    ``state`` may be a name or a code. ``state_code`` is for sources that give ISO 3166-2; a code
    that may be of another scheme stays out. A neighbourhood in brackets is cut off the city. Parts
    of the wrong type are left out. Never raises.
    """
    return stated_place(
        city=_NEIGHBOURHOOD.sub("", city) if isinstance(city, str) and "(" in city else city,
        state=state,
        state_code=state_code,
        zip_code=zip_code,
        country=country,
    )


def is_readable(part: object) -> bool:
    """Whether a source's part of a place says something, or says that it is not known: not where it
    is of another type, or holds what is no character."""
    return text_of(part) is not Refusal.NOT_TEXT


def stated_place(
    *,
    city: object = None,
    state: object = None,
    state_code: object = None,
    zip_code: object = None,
    country: object = None,
    default_country: str | None = None,
) -> Place | None:
    """Gives the place that a person stated: as :func:`place_of`, with the city as it was written
    ("Frankfurt (Oder)"). ``default_country`` tells how to read the state where no country is
    stated; it is not itself a part of the place."""
    stated_country = _country(_written(country, _LONGEST_NAME))
    state_name, code = _state(
        _written(state, _LONGEST_NAME),
        _written(state_code, _LONGEST_CODE),
        stated_country or (default_country.upper() if default_country else None),
    )
    place = Place(
        city=_named(_written(city, _LONGEST_NAME)),
        state=state_name,
        state_code=code,
        zip=_zip(_written(zip_code, _LONGEST_CODE)),
        country=stated_country,
    )
    return None if place == _NOTHING else place


def session_place(session_data: object, default_country: str | None = None) -> Place | None:
    """Gives the place in a session: each part from the top level, else from ``aiContext``.

    ``session_data`` is any JSON value, or the text of one. ``default_country`` (ISO alpha-2) tells
    how to read a state's code where the session names no country. None where the session knows
    neither city nor state nor zip: a country alone does not spare a look-up. Never raises.
    """
    session = _mapping(session_data)
    levels = (session, _mapping(session.get(_AI_CONTEXT)))
    place = stated_place(
        city=_first(levels, _CITY_KEYS),
        state=_first(levels, _STATE_KEYS),
        zip_code=_first(levels, _ZIP_KEYS),
        country=_first(levels, _COUNTRY_KEYS),
        default_country=default_country,
    )
    return place if place and (place.city or place.state or place.zip) else None


_NOTHING = Place()


def _written(value: object, longest: int) -> str | None:
    """Gives the words of a value, or None for a blank, a placeholder or what is no text."""
    text = text_of(value)
    if not isinstance(text, str) or len(text) > longest:
        return None
    return " ".join(text.split())


def _named(text: str | None) -> str | None:
    return text if text and has_letter(text) else None


@lru_cache(maxsize=8192)
def _state(
    written: str | None, code: str | None, country: str | None
) -> tuple[str | None, str | None]:
    for text in (written, code):
        certain = certain_state(text, country) if text else None
        if certain:
            return certain
    name = _named(written)
    iso = code.upper() if name and code else ""
    return name, iso if _STATE_CODE.fullmatch(iso) else None


@lru_cache(maxsize=1024)
def _country(written: str | None) -> str | None:
    return country_code(written) if written else None


def _zip(written: str | None) -> str | None:
    """Keeps a postal code as it is written, in part too; there is none without a digit."""
    return written if written and _ZIP.fullmatch(written) else None


def _mapping(value: object) -> Mapping[object, object]:
    """Gives a JSON object, or what the text of one holds."""
    for _ in range(_MOST_ENCODINGS):
        if not isinstance(value, str):
            break
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return {}
    return value if isinstance(value, Mapping) else {}


def _first(levels: tuple[Mapping[object, object], ...], names: tuple[str, ...]) -> object:
    """Gives the first value that says something: not blank, no placeholder, no list."""
    for level in levels:
        for name in names:
            value = level.get(name)
            if not isinstance(text_of(value), Refusal):
                return value
    return None
