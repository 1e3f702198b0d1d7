"""Where in a payload each field of the event stands: worked out once for payloads built alike.

Payloads of one handler have the same names in the same places, event after event. What follows from
the names alone is a :class:`Plan`, kept by the outline of the payload; what follows from the values
is decided at each reading.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

from tracking_pipeline.events.consent_names import StatementName
from tracking_pipeline.events.names import CLICK_IDS, WEAK, Kind
from tracking_pipeline.events.node import Node
from tracking_pipeline.events.people import People, find_people
from tracking_pipeline.events.tree import Tree


class How(IntEnum):
    """How a field is read: as any value; as an id, which a placeholder is not; as a text, or as one
    that has to be such: the name of an event, the address of a page."""

    VALUE = 0
    ID = 1
    TEXT = 2
    TEXT_ID = 3
    NAME = 4
    ADDRESS = 5


HOW: dict[str, How] = {
    **dict.fromkeys(["event_id", "order_id", "client_id", "user_id", "session_id"], How.ID),
    **dict.fromkeys(CLICK_IDS, How.ID),
    **dict.fromkeys(
        ["gclid", "gbraid", "wbraid", "fbclid", "custom_event", "ga_cookie"], How.TEXT_ID
    ),
    **dict.fromkeys(("gcl_aw_cookie", "gcl_gb_cookie"), How.TEXT_ID),
    **dict.fromkeys(("page_path", "action_source", "session_attributes"), How.TEXT),
    **dict.fromkeys(("page_url", "referrer_url"), How.ADDRESS),
    "event_name": How.NAME,
}
_CLICK_FIELDS = CLICK_IDS.keys() | {"gcl_aw_cookie", "gcl_gb_cookie", "click_id"}
IDS = frozenset(name for name, how in HOW.items() if how in (How.ID, How.TEXT_ID))
URLS = frozenset(("page_url", "referrer_url"))
PRIVACY_OPTIONS = (
    "opt_out",
    "data_processing_options",
    "data_processing_options_country",
    "data_processing_options_state",
)
_PRIVACY = frozenset(PRIVACY_OPTIONS)
_OWN_PARTS = frozenset((Kind.AROUND, Kind.PROPERTIES, Kind.PRODUCT, Kind.IMPERSONAL))


class Spot(NamedTuple):
    """A place that may hold a field: the node's index, the name in it, and whether the name says so
    wherever it stands."""

    at: int
    name: str
    anywhere: bool


class Plan(NamedTuple):
    """Where to look, the nearest to the event first. ``urls`` also has addresses that are no field
    of the event's, under an empty name: a click may be in them; ``has_clicks``: a field may be one.
    ``answers``: what others have asked of the names
    (:meth:`~tracking_pipeline.events.reading.Reading.asked_of_names`)."""

    order: tuple[int, ...]
    fields: tuple[tuple[str, How, tuple[Spot, ...]], ...]
    has_clicks: bool
    urls: tuple[tuple[str, int, str], ...]
    privacy: tuple[tuple[str, int, str], ...]
    consents: tuple[tuple[StatementName, int, str], ...]
    closed: tuple[tuple[int, str], ...]
    platform_ids: tuple[tuple[str, int, str], ...]
    customs: tuple[tuple[str, int, str], ...]
    options: tuple[tuple[str, int, str], ...]
    people: People
    answers: dict[Any, Any]


def plan_of(tree: Tree) -> Plan:
    """The plan of an opened payload."""
    outline = tree.outline
    known: Plan | None = None if outline is None else outline.plan
    if known is not None:
        return known
    plan = _make(tree)
    if outline is not None:
        outline.plan = plan
    return plan


def _nearness(node: Node) -> tuple[int, int, int, int]:
    return (node.relation, node.depth, node.place.kind, node.index)


def _make(tree: Tree) -> Plan:
    nodes = sorted(tree.nodes, key=_nearness)
    fields: dict[str, list[Spot]] = {}
    weak: list[tuple[int, str, Spot]] = []
    urls: list[tuple[str, int, str]] = []
    privacy: list[tuple[str, int, str]] = []
    consents: list[tuple[StatementName, int, str]] = []
    platform_ids: list[tuple[str, int, str]] = []
    customs: list[tuple[str, int, str]] = []
    options: list[tuple[str, int, str]] = []
    for node in nodes:
        if node.place.kind is Kind.REQUEST:
            continue
        shape, index = node.shape, node.index
        own = node is tree.event or (node.relation == 0 and node.place.kind in _OWN_PARTS)
        said = set()
        for key, field in shape.near if own else shape.far:
            if field.name in _PRIVACY:
                privacy.append((field.name, index, key))
                continue
            if field.name in URLS:
                urls.append((field.name, index, key))
                said.add(key)
            spot = Spot(index, key, field.anywhere)
            if field.order < WEAK:
                fields.setdefault(field.name, []).append(spot)
            else:
                weak.append((field.order, field.name, spot))
        urls += [("", index, key) for key in shape.urls if key not in said]
        consents += [(statement, index, key) for key, statement in shape.consents]
        platform_ids += [(name, index, key) for key, name in shape.platform_ids]
        if node.relation == 0:
            customs += [(name, index, key) for key, name in shape.customs]
        if own:
            options += [(name, index, key) for key, name in shape.options]
    for _, name, spot in sorted(weak, key=lambda each: each[0]):
        fields.setdefault(name, []).append(spot)
    return Plan(
        order=tuple(node.index for node in nodes),
        fields=tuple(
            (name, HOW.get(name, How.VALUE), tuple(spots)) for name, spots in fields.items()
        ),
        has_clicks=not _CLICK_FIELDS.isdisjoint(fields),
        urls=tuple(urls),
        privacy=tuple(privacy),
        consents=tuple(consents),
        closed=tuple((node.index, key) for node in nodes for key in node.shape.closed),
        platform_ids=tuple(platform_ids),
        customs=tuple(customs),
        options=tuple(options),
        people=find_people(nodes),
        answers={},
    )
