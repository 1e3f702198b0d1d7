"""Where a payload carries identifiers: every usual name, in every usual place.

A place is the top level, a container or a list of containers. Those that usually describe the
person (`user_data`, `traits`, `customer`, `address`, ...) come first; unknown ones serve when
nothing better is there; containers that describe somebody or something else (a merchant, the
items of an order, a campaign) are not entered.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import NamedTuple

from tracking_pipeline.identity.browser import click_id_of, fbc_from_click
from tracking_pipeline.identity.field_names import (
    ELSEWHERE,
    TOP_LEVEL,
    Identifier,
    Place,
    Rank,
    Special,
    meaning_of,
)
from tracking_pipeline.identity.name import split_full_name

# Form builders write fields as pairs: {"name": "email", "value": "..."}.
PAIR_NAMES = ("name", "key", "field", "label")
PAIR_VALUES = ("value", "values", "answer")
# What an identifier that is an object keeps its text under: {"phone": {"number": "..."}}.
_INNER_VALUES = ("value", "values", "code", "number", "address", "name")
# What makes the mapping it stands in one about a person.
CONTACT_KEYS = frozenset({"em", "ph", "fn", "ln"})

# Bounds for payloads made to exhaust us; a real one has under ten levels and some dozen mappings.
_MAX_DEPTH = 12
_MAX_MAPPINGS = 2000
_MAX_LIST = 50
_MAX_JSON_CHARACTERS = 200_000
_MAX_FULL_NAME_CHARACTERS = 200
_RANKS = tuple(Rank)


class Candidate(NamedTuple):
    """A raw value that may become the match key `key`.

    `country` is the raw country of the mapping it stood in, or of one around it; None if none.
    `google_named`: a hash here is of Google's making, because its name or its place is Google's.
    """

    key: str
    value: object
    rank: Rank
    country: object
    google_named: bool


def find_candidates(payload: object) -> list[Candidate]:
    """Find every value that may become a match key, the nearest to the person first.

    Never raises; what lies beyond the bounds above is not found.
    """
    search = _Search()
    search.enter(payload, TOP_LEVEL, None, 0)
    return search.ranked()


class _Search:
    """One walk through one payload."""

    def __init__(self) -> None:
        # By rank, so that the nearest come first without being sorted.
        self._found: list[list[Candidate]] = [[] for _ in _RANKS]
        self._mappings_left = _MAX_MAPPINGS
        self._click_id: str | None = None
        self._event_time: object = None

    def ranked(self) -> list[Candidate]:
        if self._click_id is not None:
            fbc = fbc_from_click(self._click_id, self._event_time)
            self._found[Rank.DERIVED].append(Candidate("fbc", fbc, Rank.DERIVED, None, False))
        return list(chain.from_iterable(self._found))

    def enter(self, value: object, place: Place, country: object, depth: int) -> None:
        """Look into a container, a list of containers, or the JSON text of one."""
        if isinstance(value, str):
            value = _decoded(value)
        if depth > _MAX_DEPTH:
            return
        if isinstance(value, dict):
            self._mapping(value, place, country, depth)
        elif isinstance(value, (list, tuple)):
            for item in value[:_MAX_LIST]:
                if isinstance(item, dict):
                    self._pair(item, place, country)
                    self._mapping(item, place, country, depth + 1)

    def _mapping(
        self, mapping: dict[object, object], place: Place, country: object, depth: int
    ) -> None:
        if self._mappings_left <= 0:
            return
        self._mappings_left -= 1
        shape = _shape_of(tuple(mapping))
        for name in shape.countries:
            if mapping[name] is not None:
                country = mapping[name]
        for name, identifier in shape.identifiers:
            value = mapping[name]
            if value is not None:
                self._add(identifier, value, place, country)
        if shape.specials:
            of_person = place.of_person or _is_about_person(mapping, shape)
            for name, special in shape.specials:
                if mapping[name] is not None:
                    self._take_special(special, mapping[name], of_person=of_person)
        for name, inner in shape.places:
            value = mapping[name]
            if inner is not ELSEWHERE or isinstance(value, (dict, list, tuple)):
                self.enter(value, _within(place, inner), country, depth + 1)

    def _pair(self, item: dict[object, object], place: Place, country: object) -> None:
        name = next((item[name] for name in PAIR_NAMES if name in item), None)
        value = next((item[name] for name in PAIR_VALUES if name in item), None)
        if value is None or not isinstance(name, str):
            return
        meaning = meaning_of(name)
        if isinstance(meaning, Identifier):
            self._add(meaning, value, place, country)
        elif isinstance(meaning, Special):
            self._take_special(meaning, value, of_person=place.of_person)

    def _add(self, identifier: Identifier, value: object, place: Place, country: object) -> None:
        key, google_named = identifier.key, identifier.google_named or place.google_named
        found = self._found[place.rank]
        if not isinstance(value, str):
            value = _inner_value(value)
        if not isinstance(value, (list, tuple)):
            found.append(Candidate(key, value, place.rank, country, google_named))
            return
        for one in value[:_MAX_LIST]:
            found.append(Candidate(key, _inner_value(one), place.rank, country, google_named))

    def _take_special(self, special: Special, value: object, *, of_person: bool) -> None:
        if special is Special.EVENT_TIME:
            self._event_time = value if self._event_time is None else self._event_time
        elif not isinstance(value, str):
            return
        elif special is Special.CLICK_ID:
            self._click_id = value
        elif special is Special.LANDING_URL:
            self._click_id = self._click_id or click_id_of(value)
        elif special is Special.FULL_NAME or (special is Special.PERSON_NAME and of_person):
            parts = split_full_name(value[:_MAX_FULL_NAME_CHARACTERS])
            if parts is not None:
                for key, part in zip(("fn", "ln"), parts, strict=True):
                    candidate = Candidate(key, part, Rank.DERIVED, None, False)
                    self._found[Rank.DERIVED].append(candidate)


class _Shape(NamedTuple):
    """What the names of a mapping say of it, by kind.

    `countries` are among the identifiers. `specials` are those that may identify somebody,
    `event_names` those that only say what the mapping is about.
    """

    identifiers: tuple[tuple[str, Identifier], ...]
    countries: tuple[str, ...]
    specials: tuple[tuple[str, Special], ...]
    event_names: tuple[str, ...]
    places: tuple[tuple[str, Place], ...]


# Payloads have few shapes, again and again. Names that nobody gives a field are not kept.
_shapes: dict[tuple[object, ...], _Shape] = {}
_MAX_SHAPES, _MAX_NAMES, _MAX_NAME_CHARACTERS = 1024, 64, 64


def _shape_of(names: tuple[object, ...]) -> _Shape:
    shape = _shapes.get(names)
    if shape is None:
        texts = [name for name in names if isinstance(name, str)]
        shape = _judged(texts)
        usual = len(texts) == len(names) <= _MAX_NAMES
        if usual and all(len(text) <= _MAX_NAME_CHARACTERS for text in texts):
            if len(_shapes) >= _MAX_SHAPES:
                _shapes.clear()
            _shapes[names] = shape
    return shape


def _judged(names: list[str]) -> _Shape:
    identifiers: list[tuple[str, Identifier]] = []
    specials: list[tuple[str, Special]] = []
    places: list[tuple[str, Place]] = []
    event_names: list[str] = []
    for name in names:
        meaning = meaning_of(name)
        if isinstance(meaning, Identifier):
            identifiers.append((name, meaning))
        elif isinstance(meaning, Place):
            places.append((name, meaning))
        elif meaning is Special.EVENT_NAME:
            event_names.append(name)
        elif meaning is not Special.STRANGER:
            specials.append((name, meaning))
    countries = tuple(name for name, identifier in identifiers if identifier.key == "country")
    return _Shape(tuple(identifiers), countries, tuple(specials), tuple(event_names), tuple(places))


def _within(outer: Place, inner: Place) -> Place:
    """Whatever lies within explicit user data is explicit too.

    An unknown container within a person's place may have a `name` of its own: their plan, say.
    """
    if outer is TOP_LEVEL:
        return inner
    return Place(
        Rank.EXPLICIT if outer.rank is Rank.EXPLICIT else inner.rank,
        of_person=inner.of_person or (outer.of_person and inner is not ELSEWHERE),
        google_named=outer.google_named or inner.google_named,
    )


def _is_about_person(mapping: dict[object, object], shape: _Shape) -> bool:
    """A lead form's `name` beside its `email` is a person's; beside `event_name`, who knows."""
    named = any(
        special is Special.PERSON_NAME and mapping[name] is not None
        for name, special in shape.specials
    )
    return (
        named
        and all(mapping[name] is None for name in shape.event_names)
        and any(
            identifier.key in CONTACT_KEYS and mapping[name] is not None
            for name, identifier in shape.identifiers
        )
    )


def _inner_value(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return next((value[name] for name in _INNER_VALUES if name in value), None)


def _decoded(text: str) -> object:
    """Give the object in a JSON text (a column that should be jsonb), None when it is none."""
    if text.lstrip()[:1] not in ("{", "[") or len(text) > _MAX_JSON_CHARACTERS:
        return None
    try:
        decoded: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return decoded
