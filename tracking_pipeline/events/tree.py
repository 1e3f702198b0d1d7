"""Opens a stored payload: every mapping in it, what each is to the event, and which one is it.

Queues, change feeds, HTTP clients and webhooks put an event into something else, often as JSON
text. All of it is opened here, once: JSON text wherever it stands, forms of pairs
(``{"name": "email", "value": ...}``), bodies of requests, and the base64 of message queues. Which
mapping is the event is told by its names, not by where it stands (``events/which_event.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from tracking_pipeline.events.closed_places import Hidden, hidden_events
from tracking_pipeline.events.encodings import add_pair, decoded, may_be_encoded
from tracking_pipeline.events.forms import BODIES, FLAT, is_request
from tracking_pipeline.events.names import (
    EXPLICIT,
    TOP,
    FieldPlace,
    Kind,
    Rank,
    meaning_of,
    place_like,
    plain_name,
)
from tracking_pipeline.events.node import Node
from tracking_pipeline.events.shapes import shape_of
from tracking_pipeline.events.which_event import Listed, close_crowds, find_event

PAIR_NAMES = ("name", "key", "field", "label", "fieldName", "field_name", "question", "ref")
PAIR_VALUES = (
    "value", "values", "answer", "field_value", "fieldValue", "boolean", "text",
)  # fmt: skip
# Form builders write a field as one of these, with little beside it.
_OF_A_PAIR = frozenset(
    (
        *PAIR_NAMES, *PAIR_VALUES, "id", "type", "title", "ad_name", "position",
        "display_key", "display_value",
    )
)  # fmt: skip
# BigQuery's export writes the value's type as its name.
_TYPED_VALUES = frozenset(
    f"{kind}{ending}"
    for kind in ("string", "int", "double", "float", "bool")
    for ending in ("_value", "Value")
)
# Bounds for payloads made to exhaust us; a real one has under ten levels and some dozen mappings.
# What lies beyond them is not read, and an event that is not read whole is not sent.
MAX_DEPTH = 40
MAX_MAPPINGS = 2_000
_MAX_LIST = 2_000

NOT_AN_OBJECT = "event_payload is no JSON object that can be read"
SEVERAL_EVENTS = "event_payload holds several events: store each in a row of its own"
NOT_UNDERSTOOD = "event not understood"
TOO_LARGE = "event_payload is too large or too deep to be read whole"


class Tree:
    """An opened payload. ``nodes`` are in the order in which they are written, those of the row's
    own column last. ``problem``: why there is no one event in them, None where there is.
    ``outline`` is that of all payloads that are built alike, None without an event."""

    __slots__ = ("event", "nodes", "outline", "problem")

    def __init__(
        self,
        nodes: list[Node],
        event: Node | None,
        problem: str | None,
        outline: Outline | None,
    ) -> None:
        self.nodes = nodes
        self.event = event
        self.problem = problem
        self.outline = outline


class Outline:
    """What payloads that are built alike have in common: which of their mappings is the event, and
    what else follows from their names (``events/plan.py`` keeps it in ``plan``). ``in_doubt``: no
    name says that it is the event."""

    __slots__ = ("event", "in_doubt", "plan", "several")

    def __init__(self, event: Node, *, several: bool) -> None:
        shape = event.shape
        self.event = event.index
        self.in_doubt = shape.form is FLAT and not (shape.identity_marks or shape.support_marks)
        self.several = several
        self.plan: Any = None


_outlines: dict[tuple[Any, ...], Outline] = {}
_MOST_OUTLINES = 1_024


def open_payload(payload: Any, column: Any = None) -> Tree:
    """Opens a payload and the row's ``user_data`` column. Never raises on what JSON can hold."""
    walk = _Walk()
    walk.enter(payload, TOP, None, "", 0)
    nodes = walk.nodes
    own = len(nodes)
    if column is not None:
        walk.of_row = True
        walk.enter(column, EXPLICIT, None, "user_data", 1)
        for node in nodes[own:]:
            node.relation = 2
    if not own:
        return Tree(nodes, None, TOO_LARGE if walk.is_cut_short else NOT_AN_OBJECT, None)
    key = None if walk.lists else (own, *walk.outline)
    outline = None if key is None else _outlines.get(key)
    if outline is None:
        outline = _look_through(nodes[:own], walk.lists)
        if key is not None and not _depends_on_values(nodes):
            if len(_outlines) >= _MOST_OUTLINES:
                _outlines.clear()
            _outlines[key] = outline
    event = nodes[outline.event]
    if outline.in_doubt and not outline.several:
        hidden = [each for node in nodes[:own] for each in hidden_events(node)]
        if hidden:
            return _with_hidden(walk, own, event, hidden)
    if event.index or event.end < own:
        for node in nodes[:own]:
            if not event.index <= node.index < event.end:
                node.relation = 1
    problem = TOO_LARGE if walk.is_cut_short else SEVERAL_EVENTS if outline.several else None
    return Tree(nodes, event, problem, outline)


def _with_hidden(walk: _Walk, own: int, visible: Node, hidden: list[Hidden]) -> Tree:
    """The tree where what is opened holds no sure event, and what is not opened does: the one that
    is there is the event, unless what is opened may be one, too."""
    nodes = walk.nodes
    if len(hidden) > 1:
        return Tree(nodes, visible, SEVERAL_EVENTS, None)
    (found,) = hidden
    parent = found.node
    walk.of_row = False
    for name, mapping in found.around:
        shape = shape_of(_AN_EVENT, tuple(mapping))
        index, depth = len(nodes), parent.depth + 1
        parent = Node(mapping, shape, _AN_EVENT, parent, name, index, depth, False)
        parent.is_open = False
        nodes.append(parent)
    for node in (*nodes[:own], *nodes[len(nodes) - len(found.around) :]):
        node.relation = 1
    event = walk.enter(found.mapping, _AN_EVENT, parent, found.name, parent.depth + 1)
    problem = None
    if event is None or walk.is_cut_short:
        problem = TOO_LARGE
    elif any(node.shape.is_weak_event for node in nodes[:own]):
        problem = f"{NOT_UNDERSTOOD} ({event.path()})"
    return Tree(nodes, event or visible, problem, None)


def _look_through(nodes: Sequence[Node], lists: Listed) -> Outline:
    if len(nodes) == 1:
        return Outline(nodes[0], several=False)
    event, several = find_event(nodes, lists)
    close_crowds(nodes, lists, event)
    return Outline(event, several=several)


def _depends_on_values(nodes: Sequence[Node]) -> bool:
    """Whether two mappings may be one event or two: their ids tell."""
    return sum(node.shape.identity_marks > 0 for node in nodes) > 1


class _Walk:
    """One walk through one payload, in the order in which it is written."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.outline: list[Any] = []
        self.lists: list[tuple[FieldPlace, str, list[Node]]] = []
        self.is_cut_short = False
        self.of_row = False

    def enter(
        self, value: Any, place: FieldPlace, parent: Node | None, name: str, depth: int
    ) -> Node | None:
        """Opens a mapping, a list of mappings, or the text of one. Gives the node of a mapping."""
        if type(value) is str:
            value = decoded(value, place)
        if depth > MAX_DEPTH:
            # Nobody puts an event, or a person, this deep into what only surrounds one.
            if isinstance(value, (dict, list)) and place.kind in _HOLDING_EVENTS:
                self.is_cut_short = True
            return None
        if isinstance(value, dict):
            return self._mapping(value, place, parent, name, depth)
        if isinstance(value, (list, tuple)):
            self._list(value, place, parent, name, depth)
        return None

    def _mapping(
        self, mapping: dict[Any, Any], place: FieldPlace, parent: Node | None, name: str, depth: int
    ) -> Node | None:
        nodes = self.nodes
        index = len(nodes)
        if index >= MAX_MAPPINGS:
            self.is_cut_short = True
            return None
        shape = shape_of(place, tuple(mapping))
        if (
            shape.stands_alone
            and place.kind is not Kind.ENVELOPE
            and not _is_in_event(parent, is_of_form=shape.form is not FLAT)
        ):
            # `params`, `lead` or `order` around all of an event is its envelope.
            place = _AN_EVENT
            shape = shape_of(place, tuple(mapping))
        self.outline.append(shape)
        self.outline.append(depth)
        node = Node(mapping, shape, place, parent, name, index, depth, self.of_row)
        nodes.append(node)
        if parent is not None:
            node.country = parent.country
        for key in shape.countries:
            if mapping[key] is not None:
                node.country = mapping[key]
        if shape.places:
            only_bodies = place.kind is Kind.REQUEST or (
                shape.may_be_request and is_request(mapping)
            )
            for key, inner in shape.places:
                value = mapping[key]
                kind = type(value)
                if kind is dict or kind is list or kind is str:
                    if kind is str and not may_be_encoded(value, inner):
                        continue
                    if only_bodies and plain_name(key) not in BODIES:
                        continue
                    within = inner if place is TOP else _within(place, inner)
                    if kind is dict and depth < MAX_DEPTH:
                        self._mapping(value, within, node, key, depth + 1)
                    else:
                        self.enter(value, within, node, key, depth + 1)
            node.end = len(nodes)
        return node

    def _list(
        self, values: Sequence[Any], place: FieldPlace, parent: Node | None, name: str, depth: int
    ) -> None:
        if len(values) > _MAX_LIST:
            self.is_cut_short = True
            return
        pairs: dict[str, Any] = {}
        members: list[Node] = []
        for position, value in enumerate(values):
            if isinstance(value, dict):
                pair = _pair(value)
                if pair is not None:
                    add_pair(pairs, *pair)
                    continue
            elif not isinstance(value, (str, list)):
                continue
            label = f"{name}[{position}]"
            node = self.enter(value, place, parent, label, depth + 1)
            if node is not None:
                members.append(node)
        if len(members) > 1:
            self.lists.append((place, name, members))
        if pairs:
            self._mapping(pairs, place, parent, name, depth + 1)


_HOLDING_EVENTS = frozenset((Kind.ENVELOPE, Kind.PERSON, Kind.REQUEST))


def _pair(item: dict[Any, Any]) -> tuple[str, Any] | None:
    """The name and the value of a form's field that is written as a pair."""
    name = next((item[key] for key in PAIR_NAMES if key in item), None)
    if isinstance(name, dict):  # a form builder's own record of the field
        name = name.get("ref")
    if not isinstance(name, str) or not any(key in item for key in PAIR_VALUES):
        return None
    if not _OF_A_PAIR.issuperset(item):
        return None
    value = _first_stated(item[key] for key in PAIR_VALUES if key in item)
    if isinstance(value, dict) and not _TYPED_VALUES.isdisjoint(value):
        value = _first_stated(each for key, each in value.items() if key in _TYPED_VALUES)
    return name, value


def _first_stated(values: Iterable[Any]) -> Any:
    return next((value for value in values if value is not None), None)


_AN_EVENT = meaning_of("event").place or TOP


def _is_in_event(node: Node | None, *, is_of_form: bool) -> bool:
    """Whether what is around a mapping is the event, or, around one of no known form, may be it."""
    while node is not None:
        # An `event` that is an object is an envelope's.
        may_be = node.shape.is_weak_event and type(node.mapping.get("event")) not in (dict, list)
        if node.shape.identity_marks or (may_be and not is_of_form):
            return True
        node = node.parent
    return False


@lru_cache(maxsize=4096)
def _within(outer: FieldPlace, inner: FieldPlace) -> FieldPlace:
    """What a place is that stands in another one.

    Whatever lies within explicit user data is explicit too; an unknown container in a person's
    place may have a `name` of its own (their plan, say); an address of a product is no person's.
    """
    if outer is TOP or inner.kind is Kind.CLOSED:
        return inner
    kind, rank, of_person = inner.kind, inner.rank, inner.of_person
    open_kind = kind in (Kind.ENVELOPE, Kind.AROUND)
    if outer.kind is Kind.PERSON and kind not in _NO_PERSONS_OWN:
        kind = Kind.PERSON
        of_person = of_person or (outer.of_person and inner.named)
        if outer.rank is Rank.EXPLICIT:
            rank = Rank.EXPLICIT
        elif inner.kind is Kind.PERSON or not inner.named:
            rank = max(rank, outer.rank)
    elif outer.kind in (Kind.PRODUCT, Kind.PROPERTIES):
        if open_kind or inner.plain in _PLAIN_ADDRESSES:
            kind, of_person = outer.kind, False
            rank = max(rank, outer.rank)
    elif outer.kind in (Kind.AROUND, Kind.IMPERSONAL) and open_kind:
        kind, rank = outer.kind, max(rank, outer.rank)
    google_named = outer.google_named or inner.google_named
    return place_like(inner, kind, rank, of_person=of_person, google_named=google_named)


_NO_PERSONS_OWN = frozenset((Kind.IMPERSONAL, Kind.PRODUCT, Kind.REQUEST))
# In a product, the product's: a hotel has an address too.
_PLAIN_ADDRESSES = frozenset(
    ["address", "addresses", "addressinfo", "location", "geo", "geolocation"]
)
