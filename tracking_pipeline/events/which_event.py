"""Which mapping of a payload is the event, whether there are several, and who of several people in
one list is nobody that we know. Pure decisions on the nodes of an opened payload."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from tracking_pipeline.events.forms import FLAT
from tracking_pipeline.events.names import FieldPlace, Kind, plain_name
from tracking_pipeline.events.node import Node
from tracking_pipeline.events.shapes import CONTACT_KEYS
from tracking_pipeline.identity.placeholders import is_placeholder

Listed: TypeAlias = Sequence[tuple[FieldPlace, str, list[Node]]]
"""The lists that hold more than one mapping: each list's place, its name and its members."""


def find_event(nodes: Sequence[Node], lists: Listed) -> tuple[Node, bool]:
    """Which of the nodes is the event, and whether there are several of them."""
    neutral = [node for node in nodes if node.place.kind is Kind.ENVELOPE]
    marked = [node for node in neutral if node.shape.identity_marks or node.shape.support_marks]
    if not marked:
        return _find_weak_event(nodes, neutral, lists)
    event = marked[0]
    several = False
    for node in marked[1:]:
        inside = event.index <= node.index < event.end
        if inside:
            if _is_complete(event) and not node.place.named:
                # Of the event's history, or another event of somebody's.
                several = several or (_is_complete(node) and not _is_same(event, node))
            elif node.shape.identity_marks or not event.shape.identity_marks:
                event = node
        elif not event.shape.identity_marks and node.shape.identity_marks:
            event = node
        elif node.shape.identity_marks and not _is_same(event, node):
            several = True
    several = several or _holds_list_of_events(lists, event)
    if not event.shape.identity_marks:
        several = several or _holds_weak_list(lists) or _holds_alike(neutral)
    return event, several


def _find_weak_event(
    nodes: Sequence[Node],
    neutral: Sequence[Node],
    lists: Listed,
) -> tuple[Node, bool]:
    """The event where no mapping bears the marks of one: the innermost in a usual envelope that
    could be, else the outermost."""
    event = nodes[0]
    found = event.shape.is_weak_event
    for node in neutral[1:]:
        if node.shape.is_weak_event and (node.place.named or not found):
            event, found = node, True
    if not found:
        event = _around_the_person(nodes, neutral) or event
    several = _holds_weak_list(lists) or _holds_list_of_events(lists, event)
    return event, several or _holds_alike(neutral)


def _around_the_person(nodes: Sequence[Node], neutral: Sequence[Node]) -> Node | None:
    """The innermost usual envelope that has a time of its own and the person in it: what is around
    it has a time too, which is not the event's."""
    told = [node.index for node in nodes if node.shape.has_contact]
    around = [
        node
        for node in neutral[1:]
        if node.place.named
        and told
        and node.index <= told[0]
        and told[-1] < node.end
        and any(field.name == "event_time" for _, field in node.shape.near)
    ]
    return around[-1] if around else None


def _holds_list_of_events(lists: Listed, event: Node) -> bool:
    """Whether a list has several events in it. What is listed within a whole event is its history;
    in what only surrounds an event, a list of times is no list of events."""
    return any(
        sum(
            _is_complete(node) or node.shape.form is not FLAT or place.kind is Kind.ENVELOPE
            for node in members
            if node.shape.identity_marks
        )
        > 1
        and not (event.index < members[0].index < event.end and _is_complete(event))
        for place, _, members in lists
    )


def _holds_weak_list(lists: Listed) -> bool:
    return any(
        place.kind is Kind.ENVELOPE
        and sum(
            _may_be_event(node) or (place.plain == "events" and "name" in node.mapping)
            for node in members
        )
        > 1
        for place, _, members in lists
    )


def _may_be_event(node: Node) -> bool:
    shape = node.shape
    return bool(shape.is_weak_event or shape.identity_marks or shape.support_marks) or (
        _says_what_and_whose(node)
    )


def _says_what_and_whose(node: Node) -> bool:
    """Whether a mapping says what happened, or what it was worth, and who it was or which click."""
    fields = {field.name for _, field in node.shape.near}
    return not fields.isdisjoint(_WHAT) and (
        node.shape.has_contact or not fields.isdisjoint(_WHOSE)
    )


_WHAT = frozenset(("event_name", "value", "order_id"))
_WHOSE = frozenset(("client_id", "ga_cookie", "user_id", "gclid", "gbraid", "wbraid", "fbclid"))


def _holds_alike(nodes: Sequence[Node]) -> bool:
    """Whether events stand beside each other under names of their own, built alike."""
    return any(
        not _is_same(first, node) and first.mapping != node.mapping
        for first, node in _built_alike(nodes)
    )


def _built_alike(nodes: Sequence[Node]) -> Iterator[tuple[Node, Node]]:
    seen: dict[tuple[int, tuple[Any, ...]], Node] = {}
    for node in nodes:
        if not node.place.named and node.parent is not None and _says_what_and_whose(node):
            first = seen.setdefault((id(node.parent), tuple(node.mapping)), node)
            if first is not node:
                yield first, node


def depends_on_values(nodes: Sequence[Node]) -> bool:
    """Whether two mappings may be one event or two: their ids tell, or that they are the same."""
    neutral = [node for node in nodes if node.place.kind is Kind.ENVELOPE]
    marked = sum(node.shape.identity_marks > 0 for node in nodes)
    return marked > 1 or any(True for _ in _built_alike(neutral))


def _is_complete(node: Node) -> bool:
    """Whether a node says of itself which event it is, and whose."""
    shape = node.shape
    return bool(shape.identity_marks) and (shape.has_contact or bool(shape.support_marks))


def _is_same(first: Node, second: Node) -> bool:
    """Two writings of one event: they bear the same id."""
    ids = [
        {
            str(value)
            for name, field in node.shape.near
            if field.name in ("event_id", "order_id")
            and isinstance(value := node.mapping[name], (str, int))
            and value != ""
        }
        for node in (first, second)
    ]
    return bool(ids[0] & ids[1])


# Lists of one person's own, as Google and address books have them.
_OF_ONE_PERSON = frozenset(
    "useridentifiers identifiers identities emails phones phonenumbers "
    "emailaddresses addresses addressinfo fields fielddata answers formfields "
    "responses uids".split()
)


def close_crowds(nodes: Sequence[Node], lists: Listed, event: Node) -> None:
    """Of several people in one list nobody can tell who the event's is, so it is none of them; of
    calls that were sent together, those of another user are not the event's."""
    for _, name, members in lists:
        if plain_name(name.partition("[")[0]) in _OF_ONE_PERSON:
            continue
        own = next((node for node in members if node.index <= event.index < node.end), None)
        if own is not None:
            ids = _external_ids(nodes, own)
            strangers = [
                node
                for node in members
                if (others := _external_ids(nodes, node)) and ids and ids.isdisjoint(others)
            ]
        else:
            people = [node for node in members if node.shape.has_contact]
            strangers = people if len(people) > 1 and not _agree(people) else []
        for stranger in strangers:
            for node in nodes[stranger.index : stranger.end]:
                node.is_open = False


def _external_ids(nodes: Sequence[Node], member: Node) -> set[str]:
    return {
        str(value)
        for node in nodes[member.index : member.end]
        for name, identifier in node.shape.identifiers
        if identifier.key == "external_id"
        and isinstance(value := node.mapping[name], (str, int))
        and not is_placeholder(str(value))
    }


_TELLING = CONTACT_KEYS | {"external_id"}


def _agree(people: Sequence[Node]) -> bool:
    """Whether no two of them contradict each other: then they are parts of one person."""
    said: dict[str, str] = {}
    for node in people:
        for name, identifier in node.shape.identifiers:
            value = node.mapping[name]
            if identifier.key in _TELLING and isinstance(value, (str, int)):
                text = str(value).strip().lower()
                if text and said.setdefault(identifier.key, text) != text:
                    return False
    return True
