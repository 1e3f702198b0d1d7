"""Opens a stored payload: every mapping in it, what each is to the event, and which one is it.

Queues, change feeds, HTTP clients and webhooks put an event into something else, often as JSON
text. All of it is opened here, once: JSON text wherever it stands, forms of pairs
(``{"name": "email", "value": ...}``), bodies of requests, and the base64 of message queues. Which
mapping is the event is told by its names, not by where it stands (``events/which_event.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

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
from tracking_pipeline.events.shapes import is_usual, shape_of
from tracking_pipeline.events.which_event import Listed, close_crowds, depends_on_values, find_event

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
    """An opened payload. ``mappings`` are in the order in which they are written, those of the
    row's own column last, and ``nodes`` say what each is. ``problem``: why there is no one event in
    them, None where there is. ``outline`` is that of all payloads that are built alike, None
    without an event."""

    __slots__ = ("_event", "_layout", "_nodes", "mappings", "outline", "problem")

    def __init__(
        self,
        mappings: Sequence[dict[Any, Any]],
        outline: Outline | None,
        problem: str | None = None,
        *,
        layout: Layout | None = None,
        nodes: list[Node] | None = None,
        event: Node | None = None,
    ) -> None:
        """From a ``layout``, which makes the nodes when they are asked for, or from the nodes."""
        self.mappings = mappings
        self.outline = outline
        self.problem = problem
        self._layout = layout
        self._nodes = nodes
        self._event = event

    @property
    def nodes(self) -> list[Node]:
        """What each of the mappings is."""
        if self._nodes is None:
            assert self._layout is not None  # noqa: S101  one of the two is given
            self._nodes = self._layout.nodes_of(self.mappings)
        return self._nodes

    @property
    def event(self) -> Node | None:
        """The event, None where there is none."""
        if self._event is None and self.outline is not None:
            self._event = self.nodes[self.outline.event]
        return self._event

    @property
    def may_hold_texts(self) -> bool:
        """Whether a mapping may have been written as a text."""
        return self._layout is None

    @property
    def countries(self) -> Sequence[Any]:
        """The country that each mapping names, or one around it."""
        if self._layout is not None and not self._layout.names_country:
            return self._layout.no_countries
        return [node.country for node in self.nodes]


class Outline:
    """What payloads that are built alike have in common: which of their mappings is the event, and
    what else follows from their names (``events/plan.py`` keeps it in ``plan``). ``in_doubt``: no
    name says that it is the event. ``is_sure``: no value has a part in saying so."""

    __slots__ = ("event", "in_doubt", "is_sure", "plan", "several")

    def __init__(self, event: Node, *, several: bool) -> None:
        shape = event.shape
        self.event = event.index
        self.in_doubt = shape.form is FLAT and not (shape.identity_marks or shape.support_marks)
        self.several = several
        self.is_sure = False
        self.plan: Any = None


_outlines: dict[tuple[Any, ...], Outline] = {}
_MOST_OUTLINES = 1_024


class Layout:
    """How payloads that are built alike are laid out: where each mapping stands, and which names it
    has. One that is laid out so is not walked through.

    Only of payloads in which every mapping stands as it is in another one, without lists and texts
    that are opened, and of which the names tell all.
    """

    __slots__ = ("_inner", "_outline", "_parts", "_unopened", "names_country", "no_countries")

    def __init__(self, nodes: Sequence[Node], outline: Outline) -> None:
        self._outline = outline
        self._parts = [
            (
                node.shape,
                node.place,
                None if node.parent is None else node.parent.index,
                node.name,
                node.depth,
                node.of_row,
                node.end,
                node.relation,
            )
            for node in nodes
        ]
        # The roots' names are known before a layout is asked.
        self._inner = [
            (None if node.parent is None else node.parent.index, node.name, tuple(node.mapping))
            for node in nodes[1:]
        ]
        inner = {(parent, name) for parent, name, _ in self._inner}
        self._unopened = [
            (node.index, name, place)
            for node in nodes
            for name, place in node.shape.places
            if (node.index, name) not in inner
        ]
        self.names_country = any(node.shape.countries for node in nodes)
        self.no_countries = (None,) * len(nodes)

    def open(self, payload: dict[Any, Any], column: dict[Any, Any] | None) -> Tree | None:
        """The opened payload; None for one that is not laid out so."""
        mappings: list[dict[Any, Any]] = [payload]
        for parent, name, names in self._inner:
            mapping = column if parent is None else mappings[parent][name]
            if type(mapping) is not dict or tuple(mapping) != names:
                return None
            mappings.append(mapping)
        for index, name, place in self._unopened:
            value = mappings[index][name]
            kind = type(value)
            if kind is dict or kind is list or (kind is str and may_be_encoded(value, place)):
                return None
        return Tree(mappings, self._outline, layout=self)

    def nodes_of(self, mappings: Sequence[dict[Any, Any]]) -> list[Node]:
        """What each of the mappings is."""
        nodes: list[Node] = []
        for part, mapping in zip(self._parts, mappings, strict=True):
            shape, place, at, name, depth, of_row, end, relation = part
            parent = None if at is None else nodes[at]
            node = Node(mapping, shape, place, parent, name, len(nodes), depth, of_row)
            node.end = end
            node.relation = relation
            node.take_country()
            nodes.append(node)
        return nodes


class _Alike:
    """The layouts of payloads that have the same names at the top, and so has the row's column, by
    the names in what stands right below."""

    __slots__ = ("_below", "_layouts")
    most = 256

    def __init__(self, root: Node) -> None:
        self._below = [name for name, _ in root.shape.places]
        self._layouts: dict[tuple[_Names | None, ...], Layout] = {}

    def layout_of(self, payload: dict[Any, Any]) -> Layout | None:
        return self._layouts.get(self._key_of(payload))

    def keep(self, payload: dict[Any, Any], layout: Layout) -> None:
        if len(self._layouts) >= self.most:
            self._layouts.clear()
        self._layouts[self._key_of(payload)] = layout

    def _key_of(self, payload: dict[Any, Any]) -> tuple[_Names | None, ...]:
        below = [payload[name] for name in self._below]
        return tuple([tuple(each) if type(each) is dict else None for each in below])


_Names: TypeAlias = "tuple[Any, ...]"
_layouts: dict[tuple[_Names, _Names | None], _Alike] = {}
_MOST_KINDS = 256


def open_payload(payload: Any, column: Any = None) -> Tree:
    """Opens a payload and the row's ``user_data`` column. Never raises on what JSON can hold."""
    if type(payload) is not dict or not (column is None or type(column) is dict):
        return _walked(_Walk(), payload, column)
    kind = tuple(payload), None if column is None else tuple(column)
    alike = _layouts.get(kind)
    layout = None if alike is None else alike.layout_of(payload)
    tree = None if layout is None else layout.open(payload, column)
    if tree is not None:
        return tree
    walk = _Walk()
    tree = _walked(walk, payload, column)
    outline = tree.outline
    if (
        walk.is_plain
        and outline is not None
        and outline.is_sure
        and tree.problem is None
        and all(is_usual(tuple(mapping)) for mapping in tree.mappings)
    ):
        if alike is None:
            if len(_layouts) >= _MOST_KINDS:
                _layouts.clear()
            alike = _layouts[kind] = _Alike(tree.nodes[0])
        alike.keep(payload, Layout(tree.nodes, outline))
    return tree


def _walked(walk: _Walk, payload: Any, column: Any) -> Tree:
    walk.enter(payload, TOP, None, "", 0)
    nodes = walk.nodes
    own = len(nodes)
    if column is not None:
        walk.of_row = True
        walk.enter(column, EXPLICIT, None, "user_data", 1)
        for node in nodes[own:]:
            node.relation = 2
    if not own:
        return _tree_of(nodes, None, TOO_LARGE if walk.is_cut_short else NOT_AN_OBJECT)
    key = None if walk.lists else (own, *walk.outline)
    outline = None if key is None else _outlines.get(key)
    if outline is None:
        outline = _look_through(nodes[:own], walk.lists)
        if key is not None and not depends_on_values(nodes):
            outline.is_sure = not outline.in_doubt
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
    return _tree_of(nodes, event, problem, outline)


def _tree_of(
    nodes: list[Node], event: Node | None, problem: str | None, outline: Outline | None = None
) -> Tree:
    mappings = [node.mapping for node in nodes]
    return Tree(mappings, outline, problem, nodes=nodes, event=event)


def _with_hidden(walk: _Walk, own: int, visible: Node, hidden: list[Hidden]) -> Tree:
    """The tree where what is opened holds no sure event, and what is not opened does: the one that
    is there is the event, unless what is opened may be one, too."""
    nodes = walk.nodes
    if len(hidden) > 1:
        return _tree_of(nodes, visible, SEVERAL_EVENTS)
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
    return _tree_of(nodes, event or visible, problem)


def _look_through(nodes: Sequence[Node], lists: Listed) -> Outline:
    if len(nodes) == 1:
        return Outline(nodes[0], several=False)
    event, several = find_event(nodes, lists)
    close_crowds(nodes, lists, event)
    return Outline(event, several=several)


class _Walk:
    """One walk through one payload, in the order in which it is written."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.outline: list[Any] = []
        self.lists: list[tuple[FieldPlace, str, list[Node]]] = []
        self.is_cut_short = False
        self.is_plain = True
        self.of_row = False

    def enter(
        self, value: Any, place: FieldPlace, parent: Node | None, name: str, depth: int
    ) -> Node | None:
        """Opens a mapping, a list of mappings, or the text of one. Gives the node of a mapping."""
        self.is_plain = self.is_plain and type(value) is dict and depth < 2
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
        node.take_country()
        if shape.places:
            only_bodies = place.kind is Kind.REQUEST or (
                shape.may_be_request and is_request(mapping)
            )
            if only_bodies or shape.may_be_request:
                self.is_plain = False
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
