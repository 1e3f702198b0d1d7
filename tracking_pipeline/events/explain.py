"""What is read from one stored event and from where, in a form that may be shown to people. Pure.

It asks the readers that deliver and decides nothing itself. Personal data is masked, hashes are cut
short, and names that could be values are shown as ``*``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timezone
from typing import TYPE_CHECKING, Any, Literal

from tracking_pipeline.events.consent import Purpose
from tracking_pipeline.events.conversion import Conversion, Unusable, read_conversion
from tracking_pipeline.events.masking import masked, shortened, told
from tracking_pipeline.events.names import Kind, Rank, meaning_of
from tracking_pipeline.events.node import Node, shown_name
from tracking_pipeline.events.person import GeoMatchKeys, lead_candidates
from tracking_pipeline.events.policy import DEFAULT_POLICY, ReadingPolicy, reading_policy
from tracking_pipeline.events.privacy import UnreadableOptionError, read_privacy_options
from tracking_pipeline.events.reading import Found, Reading
from tracking_pipeline.events.row import Lead, StoredRow
from tracking_pipeline.events.texts import id_text, identifier_text, page_address
from tracking_pipeline.identity.match import RANKS_OF_A_SOURCE, Candidate, resolve_candidates
from tracking_pipeline.identity.platforms import PLATFORMS, ExternalIdMode

if TYPE_CHECKING:
    from tracking_pipeline.settings import Settings

MOST_IGNORED = 50
MOST_PEOPLE = 100

State = Literal["read", "absent", "unreadable"]
# What the other platforms take of a person are values of the same keys; only what is a platform's
# own is told of it.
_TOLD_OF_ALL = ("meta", "google")
_OWN_KEYS = {
    platform: frozenset(rules) - PLATFORMS["meta"].keys()
    for platform, rules in PLATFORMS.items()
    if platform not in _TOLD_OF_ALL
}


@dataclass(frozen=True, slots=True)
class ReadingRules:
    """How the destinations read payloads: as the settings have it."""

    policy: ReadingPolicy = DEFAULT_POLICY
    site_url: str | None = None
    country: str = "US"
    geo_match_keys: GeoMatchKeys = "all"
    external_id: ExternalIdMode = "hashed"

    @classmethod
    def configured(cls, settings: Settings) -> ReadingRules:
        """As the settings have it."""
        return cls(
            policy=reading_policy(settings),
            site_url=settings.site_url,
            country=settings.default_country,
            geo_match_keys=settings.geo_match_keys,
            external_id=settings.external_id,
        )


@dataclass(frozen=True, slots=True)
class ReadField:
    """One field: ``value`` where it was read, ``path`` where it stands. ``note`` says what happens
    for want of it, or why it cannot be used."""

    state: State
    value: str | float | None = None
    path: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class FormSeen:
    """The form that the event is in."""

    name: str
    title: str


@dataclass(frozen=True, slots=True)
class StatementSeen:
    """What was said of one purpose: ``granted``, ``agreed``, ``denied``, ``unclear`` or
    ``nothing``; ``path`` is the field that said it."""

    said: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class ConsentSeen:
    """What was said of each purpose. ``global_privacy_control``: the browser asked not to have its
    data sold. ``default`` is the site's ``CONSENT_DEFAULT``, and ``silence`` what it makes of a
    purpose of which nothing was said."""

    purposes: dict[str, StatementSeen]
    global_privacy_control: bool
    default: str
    silence: str


@dataclass(frozen=True, slots=True)
class OptionSeen:
    """A privacy option as it goes out; ``value`` None where it cannot be read or says nothing."""

    name: str
    value: Any
    path: str


@dataclass(frozen=True, slots=True)
class PersonValue:
    """A value that may be a match key. ``source``: ``payload``, ``user_data column``, ``lead``,
    ``place of the lead's IP address`` or ``click``. ``used_by``: the platforms whose match key it
    makes; where there are none, ``note`` says why."""

    key: str
    source: str
    path: str
    shown: str
    used_by: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class PayloadExplained:
    """All that is read from one stored event. ``problem``: why there is no one event in it."""

    form: FormSeen
    problem: str | None
    fields: dict[str, ReadField]
    click_ids: dict[str, ReadField]
    ignored: tuple[str, ...]
    ignored_more: int
    consent: ConsentSeen
    privacy_options: tuple[OptionSeen, ...]
    people: tuple[PersonValue, ...]


FIELDS = (
    "event_name", "event_id", "event_time", "page_url", "referrer_url", "value", "currency",
    "order_id", "action_source", "client_id", "session_id",
)  # fmt: skip
_ABSENT = ReadField("absent")
_NAME_FOR_THE_NAMELESS = "unnamed"

_SILENCE = {
    "granted": "counts as agreed: it is sent, and Google is told that everybody agreed",
    "unknown": "it is sent, and no platform is told of any consent",
    "denied": "it is not sent to ad platforms",
}


def explain_payload(
    row: StoredRow,
    rules: ReadingRules = ReadingRules(),
    place_sources: Mapping[str, str] | None = None,
) -> PayloadExplained:
    """What is read from the row. ``place_sources``: where the columns of the lead's place came
    from, for those that the site did not have itself."""
    conversion = read_conversion(row, rules.site_url, rules.policy)
    problem: str | None = None
    named = True
    if isinstance(conversion, Unusable):
        problem = conversion.reason
        # All but its name may be there; then the rest is read all the same.
        stand_in = replace(row, event_name=_NAME_FOR_THE_NAMELESS)
        conversion = read_conversion(stand_in, rules.site_url, rules.policy)
        named = False
    if isinstance(conversion, Unusable):
        reading = Reading(row)
        fields: dict[str, ReadField] = {}
        people: Iterable[PersonValue] = ()
    else:
        reading = conversion.reading
        fields = _fields(conversion, rules, named=named)
        people = _people(conversion, rules, place_sources or {})
    ignored = list(_ignored(reading))
    return PayloadExplained(
        form=FormSeen(reading.form.name, reading.form.title),
        problem=problem,
        fields=fields,
        click_ids={name: _id_field(found) for name, found in reading.clicks().items()},
        ignored=tuple(ignored[:MOST_IGNORED]),
        ignored_more=max(len(ignored) - MOST_IGNORED, 0),
        consent=_consent(reading, rules.policy),
        privacy_options=tuple(_options(reading)),
        people=tuple(people)[:MOST_PEOPLE],
    )


def told_path(found: Found) -> str:
    """Where something stands, for people: with positions, and ``*`` for a name that could be a
    value itself."""
    parts = [found.key]
    node: Node | None = found.node
    while node is not None:
        if node.name:
            parts.append(node.name)
        node = node.parent
    return ".".join(map(_told_part, reversed(parts)))


_POSITIONS = re.compile(r"(?:\[\d+\])*\Z")


def _told_part(part: str) -> str:
    positions = _POSITIONS.search(part)
    if positions is not None and positions[0] == part:
        return part
    shown = shown_name(part)
    if shown == "*" or "." in shown or told(shown) != shown:
        return "*"
    return shown + (positions[0] if positions else "")


# -- fields -------------------------------------------------------------------------------------


def _fields(conversion: Conversion, rules: ReadingRules, *, named: bool) -> dict[str, ReadField]:
    found, reading = conversion.reading.found, conversion.reading
    row = reading.row

    def field_of(name: str, value: Any, absent: str = "", unreadable: str = "") -> ReadField:
        seen = found.get(name)
        path = told_path(seen) if seen is not None else ""
        if name in conversion.unreadable:
            return ReadField("unreadable", path=path, note="it is there and cannot be understood")
        if value is None:
            if seen is not None and unreadable:
                return ReadField("unreadable", path=path, note=unreadable)
            note = "what stands there is no value" if seen is not None else absent
            return ReadField("absent", path=path, note=note)
        return ReadField("read", told(value) if isinstance(value, str) else value, path)

    time = conversion.event_time.astimezone(timezone.utc)
    event_id = conversion.event_id if id_text(reading.value("event_id")) else None
    return {
        "event_name": _name_field(conversion) if named else ReadField("absent"),
        "event_id": field_of("event_id", event_id, f"sent under the row's: {row.event_id}"),
        "event_time": field_of(
            "event_time",
            time.isoformat() if conversion.has_own_time else None,
            f"the row's created_at is sent: {time.isoformat(timespec='seconds')}",
        ),
        "page_url": _page_field(conversion, rules),
        "referrer_url": field_of(
            "referrer_url", conversion.referrer_url, unreadable="it is no whole address"
        ),
        "value": field_of("value", conversion.value),
        "currency": _currency_field(field_of("currency", conversion.currency), found),
        "order_id": field_of("order_id", conversion.order_id),
        "action_source": field_of(
            "action_source",
            conversion.action_source,
            absent="website where there is a user agent, else the system's own",
            unreadable="it is no source that Meta knows",
        ),
        "client_id": _id_field(found.get("client_id") or found.get("ga_cookie")),
        "session_id": _id_field(found.get("session_id")),
    }


def _name_field(conversion: Conversion) -> ReadField:
    """The name, and whether the payload or the row says it."""
    reading = conversion.reading
    for key in ("event_name", "custom_event"):
        seen = reading.found.get(key)
        if seen is not None and identifier_text(seen.value) == conversion.event_name:
            return ReadField("read", told(conversion.event_name), told_path(seen))
    if conversion.event_name == reading.row.event_name or "event_name" not in reading.found:
        return ReadField("read", told(conversion.event_name), "the row's event_name")
    path = told_path(reading.found["event_name"])
    return ReadField("read", told(conversion.event_name), path)


def _page_field(conversion: Conversion, rules: ReadingRules) -> ReadField:
    reading, page = conversion.reading, conversion.page_url
    pages = [found for name, found in reading.urls if name == "page_url"]
    path = reading.found.get("page_path")
    if page is not None:
        whole = [each for each in pages if page_address(each.value) == page]
        seen = next(iter([*whole, *([path] if path else []), *pages]), None)
        return ReadField("read", told(page), told_path(seen) if seen is not None else "")
    seen = next(iter([*([path] if path else []), *pages]), None)
    if seen is None:
        return _ABSENT
    note = "it is no whole address of a page"
    if rules.site_url is None and str(seen.value).startswith("/"):
        note = "it is a path only: set SITE_URL"
    return ReadField("unreadable", path=told_path(seen), note=note)


def _currency_field(seen: ReadField, found: Mapping[str, Found]) -> ReadField:
    """An amount may bring its currency with it."""
    if seen.state == "read" and not seen.path and "value" in found:
        return replace(seen, path=told_path(found["value"]))
    return seen


def _id_field(found: Found | None) -> ReadField:
    """An id of a browser, a click or a session, cut short."""
    if found is None:
        return _ABSENT
    text = id_text(found.value)
    if text is None:
        return ReadField("unreadable", path=told_path(found), note="it is no id")
    return ReadField("read", shortened(text), told_path(found))


# -- consent ------------------------------------------------------------------------------------


def _consent(reading: Reading, policy: ReadingPolicy) -> ConsentSeen:
    said = reading.said(policy.denied_consent_ids) if reading.consents else {}
    paths = {found.path: told_path(found) for _, found in reading.consents}
    return ConsentSeen(
        purposes={
            purpose.value: StatementSeen(said[purpose].said.value, paths[said[purpose].path])
            if purpose in said
            else StatementSeen("nothing")
            for purpose in Purpose
        },
        global_privacy_control=reading.has_privacy_control(),
        default=policy.consent_default,
        silence=_SILENCE[policy.consent_default],
    )


def _options(reading: Reading) -> Iterator[OptionSeen]:
    try:
        values = read_privacy_options(reading)
    except UnreadableOptionError:
        values = {}
    for name, found in reading.privacy:
        yield OptionSeen(name, values.get(name), told_path(found))


# -- what is not used ---------------------------------------------------------------------------


def _ignored(reading: Reading) -> Iterator[str]:
    """The fields under whose names nothing is looked for where they stand. What describes the
    product goes on as it stands, so it is not among them."""
    used = {(id(found.node), found.key) for found in _taken(reading)}
    entered = {(id(node.parent), node.name.partition("[")[0]) for node in reading.tree.nodes}
    for node in reading.tree.nodes:
        if node.place.kind is Kind.PRODUCT:
            continue
        for key, value in node.mapping.items():
            if not isinstance(key, str) or value in (None, "", [], {}):
                continue
            if (id(node), key) in used or (id(node), key) in entered:
                continue
            place = meaning_of(key).place
            if place is not None and place.kind is Kind.PRODUCT:
                continue
            yield told_path(Found(value, node, key))


def _taken(reading: Reading) -> Iterator[Found]:
    yield from reading.found.values()
    yield from reading.customs.values()
    yield from reading.options.values()
    yield from reading.platform_ids.values()
    yield from reading.clicks().values()
    for _, found in (*reading.privacy, *reading.consents, *reading.urls):
        yield found
    for _, _, found in reading.person_fields():
        yield found


# -- the person ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sourced:
    """A candidate, and where it came from."""

    candidate: Candidate
    source: str
    path: str


def _people(
    conversion: Conversion, rules: ReadingRules, place_sources: Mapping[str, str]
) -> Iterator[PersonValue]:
    """Each value that may be a match key, and what each platform makes of it: the code that
    resolves all of them is asked what it makes of this one alone."""
    reading = conversion.reading
    lead = reading.lead
    sourced = list(_sourced(conversion))
    country = rules.country
    if lead is not None:
        sourced += _of_lead(lead, rules.geo_match_keys, place_sources)
        country = lead.country or country
    candidates = [each.candidate for each in sourced]
    countries = [each for each in candidates if each[0] == "country"]
    wholes = {
        platform: resolve_candidates(candidates, platform, country, rules.external_id)
        for platform in PLATFORMS
    }
    claimed: set[tuple[str, str, str]] = set()
    for each in sourced:
        key = each.candidate[0]
        used: list[str] = []
        note = ""
        for platform in (*_TOLD_OF_ALL, *(each for each, own in _OWN_KEYS.items() if key in own)):
            alone = [each.candidate] if key == "country" else [each.candidate, *countries]
            made = resolve_candidates(alone, platform, country, rules.external_id)
            value = made.keys.get(key)
            if value is None:
                reasons = [reason for dropped, reason in made.dropped if dropped == key]
                note = note or (reasons[0] if reasons else "")
                continue
            whole = wholes[platform].keys.get(key, [])
            values = {str(each) for each in (value if isinstance(value, list) else [value])}
            known = {str(each) for each in (whole if isinstance(whole, list) else [whole])}
            fresh = {each for each in values & known if (platform, key, each) not in claimed}
            claimed |= {(platform, key, each) for each in fresh}
            if fresh:
                used.append(platform)
            elif values & known:
                note = note or "the same value stands nearer to the person"
        if not used and not note:
            note = "another value stands nearer to the person"
        yield PersonValue(
            key=key,
            source=each.source,
            path=each.path,
            shown=masked(key, each.candidate[1]),
            used_by=tuple(used),
            note="" if used else note,
        )
    stored = reading.row.lead
    if stored is not None and stored is not lead:
        for each in _of_lead(stored, rules.geo_match_keys, place_sources):
            if each.path.removeprefix("leads.") in (stored.hosting_fields or ()):
                shown = masked(each.candidate[0], each.candidate[1])
                yield PersonValue(each.candidate[0], each.source, each.path, shown, (), _NO_HOME)


def _sourced(conversion: Conversion) -> Iterator[_Sourced]:
    """The candidates of the payload and of the row's column, with the fields they came from: what a
    candidate holds is the very object that stands in its field, or a part of a full name."""
    reading = conversion.reading
    fields = list(reading.person_fields())
    clicks = reading.clicks()
    for candidate in reading.candidates(conversion.event_time):
        key, value, rank, _, _ = candidate
        place = next(
            (
                position
                for position, (name, of_rank, found) in enumerate(fields)
                if name == key
                and of_rank == rank
                and (
                    rank % RANKS_OF_A_SOURCE == Rank.DERIVED
                    or any(each is value for each in _values_in(found.value, 0))
                )
            ),
            None,
        )
        if place is None:
            click = clicks.get("fbclid" if key == "fbc" else key)
            path = told_path(click) if click is not None else ""
            yield _Sourced(candidate, "click" if path else "payload", path)
            continue
        found = fields[place][2]
        if not isinstance(found.value, (list, dict)):
            del fields[place]
        source = "user_data column" if found.node.of_row else "payload"
        yield _Sourced(candidate, source, told_path(found))


def _values_in(value: Any, depth: int) -> Iterator[Any]:
    """A field's value and those within it that may stand for it."""
    yield value
    inner: Iterable[Any] = ()
    if depth < 3 and isinstance(value, (list, tuple)):
        inner = value
    elif depth < 3 and isinstance(value, dict):
        inner = value.values()
    for each in inner:
        yield from _values_in(each, depth + 1)


_NO_HOME = (
    "the address is of a data centre, a proxy, a VPN or a relay (GEO_MATCH_KEYS_FROM_HOSTING)"
)
_COLUMNS_OF_PLACES = ("country", "state", "city", "zip")


def _of_lead(
    lead: Lead, geo_match_keys: GeoMatchKeys, place_sources: Mapping[str, str]
) -> Iterator[_Sourced]:
    """What the lead adds, and which of it came from its IP address."""
    names: Sequence[str] = tuple(Lead.__dataclass_fields__)
    for candidate in lead_candidates(lead, geo_match_keys):
        column = next(name for name in names if getattr(lead, name) is candidate[1])
        if column in _COLUMNS_OF_PLACES and column in place_sources:
            source = f"place of the lead's IP address ({told(place_sources[column])})"
        else:
            source = "lead"
        yield _Sourced(candidate, source, f"leads.{column}")
