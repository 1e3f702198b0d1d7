"""What a posted lead form becomes: a row of ``leads``, and the event that goes into the ledger.

Only what identifies a person or tells where they came from is taken: a form that anybody may post
must not reach the other columns of a site's own table.

Pure; what is written is in :mod:`tracking_pipeline.web.intake.lead_saving`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4, uuid5

from tracking_pipeline.events.consent_names import statement_named
from tracking_pipeline.events.names import meaning_of, plain_name
from tracking_pipeline.events.reading import Reading, read_payload
from tracking_pipeline.events.texts import id_text, text
from tracking_pipeline.events.tree import SEVERAL_EVENTS
from tracking_pipeline.geo.address import lead_address
from tracking_pipeline.identity import normalize
from tracking_pipeline.identity.countries import certain_state, country_code
from tracking_pipeline.identity.name import split_full_name
from tracking_pipeline.importing.records import Record
from tracking_pipeline.importing.rows import LeadRows
from tracking_pipeline.importing.values import FieldError, encode_row
from tracking_pipeline.store.importing import TableColumn
from tracking_pipeline.store.ledger import COLUMNS as LEDGER_COLUMNS
from tracking_pipeline.web.intake.events import Sender, UnusableEventError

# Leads of forms that bring no id of their own; it must never change, or a form that is sent again
# makes a second lead.
LEAD_NAMESPACE = UUID("3d9e5c1a-8f54-5b0e-9c0b-2f1d7a64e8b3")
LEAD_EVENT = "lead_captured"

_COLUMNS = frozenset(
    (
        "email",
        "name",
        "first_name",
        "last_name",
        "phone",
        "city",
        "state",
        "zip",
        "country",
        "fbp",
        "fbc",
        "gclid",
        "client_user_agent",
        "client_ip",
        "session_data",
    )
)
_LONGEST_TEXT = 2_000
# A real form has its person in `customer`, and the address in that.
_MOST_LEVELS = 3
# What of a form belongs to its event: how the visitor came, what it is worth, what they agreed to.
# What they wrote into it does not.
_OF_THE_EVENT = frozenset(
    (
        *LEDGER_COLUMNS,
        *("value", "currency", "action_source", "page_url", "page_location", "referrer"),
        *("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"),
    )
)


@dataclass(frozen=True, slots=True)
class LeadForm:
    """A lead ready to be saved. ``row`` is a JSON object with the ``columns`` of its table;
    ``values`` the same as a mapping. ``said`` and ``said_row`` are the part of it that the person
    may add to a lead of theirs: what the form itself says. ``names_event``: the form says what
    event it is."""

    id: UUID
    email: str
    values: Mapping[str, Any]
    columns: tuple[TableColumn, ...]
    row: bytes
    said: tuple[TableColumn, ...]
    said_row: bytes
    reading: Reading
    names_event: bool

    def event_payload(self, lead_id: UUID) -> dict[str, Any]:
        """The event of this form, by ``lead_id``; the same id each time the form is sent."""
        of_form = {
            name: value for name, value in self.reading.loose().items() if _is_of_the_event(name)
        }
        elsewhere = {
            found.key: found.value for _, found in self.reading.consents if found.key not in of_form
        }
        if elsewhere:
            of_form["consent_state"] = elsewhere
        event_id = id_text(self.reading.value("event_id"))
        return {
            **of_form,
            "event_name": text(self.reading.value("event_name")) or LEAD_EVENT,
            "event_id": event_id or str(uuid5(LEAD_NAMESPACE, f"event {lead_id}")),
            "event_type": text(of_form.get("event_type")) or "conversion",
            "lead_id": str(lead_id),
            "user_data": {
                name: value
                for name, value in self.values.items()
                if name in _COLUMNS and name != "session_data"
            },
        }


def read_lead(
    payload: Any,
    sender: Sender,
    columns: Mapping[str, TableColumn],
    *,
    idempotency_key: str | None,
    default_country: str,
) -> LeadForm:
    """The lead in a posted form. ``columns`` are those of the site's table, ``idempotency_key`` is
    the request's own. Raises :class:`UnusableEventError`.
    """
    reading = read_payload(payload)
    if reading.tree.problem == SEVERAL_EVENTS:
        raise UnusableEventError("the body holds several leads: send one lead a request")
    if reading.tree.event is None:
        raise UnusableEventError("the body is not a JSON object")
    fields = reading.loose()
    taken = {name: column for name, column in columns.items() if name in _COLUMNS}
    try:
        values = (
            LeadRows({**_required(columns), **taken})
            .make(Record(0, _flat(fields), cells=False, size=0))
            .values
        )
        email = _email(values)
        of_connection = _complete(values, sender, taken, default_country)
        values["id"] = str(_lead_id(reading, email, idempotency_key))
        said = {
            name: value
            for name, value in values.items()
            if name in _COLUMNS and name != "email" and name not in of_connection
        }
        return LeadForm(
            id=UUID(values["id"]),
            email=email,
            values=values,
            columns=tuple(columns[name] for name in values),
            row=encode_row(values),
            said=tuple(columns[name] for name in said),
            said_row=encode_row(said),
            reading=reading,
            names_event=text(reading.value("event_name")) is not None,
        )
    except FieldError as error:
        raise UnusableEventError(str(error)) from None


def _required(columns: Mapping[str, TableColumn]) -> dict[str, TableColumn]:
    """What the site's table takes no row without; a form has to bring it."""
    return {
        name: column
        for name, column in columns.items()
        if column.not_null and column.default is None and name != "id"
    }


def _flat(fields: Mapping[str, Any], levels: int = _MOST_LEVELS) -> dict[str, Any]:
    """The form's fields, and those of the places in it that are about its person. What stands
    nearer to the top counts."""
    flat = {name: value for name, value in fields.items() if name != "id"}
    for name, value in fields.items():
        place = meaning_of(name).place if isinstance(name, str) else None
        if isinstance(value, dict) and place is not None and place.of_person:
            flat.pop(name)
            for inner, inner_value in _flat(value, levels - 1).items() if levels else ():
                flat.setdefault(inner, inner_value)
    if "session_data" not in flat and isinstance(flat.get("sessionData"), dict):
        flat["session_data"] = flat.pop("sessionData")
    return flat


def _email(values: Mapping[str, Any]) -> str:
    for name, value in values.items():
        if isinstance(value, str) and len(value) > _LONGEST_TEXT:
            raise FieldError(f"{name} is longer than {_LONGEST_TEXT} characters: shorten it")
    return str(values["email"])


def _complete(
    values: dict[str, Any],
    sender: Sender,
    columns: Mapping[str, TableColumn],
    default_country: str,
) -> frozenset[str]:
    """Writes the state out, as the table has it, and adds what the form leaves to be found out: the
    parts of a full name, and, for a form that names neither, the address and the browser that it
    came from. Gives the columns that are from the connection.

    An address that is nobody's on the internet is no address: the connection's own counts.
    """
    names_address = "client_ip" in values
    if names_address:
        address = lead_address(values.pop("client_ip"))
        if isinstance(address, str):
            values["client_ip"] = address
    if isinstance(values.get("state"), str):
        country = country_code(str(values.get("country", ""))) or default_country.upper()
        state = certain_state(values["state"], country)
        values["state"] = state[0] if state else values["state"]
    of_connection: dict[str, str | None] = {}
    if "client_ip" not in values and (names_address or "client_user_agent" not in values):
        of_connection["client_ip"] = normalize("client_ip_address", sender.address)
    if "client_ip" not in values and "client_user_agent" not in values:
        of_connection["client_user_agent"] = normalize("client_user_agent", sender.user_agent)
    added = dict(of_connection)
    if parts := split_full_name(str(values.get("name", ""))):
        added["first_name"], added["last_name"] = parts
    for name, value in added.items():
        if value and name in columns:
            values.setdefault(name, value)
    return frozenset(of_connection)


def _is_of_the_event(name: Any) -> bool:
    if not isinstance(name, str):
        return False
    field = meaning_of(name).field
    return (
        name in _OF_THE_EVENT
        or (field is not None and field.anywhere)
        or statement_named(plain_name(name)) is not None
    )


def _lead_id(reading: Reading, email: str, idempotency_key: str | None) -> UUID:
    """The same for a form that is sent again: by its own id, else by the key of its request, its
    event, or its session. Of one person each: a form's event id is often a constant of its page. A
    form without any of them is a new lead."""
    given = id_text(reading.loose().get("lead_id"))
    if given:
        try:
            return UUID(given)
        except ValueError:
            raise FieldError("lead_id is not a uuid: correct it or leave it out") from None
    person = normalize("em", email)
    if idempotency_key:
        return uuid5(LEAD_NAMESPACE, f"key {idempotency_key} {person}")
    if event_id := id_text(reading.value("event_id")):
        return uuid5(LEAD_NAMESPACE, f"of event {event_id} {person}")
    if session := id_text(reading.value("session_id")):
        return uuid5(LEAD_NAMESPACE, f"session {session} {person}")
    return uuid4()
