"""One reading of a stored row: each field where it stands, the person's candidates, consent.

The row is opened once (``events/tree.py``) and looked through once, as the plan of its kind says
(``events/plan.py``); everybody who delivers, stores or explains an event asks this reading and
never looks into the payload.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from tracking_pipeline.events.closed_places import refusals_in
from tracking_pipeline.events.consent import Purpose, Said, stricter
from tracking_pipeline.events.consent_names import StatementName, Way
from tracking_pipeline.events.consent_values import (
    is_choice_by_number,
    is_of_vendors,
    read_statement,
)
from tracking_pipeline.events.forms import FLAT, Form, is_api_address
from tracking_pipeline.events.names import CLICK_IDS, Kind, Rank
from tracking_pipeline.events.node import Node
from tracking_pipeline.events.people import NamePart, Person, find_person, full_name, inner_value
from tracking_pipeline.events.plan import IDS, How, Plan, Spot, plan_of
from tracking_pipeline.events.row import StoredRow
from tracking_pipeline.events.tree import Tree, open_payload
from tracking_pipeline.identity.browser import fbc_from_click
from tracking_pipeline.identity.match import (
    RANKS_OF_A_SOURCE,
    Candidate,
    Resolved,
    Resolving,
    resolve_candidates,
    wanted_by,
)
from tracking_pipeline.identity.match_value import region_of
from tracking_pipeline.identity.placeholders import is_placeholder
from tracking_pipeline.identity.platforms import VISITOR_IDS, ExternalIdMode, rules_of
from tracking_pipeline.null_markers import says_nothing

_Answer = TypeVar("_Answer")


class Found(NamedTuple):
    """A value and where it stands."""

    value: Any
    node: Node
    key: str

    @property
    def path(self) -> str:
        return self.node.path(self.key)


class Statement(NamedTuple):
    """What was said of one purpose, and by which field."""

    said: Said
    path: str


# Of the payload, and of the row's column.
_RANKS_OF_NAMES = (Rank.DERIVED, Rank.DERIVED + RANKS_OF_A_SOURCE)
_IDS = frozenset((How.ID, How.TEXT_ID))
_ID, _NAME, _ADDRESS = How.ID, How.NAME, How.ADDRESS

# Those that are match keys as they are; Google's are no match keys, and Meta's goes into `fbc`.
_MATCHED_CLICKS = CLICK_IDS.keys() & rules_of(VISITOR_IDS).keys()
# The last names the kind of each click beside it.
_CLICKS_WANTED = _MATCHED_CLICKS | {"fbclid", "click_id"}
_CLICKS_IN_URLS = {name.replace("_", ""): name for name in CLICK_IDS} | {
    name: name for name in CLICK_IDS
}
# A quick look saves most addresses the full one. It begins with the sign behind a name, of which an
# address has few.
_ENDS_OF_CLICKS = "|".join(sorted({name[-4:] for name in _CLICKS_IN_URLS}))
_MAY_HOLD_CLICK = re.compile(
    rf"[=%](?:(?<=(?:{_ENDS_OF_CLICKS})=)|(?<=(?:{_ENDS_OF_CLICKS})%)3D)", re.IGNORECASE
).search
_LONGEST_URL = 8_000
# Without one of these, the query is all that stands behind the question mark.
_SPECIAL_IN_URL = frozenset("#[] ")
_MOST_VALUES = 50
_NO_NAMES_BEGIN = frozenset("unNU[{$%<( \t\r\n")
_NO_NAMES = frozenset(("undefined", "null", "nan", "[object object]", "(not set)"))


_NOTHING: Mapping[str, Found] = {}
_NOTHING_LISTED: Sequence[tuple[str, Found]] = ()
_NOTHING_SAID: Sequence[tuple[StatementName, Found]] = ()


class Reading:
    """What one stored row says. ``values`` has each field of the event where it is nearest to it,
    ``spots`` where that is; ``privacy`` each privacy option wherever it stands; ``consents`` each
    statement; ``lead`` what its person's lead may add."""

    __slots__ = (
        "_candidates",
        "_clicks",
        "_found",
        "_person",
        "_plan",
        "consents",
        "customs",
        "lead",
        "options",
        "platform_ids",
        "privacy",
        "row",
        "spots",
        "tree",
        "values",
    )

    def __init__(self, row: StoredRow) -> None:
        self.row = row
        self.lead = row.lead
        self.tree: Tree = open_payload(row.payload, row.user_data or None)
        self._plan: Plan = plan_of(self.tree)
        self._person: Person = find_person(self.tree, self._plan.people)
        self._candidates: list[Candidate] | None = None
        self._clicks: dict[str, tuple[Any, Spot]] | None = None
        self._found: dict[str, Found] | None = None
        self.privacy: Sequence[tuple[str, Found]]
        self.consents: Sequence[tuple[StatementName, Found]]
        self.platform_ids: Mapping[str, Found]
        self.customs: Mapping[str, Found]
        self.options: Mapping[str, Found]
        mappings, plan = self.tree.mappings, self._plan
        values: dict[str, Any] = {}
        spots: dict[str, Spot] = {}
        for name, how, places in plan.fields:
            for spot in places:
                index, key, anywhere = spot
                value = mappings[index][key]
                if value is None or value == "":
                    continue
                if type(value) is str:
                    if says_nothing(value):
                        continue
                    if how:
                        if how in _IDS and is_placeholder(value):
                            continue
                        if how == _NAME and _is_no_name(value):
                            continue
                        if how == _ADDRESS and not anywhere and is_api_address(value):
                            continue
                elif how > _ID:
                    # A form's field is often a list of one.
                    value = value[0] if isinstance(value, list) and len(value) == 1 else value
                    if not isinstance(value, str) or not value.strip():
                        continue
                elif (how and (value in ({}, []) or (value == 0 and value is not False))) or not (
                    anywhere or _may_be(name, value)
                ):
                    continue
                values[name] = value
                spots[name] = spot
                break
        self.values = values
        self.spots = spots
        self.privacy = self._listed(plan.privacy) if plan.privacy else _NOTHING_LISTED
        self.consents = self._statements(plan) if plan.consents or plan.closed else _NOTHING_SAID
        self.platform_ids = self._first(plan.platform_ids) if plan.platform_ids else _NOTHING
        self.customs = self._first(plan.customs) if plan.customs else _NOTHING
        self.options = self._first(plan.options) if plan.options else _NOTHING

    @property
    def found(self) -> Mapping[str, Found]:
        """Each field of the event, with where it stands."""
        if self._found is None:
            nodes, spots = self.tree.nodes, self.spots
            self._found = {
                name: Found(value, nodes[spots[name].at], spots[name].name)
                for name, value in self.values.items()
            }
        return self._found

    def _statements(self, plan: Plan) -> Sequence[tuple[StatementName, Found]]:
        nodes = self.tree.nodes
        statements = [
            (statement, Found(nodes[index].mapping[key], nodes[index], key))
            for statement, index, key in plan.consents
            if nodes[index].mapping[key] is not None
        ]
        for index, key in plan.closed:
            # A refusal counts wherever it was said.
            if value := nodes[index].mapping[key]:
                statements += [
                    (statement, Found(node.mapping[name], node, name))
                    for statement, node, name in refusals_in(value, nodes[index], key)
                ]
        return statements

    def _listed(self, spots: tuple[tuple[str, int, str], ...]) -> list[tuple[str, Found]]:
        nodes = self.tree.nodes
        return [
            (name, Found(value, nodes[index], key))
            for name, index, key in spots
            if (value := nodes[index].mapping[key]) is not None and value != ""
        ]

    def _first(self, spots: tuple[tuple[str, int, str], ...]) -> dict[str, Found]:
        taken: dict[str, Found] = {}
        for name, found in self._listed(spots):
            value = found.value
            if name in taken or (
                isinstance(value, str) and (value.isspace() or is_placeholder(value))
            ):
                continue
            taken[name] = found
        return taken

    def asked_of_names(self, question: Callable[[Reading], _Answer]) -> _Answer:
        """The answer to a question that the names in the payload's mappings decide, and no value
        nor the name of a mapping itself: it is asked once of payloads that are built alike."""
        answers = self._plan.answers
        if question not in answers:
            answers[question] = question(self)
        answer: _Answer = answers[question]
        return answer

    @property
    def form(self) -> Form:
        """The form that the event itself is in."""
        return self.tree.event.shape.form if self.tree.event is not None else FLAT

    @property
    def nodes(self) -> list[Node]:
        """The opened payload's mappings: the event, its parts, what is around it, then the row's
        column; the nearest to the event first."""
        return [self.tree.nodes[index] for index in self._plan.order]

    @property
    def urls(self) -> list[tuple[str, Found]]:
        """The addresses of pages: (field, where it stands), the nearest first; the field is empty
        for one that only a click may be read from."""
        return [
            (name, found)
            for name, found in self._listed(self._plan.urls)
            if isinstance(found.value, str)
        ]

    def loose(self) -> dict[str, Any]:
        """The event's own object as it stands, with what was written in it as JSON text opened, and
        without the placeholders of its ids."""
        at, ids = self.asked_of_names(_ids_of_event)
        if at is None:
            return {}
        fields = dict(self.tree.mappings[at])
        for name in ids:
            value = fields[name]
            if isinstance(value, str) and is_placeholder(value):
                del fields[name]
        for node in self.tree.nodes if self.tree.may_hold_texts else ():
            if node.parent is self.tree.event and type(fields.get(node.name)) is str:
                # The text of a header is opened for what is read from it; the rest is a session's.
                if node.place.plain in ("cookie", "cookies"):
                    del fields[node.name]
                else:
                    fields[node.name] = node.mapping
        return fields

    def part(self, *kinds: Kind) -> Iterator[Node]:
        """The event's own parts of these kinds, the nearest first, without what is within them."""
        event, nodes = self.tree.event, self.tree.nodes
        for index in self._plan.order:
            node = nodes[index]
            if node.parent is event and node.place.kind in kinds and not node.of_row:
                yield node

    def value(self, name: str) -> Any:
        """The field's value as it stands, None where there is none."""
        return self.values.get(name)

    def path(self, name: str) -> str:
        """Where the field stands, empty where there is none."""
        found = self.found.get(name)
        return "" if found is None else found.path

    # -- consent ---------------------------------------------------------------------------------

    def said(self, denied_ids: frozenset[str] = frozenset()) -> dict[Purpose, Statement]:
        """What was said of each purpose, the strictest where it was said more than once; without
        what a browser's Global Privacy Control says (:meth:`has_privacy_control`)."""
        own = [each for each in self.consents if each[0].way is not Way.GPC]
        of_purposes = [each for each in own if not _is_of_vendors(each[1])]
        # What is said of vendors alone is said all the same, and nobody knows what it means.
        return _said(of_purposes, denied_ids) or _said(own, denied_ids)

    def has_privacy_control(self) -> bool:
        """Whether the browser asked by Global Privacy Control not to have its data sold."""
        return any(
            name.way is Way.GPC and read_statement(name, found.value)
            for name, found in self.consents
        )

    # -- clicks ----------------------------------------------------------------------------------

    def clicks(self) -> dict[str, Found]:
        """The click ids by name: from a field of that name, else from Google's cookies, else from
        an address with the parameter."""
        nodes = self.tree.nodes
        return {
            name: Found(click, nodes[spot.at], spot.name)
            for name, (click, spot) in self._spotted_clicks().items()
        }

    def click(self, name: str) -> Any:
        """The click id as it stands, None where there is none; see :meth:`clicks`."""
        spotted = self._spotted_clicks().get(name)
        return None if spotted is None else spotted[0]

    def _spotted_clicks(self) -> dict[str, tuple[Any, Spot]]:
        if self._clicks is None:
            values, spots = self.values, self.spots
            clicks: dict[str, tuple[Any, Spot]] = {}
            if self._plan.has_clicks:
                clicks = {name: (values[name], spots[name]) for name in CLICK_IDS if name in values}
                for cookie, name in (("gcl_aw_cookie", "gclid"), ("gcl_gb_cookie", "wbraid")):
                    if cookie in values and name not in clicks:
                        click = _click_of_cookie(values[cookie])
                        if click and not is_placeholder(click):
                            clicks[name] = click, spots[cookie]
                for name, click in _named_clicks(values.get("click_id")):
                    clicks.setdefault(name, (click, spots["click_id"]))
            mappings = self.tree.mappings
            for _, index, key in self._plan.urls:
                url = mappings[index][key]
                if isinstance(url, str) and _MAY_HOLD_CLICK(url):
                    for name, click in _clicks_of_url(url):
                        if name not in clicks:
                            clicks[name] = click, Spot(index, key, anywhere=False)
            self._clicks = clicks
        return self._clicks

    # -- the person ------------------------------------------------------------------------------

    def candidates(self, event_time: Any = None) -> list[Candidate]:
        """Every value that may become a match key, the nearest to the person first: the payload's,
        then those of the row's column. ``event_time``: when an ``fbclid`` was clicked, at the
        latest (a moment, seconds, or any form of a payload's time)."""
        if self._candidates is None:
            person, mappings, countries = self._person, self.tree.mappings, self.tree.countries
            found: list[Candidate] = []
            for index, name, key, rank, google_named in person.parts:
                value = mappings[index][name]
                if type(value) is str:
                    found.append((key, value, rank, countries[index], google_named))
                elif value is not None:
                    found += [
                        (key, each, rank, countries[index], google_named) for each in _values(value)
                    ]
            derived = [
                *self._named(person.names, *_RANKS_OF_NAMES),
                *self._clicked(event_time),
            ]
            if derived:
                found += derived
                found.sort(key=_rank_of)
            self._candidates = found
        return self._candidates

    def match_keys(
        self,
        platform: str,
        country: str,
        event_time: Any,
        external_id: ExternalIdMode = "hashed",
        further: Sequence[Candidate] = (),
    ) -> Resolved:
        """What :func:`~tracking_pipeline.identity.match.resolve_candidates` makes of the candidates
        and of ``further`` ones, which come after them; without making the former where it is told
        by the names where they stand."""
        if self._plan.people.depends:
            candidates = [*self.candidates(event_time), *further]
            return resolve_candidates(candidates, platform, country, external_id)
        person, mappings, countries = self._person, self.tree.mappings, self.tree.countries
        wanted = person.wanted.get((platform, external_id))
        if wanted is None:
            wanted = person.wanted[platform, external_id] = _WantedParts(
                person, platform, external_id
            )
        resolving = Resolving(wanted.rules, self._home(wanted, further) or region_of(country))
        only_texts = resolving.take_wanted(wanted.own, mappings, countries, _values)
        dropped = resolving.dropped[:]
        if person.names:
            for candidate in self._named(person.names, _RANKS_OF_NAMES[0]):
                resolving.take(candidate)
        if not wanted.clicks <= resolving.keys.keys():
            for candidate in self._clicked(event_time):
                resolving.take(candidate)
        copies = person.copies
        if (
            only_texts  # of what else is equal, True is 1
            and copies is not None
            and mappings[copies[0]] == mappings[copies[1]]
            and countries[copies[0]] == countries[copies[1]]
        ):
            resolving.take_copy(dropped)
        else:
            resolving.take_wanted(wanted.of_row, mappings, countries, _values)
        if person.names:
            for candidate in self._named(person.names, _RANKS_OF_NAMES[1]):
                resolving.take(candidate)
        for candidate in further:
            resolving.take(candidate)
        return resolving.finish()

    def _home(self, wanted: _WantedParts, further: Sequence[Candidate]) -> str:
        """The code of the first country that is the person's, empty where there is none."""
        for at, name in wanted.countries:
            for value in _values(self.tree.mappings[at][name]):
                if code := region_of(value):
                    return code
        for candidate in further:
            if candidate[0] == "country" and (code := region_of(candidate[1])):
                return code
        return ""

    def _named(self, names: Sequence[NamePart], *ranks: int) -> Iterator[Candidate]:
        """The candidates in full names of these ranks."""
        for index, name, special, rank in names:
            if rank in ranks:
                value = self.tree.mappings[index][name]
                parts = full_name(special, self.tree.nodes[index], value)
                if parts is not None:
                    yield ("fn", parts[0], rank, None, False)
                    yield ("ln", parts[1], rank, None, False)

    def _clicked(self, event_time: Any) -> Iterator[Candidate]:
        """The candidates that clicks are."""
        if _CLICKS_WANTED.isdisjoint(self.values) and not self._has_clicks_in_urls():
            return
        for click_id, (click, _) in self._spotted_clicks().items():
            if click_id in _MATCHED_CLICKS:
                yield (click_id, click, Rank.DERIVED, None, False)
            elif click_id == "fbclid" and event_time is not None:
                fbc = fbc_from_click(str(click), event_time)
                yield ("fbc", fbc, Rank.DERIVED, None, False)

    def _has_clicks_in_urls(self) -> bool:
        mappings = self.tree.mappings
        for _, index, key in self._plan.urls:
            url = mappings[index][key]
            if type(url) is str and "=" in url and _MAY_HOLD_CLICK(url):
                return True
        return False

    def values_of(self, keys: Collection[str]) -> Iterator[Any]:
        """What the payload and the row have of these match keys, and full names of theirs; without
        what clicks make."""
        person, mappings = self._person, self.tree.mappings
        for index, name, key, _, _ in person.parts:
            if key in keys:
                value = mappings[index][name]
                if type(value) is str:
                    yield value
                elif value is not None:
                    yield from _values(value)
        for key, value, *_ in self._named(person.names, *_RANKS_OF_NAMES):
            if key in keys:
                yield value

    def street(self) -> Any:
        """The line of the person's address that has the street, None where there is none."""
        if not self._person.streets:
            return None
        mappings = self.tree.mappings
        streets = (mappings[index][name] for index, name in self._person.streets)
        return next((street for street in streets if street), None)

    def person_fields(self) -> Iterator[tuple[str, int, Found]]:
        """(match key, rank, where it stands) of each field that candidates are made of, for people
        to read; a full name comes twice."""
        nodes, person = self.tree.nodes, self._person
        for index, name, key, rank, _ in person.parts:
            yield key, rank, Found(nodes[index].mapping[name], nodes[index], name)
        for index, name, _, rank in person.names:
            for key in ("fn", "ln"):
                yield key, rank, Found(nodes[index].mapping[name], nodes[index], name)


class _WantedParts:
    """What a platform takes of a person: of the payload, then of the row's column; where the
    person's country stands; which keys a click may serve for."""

    __slots__ = ("clicks", "countries", "of_row", "own", "rules")

    def __init__(self, person: Person, platform: str, external_id: ExternalIdMode) -> None:
        self.rules = rules_of(platform, external_id)
        parts = wanted_by(person.parts, self.rules)
        self.own = tuple(part for part in parts if part.rank < RANKS_OF_A_SOURCE)
        self.of_row = tuple(part for part in parts if part.rank >= RANKS_OF_A_SOURCE)
        self.countries = [(part.at, part.name) for part in person.parts if part.key == "country"]
        self.clicks = (_MATCHED_CLICKS | {"fbc"}) & self.rules.keys()


def _ids_of_event(reading: Reading) -> tuple[int | None, Sequence[str]]:
    """In which mapping the event stands, None without one, and which of its names are ids'."""
    event = reading.tree.event
    if event is None:
        return None, ()
    return event.index, [name for name, field in event.shape.near if field.name in IDS]


def _said(
    statements: Sequence[tuple[StatementName, Found]], denied_ids: frozenset[str]
) -> dict[Purpose, Statement]:
    said: dict[Purpose, Statement] = {}
    for name, found in statements:
        for purpose, each in read_statement(name, found.value, denied_ids).items():
            known = said.get(purpose)
            if known is None or stricter(known.said, each) is not known.said:
                said[purpose] = Statement(each, found.path)
    return said


def _is_of_vendors(found: Found) -> bool:
    return is_of_vendors(found.node.name) and is_choice_by_number(found.value)


def _rank_of(candidate: Candidate) -> int:
    return candidate[2]


def _values(value: Any) -> list[Any]:
    """The values of an identifier that is written as an object or as a list."""
    value = inner_value(value)
    if isinstance(value, (list, tuple)):
        return [inner_value(one) for one in value[:_MOST_VALUES]]
    return [value]


def said_by(value: Any, denied_ids: frozenset[str] = frozenset()) -> dict[Purpose, Statement]:
    """What any stored object says of consent, in any form that a payload may have."""
    return read_payload(value).said(denied_ids)


def read_payload(payload: Any) -> Reading:
    """The reading of a payload without a row around it."""
    return Reading(
        StoredRow(event_id=_NOBODY, event_name="", payload=payload, created_at=_EPOCH, now=_EPOCH)
    )


_NOBODY = UUID(int=0)
_EPOCH = datetime.fromtimestamp(0, timezone.utc)


def _is_no_name(text: str) -> bool:
    """Any word may be an event's name, but for what a script or a template leaves."""
    if text[0] not in _NO_NAMES_BEGIN:
        return False
    stripped = text.strip()
    if not stripped:
        return True
    return stripped.lower() in _NO_NAMES or (stripped[0] in "{$%<[" and is_placeholder(stripped))


def _may_be(name: str, value: Any) -> bool:
    """Whether a value that is no text may be this field's, under a name that says little."""
    if name == "event_time":
        return type(value) in (int, float) or (isinstance(value, dict) and len(value) < 3)
    if name in ("value", "currency", "order_id", "event_id"):
        return True
    return not isinstance(value, (dict, list))


def _click_of_cookie(value: Any) -> str | None:
    """``GCL.<time>.<click>``, several of them joined by ``~``, or ``2.1.k<click>$i<time>``."""
    text = str(value).split("~")[0]
    if text.startswith("GCL."):
        parts = text.split(".", 2)
        return parts[2] if len(parts) == 3 else None
    if "$" in text and ".k" in text:
        return text.split(".k", 1)[1].split("$", 1)[0]
    return None


def _named_clicks(value: Any) -> Iterator[tuple[str, str]]:
    """The click ids in a field that names their kind beside each."""
    for each in value if isinstance(value, list) else [value]:
        if not isinstance(each, dict):
            continue
        name = str(each.get("type", each.get("name")))
        click = each.get("value", each.get("id"))
        if name in CLICK_IDS and isinstance(click, str) and not is_placeholder(click):
            yield name, click


def _clicks_of_url(url: str, *, is_outer: bool = True) -> Iterator[tuple[str, str]]:
    """The click ids in an address, then those of an address in its query."""
    if len(url) > _LONGEST_URL:
        return
    url = url.replace("&amp;", "&")
    if _SPECIAL_IN_URL.isdisjoint(url) and url.isascii() and url.isprintable():
        query = url.partition("?")[2] if "?" in url else url
    else:
        try:
            parts = urlsplit(url if "?" in url or "#" in url else f"?{url}")
        except ValueError:
            return
        query = f"{parts.query}&{parts.fragment.rpartition('?')[2]}"
    parameters = parse_qsl(query)
    for name, value in parameters:
        known = _CLICKS_IN_URLS.get(name.lower())
        if known is not None and not is_placeholder(value):
            yield known, value
    if is_outer:
        for _, value in parameters:
            if "?" in value and _MAY_HOLD_CLICK(value):
                yield from _clicks_of_url(value, is_outer=False)
