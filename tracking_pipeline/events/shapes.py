"""What the names of a mapping say of it: worked out once for each shape that mappings have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeAlias

from tracking_pipeline.events.consent_names import StatementName, Way, statement_named
from tracking_pipeline.events.forms import BODIES, FLAT, REQUEST_URLS, REQUEST_WORDS, Form, form_of
from tracking_pipeline.events.names import (
    EARLIER,
    TOP,
    WEAK,
    EventField,
    FieldPlace,
    Identifier,
    Kind,
    Meaning,
    Special,
    meaning_of,
    only_of_person,
    plain_name,
)

CONTACT_KEYS = frozenset(("em", "ph", "fn", "ln"))
# What says that a mapping is an event and not what surrounds one.
_IDENTITY_MARKS = frozenset(
    "eventname eventid eventtime eventtimestamp timestampmicros conversiondatetime "
    "conversiontime eventdatetime uniqueeventid".split()
)
_SUPPORT_MARKS = frozenset(
    "userdata customdata actionsource eventsourceurl adidentifiers ecommerce "
    "conversionaction conversionvalue useridentifiers commoncookie".split()
)
# An order's own number, where the place it stands in says that it is one.
_ORDERS = frozenset(
    ["purchase", "order", "checkout", "cart", "booking", "transaction", "actionfield"]
)
# What a catalogue of places and journeys says of a product: then a city beside it is the product's.
JOURNEY_MARKS = frozenset(
    "checkindate checkoutdate checkinday departingdate departuredate returningdate "
    "arrivaldate destinationairport originairport travelstart travelend numadults "
    "propertytype listingtype preferredbaths preferredbeds hotelids hotelid "
    "destinationids homelistingids vehicleids bodystyle neighborhood suggestedhotels "
    "starrating".split()
)
CATALOGUE_MARKS = frozenset(
    ["contentids", "contents", "contenttype", "items", "products", "contentname"]
)


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What the names of a mapping say of it. Each pair is (name in the mapping, what it means).

    ``near`` are the fields of the event where the mapping is the event or a part of it, ``far``
    those that count on an envelope too. ``stands_alone``: it is an event and whose, wherever it is.
    ``recipients``: the names that say whom a flat order is sent to, where others say who pays.
    ``closed``: what is not entered and may hold a refusal all the same.
    """

    places: tuple[tuple[str, FieldPlace], ...]
    closed: tuple[str, ...]
    identifiers: tuple[tuple[str, Identifier], ...]
    recipients: frozenset[str]
    countries: tuple[str, ...]
    specials: tuple[tuple[str, Special], ...]
    event_names: tuple[str, ...]
    near: tuple[tuple[str, EventField], ...]
    far: tuple[tuple[str, EventField], ...]
    consents: tuple[tuple[str, StatementName], ...]
    platform_ids: tuple[tuple[str, str], ...]
    customs: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...]
    secrets: tuple[str, ...]
    form: Form
    identity_marks: int
    support_marks: int
    is_weak_event: bool
    has_contact: bool
    address_parts: int
    is_journey: bool
    is_catalogue: bool
    only_person: bool
    urls: tuple[str, ...]
    may_be_request: bool
    stands_alone: bool


_shapes: dict[tuple[FieldPlace, tuple[Any, ...]], Shape] = {}
# Payloads have few shapes, again and again. Names that nobody gives a field are not kept.
MAX_SHAPES = 2_048
_MAX_NAMES, _LONGEST_NAME = 80, 64


def shape_of(place: FieldPlace, names: tuple[Any, ...]) -> Shape:
    shape = _shapes.get((place, names))
    if shape is None:
        shape = _judged(place, [name for name in names if isinstance(name, str)])
        if is_usual(names):
            if len(_shapes) >= MAX_SHAPES:
                _shapes.clear()
            _shapes[place, names] = shape
    return shape


def is_usual(names: tuple[Any, ...]) -> bool:
    """Whether the names of a mapping may be kept: there are not too many, and each is short."""
    return len(names) <= _MAX_NAMES and all(
        isinstance(name, str) and len(name) <= _LONGEST_NAME for name in names
    )


# A name of the mapping, the name in its plain spelling, and what it means.
_Named: TypeAlias = tuple[str, str, Meaning]


def _judged(place: FieldPlace, names: Sequence[str]) -> Shape:
    plain = [plain_name(name) if len(name) <= _LONGEST_NAME else "" for name in names]
    named = list(zip(names, plain, map(meaning_of, names), strict=True))
    found = set(plain)
    form = form_of(plain)
    fields = sorted(_fields(named, found, form, place), key=lambda each: each[1].order)
    identifiers = _identifiers(named, place)
    keys = {identifier.key for _, identifier in identifiers}
    consents = tuple(
        (name, statement)
        for name, short, _ in named
        if (statement := statement_named(short)) is not None
    )
    # What says something of consent is neither entered nor passed over.
    others = [
        each
        for each in named
        if each[0] not in {name for name, said in consents if said.way is not Way.CONTAINER}
    ]
    of_form = form is not FLAT and form.sure
    identity = len(found & _IDENTITY_MARKS) + 2 * of_form
    support = len(found & _SUPPORT_MARKS)
    has_contact = bool(keys & CONTACT_KEYS)
    may_be_request = not (REQUEST_WORDS.isdisjoint(names) or REQUEST_URLS.isdisjoint(names))
    return Shape(
        places=tuple(
            (name, m.place)
            for name, _, m in others
            if m.place is not None and m.place.kind is not Kind.CLOSED
        ),
        closed=tuple(each[0] for each in others if _is_closed(each, may_be_request)),
        identifiers=identifiers,
        recipients=_recipients(named),
        countries=tuple(name for name, each in identifiers if each.key == "country")
        if place.kind not in (Kind.PRODUCT, Kind.PROPERTIES, Kind.IMPERSONAL)
        else (),
        specials=tuple((name, m.special) for name, _, m in named if m.special is not None),
        event_names=tuple(name for name, field in fields if field.name == "event_name"),
        near=tuple(each for each in fields if _counts_near(each[1], place)),
        far=tuple(each for each in fields if each[1].anywhere),
        consents=consents,
        platform_ids=tuple(
            (name, m.platform_id)
            for name, _, m in named
            if m.platform_id is not None and (place.kind is Kind.PERSON or not only_of_person(name))
        ),
        customs=tuple((name, m.custom) for name, _, m in named if m.custom is not None),
        options=tuple((name, m.option) for name, _, m in named if m.option is not None),
        secrets=tuple(name for name, _, m in named if m.secret),
        form=form,
        identity_marks=identity,
        support_marks=support,
        is_weak_event=_is_weak_event(keys, found),
        has_contact=has_contact,
        stands_alone=of_form or (identity > 1 and (has_contact or support > 0)),
        address_parts=len(keys & {"ct", "st", "zp", "country"})
        + any(m.special is Special.STREET for _, _, m in named),
        is_journey=bool(found & JOURNEY_MARKS),
        is_catalogue=bool(found & CATALOGUE_MARKS),
        urls=tuple(name for name, short, _ in named if short.endswith(_ADDRESS_ENDS)),
        may_be_request=may_be_request,
        only_person=place is TOP and all(_is_of_person(m) for _, _, m in named),
    )


def _fields(
    named: Sequence[_Named], found: Set[str], form: Form, place: FieldPlace
) -> Iterator[tuple[str, EventField]]:
    """The fields of the event, by the form's own words, by their names, by their place."""
    for name, short, meaning in named:
        if short in form.means:
            yield name, EventField(form.means[short], False, 50)
        elif meaning.field is not None:
            if short != "price" or _QUANTITIES.isdisjoint(found):
                yield name, meaning.field
        elif (other := _other_field(short, place)) is not None:
            yield name, other


def _identifiers(named: Sequence[_Named], place: FieldPlace) -> tuple[tuple[str, Identifier], ...]:
    found = [(name, m.identifier) for name, _, m in named if m.identifier is not None]
    if place.google_named and all(each.key != "country" for _, each in found):
        found = [
            (name, _GOOGLES_COUNTRY if plain_name(name) == "regioncode" else each)
            for name, each in found
        ]
    return tuple(found)


def _recipients(named: Sequence[_Named]) -> frozenset[str]:
    of_people = {name: short for name, short, m in named if m.identifier or m.special}
    recipients = {name for name, short in of_people.items() if short.startswith("shipping")}
    return frozenset(recipients if len(recipients) < len(of_people) else ())


def _is_closed(each: _Named, may_be_request: bool) -> bool:
    _, short, meaning = each
    if short in EARLIER:
        return False
    if meaning.place is None:
        return meaning.secret
    return meaning.place.kind in (Kind.CLOSED, Kind.REQUEST) or (
        may_be_request and short not in BODIES
    )


def _is_weak_event(keys: Set[str], found: Set[str]) -> bool:
    return bool(
        keys & {"em", "ph"}
        or found & {"orderid", "transactionid", "event", "clientid", "ga"}
        or found >= {"value", "currency"}
    )


def _is_of_person(meaning: Meaning) -> bool:
    return (
        meaning.identifier is not None
        or meaning.special is not None
        or meaning.platform_id is not None
    )


# Google's address calls the country so, everybody else a state.
_GOOGLES_COUNTRY = Identifier("country", google_named=False, ambiguous=False, state=False)
_QUANTITIES = frozenset(["quantity", "qty"])
# How the names of fields end that hold the address of a page, or the query of one.
_ADDRESS_ENDS = (
    "url", "href", "uri", "page", "location", "referrer", "referer", "link", "search", "query",
    "querystring", "site", "entry", "path", "visit",
)  # fmt: skip


def _other_field(plain: str, place: FieldPlace) -> EventField | None:
    """What a name means that only its place explains, or that is a time by the look of it."""
    if place.plain in _ORDERS and plain in ("id", "number", "name", "orderno", "reference"):
        return EventField("order_id", False, 120)
    trust = _trust_in_time(plain, place)
    return None if trust is None else EventField("event_time", False, WEAK + trust)


def _trust_in_time(plain: str, place: FieldPlace) -> int | None:
    """How far down the name of a time stands in order of trust; None for what is no time of the
    event's: dates of birth, expiry, delivery, what is due, what changed since."""
    if plain == "date":
        # In a form it is the answer to a question.
        return None if place.kind is Kind.AROUND else 2 * len(_TIMES)
    for order, times in enumerate(_TIMES):
        if (found := times.fullmatch(plain)) is not None:
            # What is called a date often has no hour.
            return 2 * order + (found["day"] is not None)
    return None


_ABOUT = "event|conversion|purchase|order|transaction|sale|lead"
_DONE = (
    "occurred|happened|converted|completed|submitted|submit|submission|placed|paid|captured|"
    "purchased|ordered|sold|booked|confirmed|finali[sz]ed|closed|won|signedup|signup|registered|"
    "registration|subscribed|joined|enrolled"
)
_CREATED = "created|create|creation|inserted|insert|added|received"
# The event's own time comes before that of its record, that before the clock of a machine on the
# way, and that before what led to the event.
_TIMES = tuple(
    re.compile(
        rf"(?:(?:date|time|timestamp)(?:of)?(?:{_ABOUT})|(?:date|time)(?:{_DONE}|added)"
        rf"|(?:{stems})(?:(?P<day>date|on)|(?:date)?"
        r"(?:timestamp|time|datetime|ts|at|epoch|unixtime|unix)))"
        r"(?:utc|gmt|ms|millis|milliseconds|micros|seconds|sec|iso|unix|epoch|stamp)*"
    )
    for stems in (
        f"{_ABOUT}|action|hit|tracked|track|triggered|trigger|fired|recorded|logged",
        f"(?:{_ABOUT}|form|checkout|payment|deal)?(?:{_DONE})",
        f"(?:{_ABOUT}|form|checkout|payment|deal|entry)?(?:{_CREATED})",
        "client|utc|unix|local|browser|server|sent",
        "visit|click",
    )
)


def _counts_near(field: EventField, place: FieldPlace) -> bool:
    """Whether a field in a part of the event of this kind says something about the event."""
    if place.kind is Kind.PRODUCT:
        of_event = field.name in ("value", "currency", "order_id") and field.order < WEAK
        return field.anywhere or of_event
    if place.kind is Kind.IMPERSONAL:
        return field.anywhere or field.name in ("page_url", "page_path", "referrer_url")
    return field.anywhere or place.kind is not Kind.PERSON
