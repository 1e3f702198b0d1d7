"""The place that a person's session states, as sites keep it in ``session_data``."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from tracking_pipeline.geo.place import Place, stated_place
from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.identity.text import text_of

# Once by a client that encodes twice, and once because the column is read as text.
_MOST_ENCODINGS = 2
# Where the site's assistant notes what the visitor told it.
_AI_CONTEXT = "aiContext"
_CITY = ("city",)
_STATE = ("state", "region")
_ZIP = ("zip", "zip_code", "postal_code")
_COUNTRY = ("country",)


def session_place(session_data: object, default_country: str | None = None) -> Place | None:
    """Gives the place in a session: each part from the top level, else from ``aiContext``.

    ``session_data`` is any JSON value, or the text of one. ``default_country`` (ISO alpha-2) tells
    how to read a state's code where the session names no country. None where the session knows
    neither city nor state nor zip: a country alone does not spare a look-up. Never raises.
    """
    session = _mapping(session_data)
    levels = (session, _mapping(session.get(_AI_CONTEXT)))
    place = stated_place(
        city=_first(levels, _CITY),
        state=_first(levels, _STATE),
        zip_code=_first(levels, _ZIP),
        country=_first(levels, _COUNTRY),
        default_country=default_country,
    )
    return place if place and (place.city or place.state or place.zip) else None


def _mapping(value: object) -> Mapping[object, object]:
    """Give a JSON object, or what the text of one holds."""
    for _ in range(_MOST_ENCODINGS):
        if not isinstance(value, str):
            break
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return {}
    return value if isinstance(value, Mapping) else {}


def _first(levels: tuple[Mapping[object, object], ...], names: tuple[str, ...]) -> object:
    """Give the first value that says something: not blank, no placeholder, no list."""
    for level in levels:
        for name in names:
            value = level.get(name)
            if not isinstance(text_of(value), Refusal):
                return value
    return None
