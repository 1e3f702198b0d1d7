"""What stands in places that are not opened: a refusal, which counts wherever it was said, or the
event itself, where nothing that is opened says which one it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

from tracking_pipeline.events.consent import Said
from tracking_pipeline.events.consent_names import StatementName, Way
from tracking_pipeline.events.consent_values import read_statement
from tracking_pipeline.events.encodings import SHORTEST_EVENT, decoded, object_within
from tracking_pipeline.events.forms import BODIES, is_request
from tracking_pipeline.events.names import EARLIER, ELSEWHERE, Kind, plain_name
from tracking_pipeline.events.node import Node
from tracking_pipeline.events.shapes import Shape, shape_of

# Nobody puts an event, or a statement, deeper into what is not opened.
_MAX_DEPTH = 40
_JSON_BEGINS = ("{", "[")
_SHORTEST_STATEMENT = len('{"gpc":1}') - 1


Refusal: TypeAlias = tuple[StatementName, Node, str]
"""A statement, the mapping that it stands in, and under which name."""


def refusals_in(value: Any, node: Node, name: str) -> list[Refusal]:
    """Each refusal in the place ``name`` of a node. What else is said there is said of something
    else."""
    found: list[Refusal] = []
    _collect(value, node, name, found)
    return found


def _collect(value: Any, node: Node, name: str, found: list[Refusal]) -> None:
    kind = type(value)
    if kind is str:
        if value[:1] not in _JSON_BEGINS:
            return
        value = decoded(value, ELSEWHERE)
        kind = type(value)
    if kind is list:
        mappings = [each for each in value if type(each) is dict]
    elif kind is dict:
        mappings = [value]
    else:
        return
    if node.depth >= _MAX_DEPTH:
        return
    for mapping in mappings:
        shape = shape_of(ELSEWHERE, tuple(mapping))
        for key, statement in shape.consents:
            if _is_refusal(statement, mapping[key]):
                found.append((statement, _node(mapping, shape, node, name), key))
        for key, each in mapping.items():
            kind = type(each)
            if (
                kind is dict
                or kind is list
                or (kind is str and len(each) > _SHORTEST_STATEMENT and each[:1] in _JSON_BEGINS)
            ):
                _collect(each, _node(mapping, shape, node, name), key, found)


def _node(mapping: dict[Any, Any], shape: Shape, parent: Node, name: str) -> Node:
    return Node(mapping, shape, ELSEWHERE, parent, name, -1, parent.depth + 1, parent.of_row)


def _is_refusal(statement: StatementName, value: Any) -> bool:
    # A shop's `marketing: false` is no answer of anybody's.
    if value is None or statement.way is Way.PURPOSE:
        return False
    return Said.DENIED in read_statement(statement, value).values()


class Hidden(NamedTuple):
    """An event in a place that is not opened. ``around``: the mappings there that it stands in,
    each with its name, the outermost first."""

    node: Node
    around: tuple[tuple[str, dict[Any, Any]], ...]
    name: str
    mapping: dict[Any, Any]


def hidden_events(node: Node) -> Iterator[Hidden]:
    """The events in what is not opened of a node: in closed places, in what only surrounds the body
    of a request, in texts of which nothing is known."""
    shape, mapping = node.shape, node.mapping
    opened = {name for name, _ in shape.places}
    only_bodies = node.place.kind is Kind.REQUEST or (shape.may_be_request and is_request(mapping))
    for name, value in mapping.items():
        if not _may_hold_event(value):
            continue
        if type(value) is str:
            is_open = name in opened and value[:1] in _JSON_BEGINS
        else:
            is_open = name in opened and not (only_bodies and plain_name(name) not in BODIES)
        if not is_open:
            yield from _events_in(value, node, (), str(name), 0)


def _may_hold_event(value: Any) -> bool:
    kind = type(value)
    return (kind is str and len(value) >= SHORTEST_EVENT) or kind is dict or kind is list


def _events_in(
    value: Any, node: Node, around: tuple[tuple[str, dict[Any, Any]], ...], name: str, depth: int
) -> Iterator[Hidden]:
    if depth > _MAX_DEPTH or plain_name(name) in EARLIER:
        return
    if isinstance(value, str):
        value = object_within(value)
    for mapping in value if isinstance(value, list) else (value,):
        if isinstance(mapping, list):
            yield from _events_in(mapping, node, around, name, depth + 1)
        if not isinstance(mapping, dict):
            continue
        shape = shape_of(ELSEWHERE, tuple(mapping))
        # A product has a name and parameters, too.
        is_product = node.shape.is_weak_event and "name" in shape.form.needs
        if shape.stands_alone and not is_product:
            yield Hidden(node, around, name, mapping)
            continue
        for key, each in mapping.items():
            if _may_hold_event(each):
                yield from _events_in(each, node, (*around, (name, mapping)), str(key), depth + 1)
