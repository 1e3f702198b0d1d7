"""Who the event's person is, and where in the payload their identifiers stand.

Explicit user data comes first, then what the event states elsewhere, then what surrounds it; a
container that nobody knows serves where nothing better is there. People are never merged: somebody
with another e-mail, else another phone or another name, is another person.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tracking_pipeline.events.names import (
    PERSON_ROLES,
    TECHNICAL_KEYS,
    Identifier,
    Kind,
    Rank,
    Special,
)
from tracking_pipeline.events.node import Node
from tracking_pipeline.events.shapes import CONTACT_KEYS
from tracking_pipeline.identity.name import split_full_name
from tracking_pipeline.identity.placeholders import is_placeholder

if TYPE_CHECKING:
    from tracking_pipeline.events.tree import Tree

_PERSONS = frozenset((Kind.PERSON, Kind.ENVELOPE, Kind.AROUND))
_OF_A_PRODUCT = frozenset(("em", "ph", "external_id"))
_PLACES = frozenset(("ct", "st", "zp", "country"))
# Not a state or a country: they have a code and a name.
_TELLING = CONTACT_KEYS | {"ct", "zp"}
_JOURNEYS = frozenset(
    "hotel flight destination vehicle home_listing vehicle_offer "
    "local_service_business automotive_model hotel_room home_listing_group".split()
)
LONGEST_FULL_NAME = 200
# What an identifier that is an object keeps its text under: {"phone": {"number": "..."}}.
_INNER_VALUES = ("value", "values", "code", "number", "address", "name", "id", "raw")


class Part(NamedTuple):
    """An identifier of the person: in which node, under which name, which match key it is."""

    at: int
    name: str
    key: str
    rank: int
    google_named: bool


class NamePart(NamedTuple):
    """A full name of the person, as :class:`Part`."""

    at: int
    name: str
    special: Special
    rank: int


@dataclass(slots=True)
class Person:
    """Where the event's person is described, the nearest first. ``streets``: (index, name) of the
    lines of an address.

    ``copies``: the indexes of the person's own record and of the row's column, where the two have
    the same names and nothing else is the person's. ``wanted``: what single platforms take of the
    parts, and of those of the record alone; remembered by who asks.
    """

    parts: tuple[Part, ...]
    names: tuple[NamePart, ...]
    streets: tuple[tuple[int, str], ...]
    copies: tuple[int, int] | None = None
    wanted: dict[Any, Any] = field(default_factory=dict, compare=False)


class People(NamedTuple):
    """Who is described in payloads that are built alike, by index, the nearest first.

    ``told``: those of whom something tells who they are, where there are several. ``same``: the
    names, the same in both, by which two of those are told apart and by nothing else. ``depends``:
    which identifiers are the person's depends on values, too. ``persons``: what came of it where it
    does not, by whose mappings the person's are.
    """

    people: tuple[int, ...]
    told: tuple[int, ...]
    same: tuple[str, ...]
    depends: bool
    persons: dict[tuple[tuple[int, ...], tuple[int, ...]], Person]


def find_people(nodes: Sequence[Node]) -> People:
    """Who is described in an opened payload, as far as its names tell; ``nodes`` are sorted, the
    nearest to the event first."""
    people = [
        node
        for node in nodes
        if (node.shape.identifiers or node.shape.specials)
        and node.is_open
        and node.place.kind is not Kind.REQUEST
        and not _is_mere_company(node)
    ]
    depends = any(_may_be_of_journey(node) or node.shape.recipients for node in people)
    told: list[Node] = []
    if len(people) > 1:
        people.sort(key=_nearness_to_person)
        told = [node for node in people if _may_tell(node)]
        # The row's column was written beside the event: where both speak, the event does.
        told.sort(key=lambda node: node.of_row)
    return People(
        people=tuple(node.index for node in people),
        told=tuple(node.index for node in told) if len(told) > 1 else (),
        same=() if depends else _told_by_the_same(told),
        depends=depends,
        persons={},
    )


def find_person(tree: Tree, among: People) -> Person:
    """Where the person of an opened payload is described."""
    are_one = not among.told or (among.same and _say_the_same(tree.mappings, among))
    if are_one and not among.depends:
        person = among.persons.get((among.people, ()))
        if person is not None:
            return person
    nodes = tree.nodes
    people = [nodes[index] for index in among.people]
    hosts: list[Node] = []
    if not are_one:
        people, hosts = _without_strangers(people, [nodes[index] for index in among.told])
    if among.depends:
        return _described_in(people, hosts)
    whose = (tuple(node.index for node in people), tuple(node.index for node in hosts))
    person = among.persons.get(whose)
    if person is None:
        person = among.persons[whose] = _described_in(people, hosts)
    return person


def _told_by_the_same(told: Sequence[Node]) -> tuple[str, ...]:
    """The names that tell who two people are, where they are the same of both: so it is where the
    row's column was copied from the event. A full name is read otherwise from place to place."""
    if len(told) != 2 or any(node.shape.specials for node in told):
        return ()
    one, other = (
        [
            (name, identifier.key)
            for name, identifier in node.shape.identifiers
            if identifier.key in CONTACT_KEYS and is_persons(node, identifier)
        ]
        for node in told
    )
    return tuple(name for name, _ in one) if one == other else ()


def _say_the_same(mappings: Sequence[dict[Any, Any]], among: People) -> bool:
    """Whether two people are one at a glance: texts that are the same letter by letter contradict
    nothing, whatever they are."""
    one, other = (mappings[index] for index in among.told)
    for name in among.same:
        text = one[name]
        if type(text) is not str or text != other[name]:
            return False
    return True


def _described_in(people: Sequence[Node], hosts: Sequence[Node]) -> Person:
    """The person whose mappings these are; of the ``hosts`` around them, the browser alone."""
    parts: list[Part] = []
    names: list[NamePart] = []
    streets: list[tuple[int, str]] = []
    for node in people:
        rank = node.place.rank + (len(Rank) if node.of_row else 0)
        of_another = _names_of_another(node) if node.shape.recipients else ()
        parts += [
            Part(
                node.index,
                name,
                identifier.key,
                rank,
                identifier.google_named or node.place.google_named,
            )
            for name, identifier in node.shape.identifiers
            if is_persons(node, identifier) and name not in of_another
        ]
        streets += [
            (node.index, name)
            for name, special in node.shape.specials
            if special is Special.STREET
            and node.place.kind in _PERSONS
            and (node.place.kind is Kind.PERSON or node.shape.address_parts > 1)
        ]
        derived = Rank.DERIVED + (len(Rank) if node.of_row else 0)
        names += [
            NamePart(node.index, name, special, derived)
            for name, special in node.shape.specials
            if special is not Special.STREET and name not in of_another
        ]
    # Around the person's own record, the browser is the event's whoever else is named there.
    parts += [
        Part(node.index, name, identifier.key, node.place.rank, google_named=False)
        for node in hosts
        for name, identifier in node.shape.identifiers
        if identifier.key in TECHNICAL_KEYS
    ]
    parts.sort(key=lambda part: part.rank)
    return Person(tuple(parts), tuple(names), tuple(streets), _copies(parts))


def _copies(parts: Sequence[Part]) -> tuple[int, int] | None:
    """The two mappings that all parts stand in, by index, where the second is the row's column and
    every part of it has its like in the first."""
    middle = len(parts) // 2
    first, second = parts[:middle], parts[middle:]
    indexes = {part.at for part in first}, {part.at for part in second}
    if len(indexes[0]) != 1 or len(indexes[1]) != 1:
        return None
    (own,), (other,) = indexes
    if [part._replace(at=other, rank=part.rank + len(Rank)) for part in first] != second:
        return None
    return own, other


def _is_mere_company(node: Node) -> bool:
    """Whether somebody who comes along is described without anything to tell who they are."""
    guest: Node | None = node
    while guest is not None and guest.place.rank is Rank.GUEST:
        if _may_tell(guest):
            return False
        guest = guest.parent
    return guest is not node


def _nearness_to_person(node: Node) -> tuple[int, int, int, int, int]:
    place = node.place
    return (place.rank, node.relation, node.depth, place.order, node.index)


def inner_value(value: Any) -> Any:
    """The value of an identifier that is written as an object."""
    if not isinstance(value, dict):
        return value
    return next((value[name] for name in _INNER_VALUES if name in value), None)


def is_persons(node: Node, identifier: Identifier) -> bool:
    """Whether what stands under an identifier's name in this mapping is the person's.

    A city, a gender or a name belongs to the product where a product is described; a `state` is a
    place only in an address or beside one.
    """
    key = identifier.key
    if key in TECHNICAL_KEYS:
        return True
    kind = node.place.kind
    if kind is Kind.PERSON:
        return _is_of_described_person(node, identifier)
    if kind is Kind.IMPERSONAL:
        return False
    if kind in (Kind.PRODUCT, Kind.PROPERTIES):
        is_described = node.shape.has_contact and not is_of_journey(node)
        if key in _OF_A_PRODUCT or kind is Kind.PRODUCT or not is_described:
            return key in _OF_A_PRODUCT
    return node.shape.only_person or _is_of_person_beside(node, identifier)


def _is_of_described_person(node: Node, identifier: Identifier) -> bool:
    """In a person's place, all but a lone `state`: an account has one too, and it is no place."""
    place = node.place
    alone = identifier.state and not place.address and place.rank is not Rank.EXPLICIT
    return not alone or node.shape.address_parts > 1


def _is_of_person_beside(node: Node, identifier: Identifier) -> bool:
    """In the event itself or around it, what can only be a person's, and what stands beside more of
    a person or of an address."""
    shape, in_address = node.shape, node.shape.address_parts > 1 or node.place.address
    if identifier.key in _PLACES and is_of_journey(node):
        return False
    if identifier.state:
        return in_address
    if identifier.key == "ge":
        return not identifier.ambiguous or (shape.has_contact and not shape.is_catalogue)
    return not identifier.ambiguous or shape.has_contact or in_address


def _may_be_of_journey(node: Node) -> bool:
    """Whether the kind of product that a payload names decides whose its places are."""
    return node.place.kind in (Kind.ENVELOPE, Kind.AROUND, Kind.PROPERTIES) and any(
        name == "content_type" for _, name in node.shape.customs
    )


def is_of_journey(node: Node) -> bool:
    """Whether a mapping describes a place to go to or to live in, or a way there."""
    if node.shape.is_journey:
        return True
    for key, name in node.shape.customs:
        if name == "content_type":
            kind = node.mapping[key]
            kinds = kind if isinstance(kind, list) else [kind]
            return any(
                isinstance(each, str) and each.strip().lower() in _JOURNEYS for each in kinds
            )
    return False


def names_person(special: Special, node: Node) -> bool:
    """A lead form's `name` beside its `email` is a person's; beside `event_name`, who knows."""
    place, shape = node.place, node.shape
    if special is Special.STREET or place.kind in (Kind.PRODUCT, Kind.IMPERSONAL):
        return False
    if special is Special.FULL_NAME or place.of_person:
        return True
    if place.kind is Kind.PROPERTIES:
        return False
    return all(node.mapping[name] is None for name in shape.event_names) and any(
        identifier.key in CONTACT_KEYS and node.mapping[key] is not None
        for key, identifier in shape.identifiers
    )


def full_name(special: Special, node: Node, value: Any) -> tuple[str, str] | None:
    """First and last name in a full one, where it is the person's."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str) or not names_person(special, node):
        return None
    return split_full_name(value[:LONGEST_FULL_NAME])


# -- who of several people is the event's ---------------------------------------------------------

# Nobody says that these are the event's person; who they are is told by what they share with it.
_UNKNOWN_RANKS = frozenset((Rank.ELSEWHERE, Rank.GUEST))


def _names_of_another(node: Node) -> frozenset[str]:
    """In a flat order, the names of whom it is sent to, where that is somebody else than who pays,
    or somewhere else."""
    payer: dict[str, set[str]] = {}
    recipient: dict[str, set[str]] = {}

    def add(name: str, key: str, value: Any) -> None:
        text = _comparable(key, inner_value(value)) if value is not None else ""
        if text:
            (recipient if name in node.shape.recipients else payer).setdefault(key, set()).add(text)

    for name, identifier in node.shape.identifiers:
        if identifier.key in _TELLING:
            add(name, identifier.key, node.mapping[name])
    for name, special in node.shape.specials:
        parts = full_name(special, node, node.mapping[name])
        for key, part in zip(("fn", "ln"), parts or (), strict=False):
            add(name, key, part)
    differ = any(texts.isdisjoint(payer.get(key, texts)) for key, texts in recipient.items())
    return node.shape.recipients if differ else frozenset()


def _may_tell(node: Node) -> bool:
    return node.shape.has_contact or bool(node.shape.specials)


def _without_strangers(people: list[Node], told: Sequence[Node]) -> tuple[list[Node], list[Node]]:
    """The nodes of one person: the nearest to the event, and those that do not contradict it. Of
    two whom nothing tells apart, neither is taken. Then the others' around that person's record."""
    with_contacts = [(node, contacts) for node in told if (contacts := _contacts_of(node))]
    if len(with_contacts) < 2:
        return people, []
    anchor, known = with_contacts[0]
    known = dict(known)
    own, closed = [anchor], list[Node]()
    for node, contacts in with_contacts[1:]:
        around = _nearest_of(node.parent, own, closed)
        if around in closed and not _encloses(around, anchor):
            continue
        stranger = node.place.rank in _UNKNOWN_RANKS and anchor.place.rank not in _UNKNOWN_RANKS
        if stranger and any(known.get(key, frozenset()) & contacts[key] for key in contacts):
            stranger = False
        if not stranger and not _contradict(known, contacts):
            for key, value in contacts.items():
                known.setdefault(key, value)
            own.append(node)
            continue
        closed.append(node)
        if _are_rivals(anchor, node):
            closed.append(anchor)
    return (
        [node for node in people if _nearest_of(node, closed, own) not in closed],
        [node for node in closed if _encloses(node, anchor)],
    )


def _are_rivals(first: Node, second: Node) -> bool:
    """Whether nothing tells which of two people is the event's: both stand in places that we do not
    know, or in places of its person beside each other. Who pays and where it goes is told by the
    order of places."""
    if first.place.rank is not second.place.rank:
        return False
    return first.place.rank in _UNKNOWN_RANKS or (
        first.parent is second.parent
        and first.place.kind is second.place.kind is Kind.PERSON
        and first.place.plain in PERSON_ROLES
        and second.place.plain in PERSON_ROLES
    )


def _nearest_of(node: Node | None, *judged: list[Node]) -> Node | None:
    """Of the mappings of which it is known whose they are, the one itself or the nearest around."""
    while node is not None and not any(node in each for each in judged):
        node = node.parent
    return node


def _encloses(outer: Node, inner: Node) -> bool:
    return outer.index < inner.index < outer.end


def _contacts_of(node: Node) -> dict[str, frozenset[str]]:
    """What tells people apart, in the spelling in which it can be compared."""
    found: dict[str, frozenset[str]] = {}
    for key, identifier in node.shape.identifiers:
        if identifier.key not in CONTACT_KEYS or not is_persons(node, identifier):
            continue
        value = inner_value(node.mapping[key])
        values = value if isinstance(value, list) else [value]
        texts = {
            _comparable(identifier.key, each)
            for each in map(inner_value, values)
            if isinstance(each, (str, int)) and not isinstance(each, bool)
        } - {""}
        if texts:
            found[identifier.key] = found.get(identifier.key, frozenset()) | texts
    for key, special in node.shape.specials:
        if "fn" not in found:
            parts = full_name(special, node, node.mapping[key])
            if parts is not None:
                found["fn"] = frozenset((_comparable("fn", parts[0]),))
                found["ln"] = frozenset((_comparable("ln", parts[1]),))
    return found


_FEWEST_DIGITS = 7


def _comparable(key: str, value: Any) -> str:
    text = str(value).strip().lower()
    if is_placeholder(text):
        return ""
    if _is_hash(text):
        return text
    if key == "ph":
        digits = "".join(character for character in text if character.isdigit())
        return digits[-9:] if len(digits) >= _FEWEST_DIGITS else ""
    # What can be nobody's address tells nobody apart.
    return "" if key == "em" and "@" not in text else text


_begins_with_hash = re.compile("[0-9a-f]{64}").match


def _is_hash(text: str) -> bool:
    return _begins_with_hash(text) is not None


def _contradict(known: dict[str, frozenset[str]], other: dict[str, frozenset[str]]) -> bool:
    """By e-mail where both have one, else by phone, else by name; a hash says nothing of a text."""
    for keys in (("em",), ("ph",), ("fn", "ln")):
        compared = [
            (mine, theirs)
            for key in keys
            if (mine := _plain(known.get(key))) and (theirs := _plain(other.get(key)))
        ]
        if compared:
            return any(mine.isdisjoint(theirs) for mine, theirs in compared)
        hashes = [
            (known[key], other[key])
            for key in keys
            if key in known and key in other and _hashes(known[key]) and _hashes(other[key])
        ]
        if hashes:
            return any(mine.isdisjoint(theirs) for mine, theirs in hashes)
    return False


def _plain(texts: frozenset[str] | None) -> frozenset[str]:
    return frozenset(text for text in texts or () if not _is_hash(text))


def _hashes(texts: frozenset[str]) -> bool:
    return all(map(_is_hash, texts))
