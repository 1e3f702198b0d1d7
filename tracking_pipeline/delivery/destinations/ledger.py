"""The destination ``supabase``: the ledger ``wm_event_log`` itself.

An event whose ledger row could not be written is inserted again. A conflict is good news: the row
is there. Two kinds are told apart: the same ``event_id``, and the site's unique index on lead and
event name, which means that this conversion was recorded under another id.

What is written holds no raw personal data: hashes, browser ids, and what is left of the payload.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

import anyio
import orjson
import psycopg

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.delivery.engine.destination import Limits, Reply
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck, judged
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Fault,
    NotSent,
    Outcome,
    Paused,
    PerEvent,
    Refused,
    Rejected,
    Retry,
    Uniform,
    Verdict,
)
from tracking_pipeline.delivery.engine.readiness import OF_A_RECORD, ready_conversion
from tracking_pipeline.delivery.failures import Failure, FailureOutcome
from tracking_pipeline.events.consent import Purpose, Said
from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline.events.money import Money, read_amount
from tracking_pipeline.events.names import Kind, meaning_of, plain_name
from tracking_pipeline.events.person import person_keys
from tracking_pipeline.events.policy import DEFAULT_POLICY, ReadingPolicy, reading_policy
from tracking_pipeline.events.reading import Reading, Statement
from tracking_pipeline.events.row import StoredRow
from tracking_pipeline.events.texts import id_text, impersonal_fields, impersonal_text
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.identity.match import named_as_google
from tracking_pipeline.identity.platforms import VISITOR_IDS
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.store.ledger import COLUMNS, insert_events
from tracking_pipeline.store.refusals import LOCK_NOT_AVAILABLE, OF_THE_SERVER, culprit_of

# A lease has 30 seconds left when a request starts, and settling takes a moment.
LONGEST_INSERT_SECONDS = 25.0
# The names that other ids are mapped under; it must never change, or an event gets a second id.
EVENT_ID_NAMESPACE = UUID("6f3c1b1e-2c5a-5d0e-9d53-8f6f1d3f6a10")

_SQLSTATES = "https://www.postgresql.org/docs/current/errcodes-appendix.html"
# By SQLSTATE, or by its class; whose fault it is, is said by ``store/refusals.py``.
CODES = Codes(
    {
        **known(Failure.LEDGER_ACCESS_DENIED, _SQLSTATES, "42501", "28..."),
        **known(Failure.LEDGER_TABLE_CHANGED, _SQLSTATES, "3D...", "3F...", "42..."),
        **known(Failure.LEDGER_UNAVAILABLE, _SQLSTATES, *(f"{each}..." for each in OF_THE_SERVER)),
        **known(Failure.LEDGER_UNAVAILABLE, _SQLSTATES, LOCK_NOT_AVAILABLE),
    },
    {
        "retry": Failure.LEDGER_UNAVAILABLE,
        "paused": Failure.LEDGER_TABLE_CHANGED,
        "rejected": Failure.LEDGER_ROW_REFUSED,
    },
)
_NO_ANSWER = Fault("the ledger did not answer in time", Failure.LEDGER_UNAVAILABLE, "timeout")

_TEXT_COLUMNS = frozenset(name for name, kind in COLUMNS.items() if kind == "text")
_INTEGER_COLUMNS = ("intent_tier", "lead_score")
# Of these, what a template left is nobody's id.
_ID_COLUMNS = frozenset(("client_id", "campaign_id", "fbclid", "gclid"))
# Read elsewhere, or not the ledger's business.
_NOT_METADATA = frozenset(map(plain_name, (*COLUMNS, "id", "created_at"))) - {"metadata"}
# What is in a column of its own type where it fits one, and in the metadata where it does not.
_TYPED_COLUMNS = ("session_id", "lead_id", "intent_tier", "lead_score")
_CORE_FIELDS = frozenset(("event_name", "event_id", "event_time"))
_MOST_INT = 2**31 - 1
# PostgreSQL's jsonb cannot hold U+0000: the escape, but not an escaped backslash before "u0000".
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
_BETWEEN_WORDS = re.compile("(?<=[a-z])(?=[A-Z])")


class Ledger:
    """The destination ``supabase``."""

    name: DestinationName = "supabase"
    codes = CODES
    limits = Limits(request_events=500, request_bytes=4_000_000, in_flight=2)

    def __init__(
        self, pool: AsyncPool, *, country: str = "US", policy: ReadingPolicy = DEFAULT_POLICY
    ) -> None:
        self._pool = pool
        self._country = country
        self._policy = policy

    @classmethod
    def configured(cls, settings: Settings, client: DeliveryClient, pool: AsyncPool) -> Ledger:
        """The table in the database that is served."""
        return cls(pool, country=settings.default_country, policy=reading_policy(settings))

    def prepare(self, event: FailedEvent) -> Prepared | NotSent:
        """The event as one row of the ledger, a JSON object with its columns."""
        conversion = ready_conversion(event, (), policy=self._policy, needed=OF_A_RECORD)
        if not isinstance(conversion, Conversion):
            return conversion
        row, dropped = ledger_row(event, conversion, country=self._country)
        dropped += [(path, "unreadable") for path in conversion.unreadable.values()]
        return Prepared(event, storable_json(row), tuple(dropped))

    async def send(self, batch: Sequence[Prepared], now: datetime) -> Reply:
        """One INSERT of the batch."""
        rows = b"[" + b",".join([member.body for member in batch]) + b"]"
        ids = [UUID(orjson.loads(member.body)["event_id"]) for member in batch]
        try:
            with anyio.fail_after(LONGEST_INSERT_SECONDS):
                async with self._pool.connection() as connection:
                    inserted, present = await insert_events(connection, rows, ids)
        except TimeoutError:
            return Reply(Uniform(Retry(_NO_ANSWER)), 0)
        except psycopg.Error as error:
            return Reply(classify(error), 0)
        outcomes: list[Outcome] = []
        for event_id in ids:
            if event_id in inserted:
                inserted.discard(event_id)
                outcomes.append(Delivered())
            else:
                outcomes.append(
                    Delivered(duplicate="event" if event_id in present else "conversion")
                )
        return Reply(PerEvent(outcomes), 0)

    async def check(self, now: datetime) -> DestinationCheck:
        """Reads from the ledger, and inserts a row that is rolled back."""
        event_id = uuid4()
        row = {
            "event_id": str(event_id),
            # As a real one has it: a site's own CHECK may know the names and types that it uses.
            "event_name": "Lead",
            "event_type": "conversion",
            "event_time": now.isoformat(),
            "ingested_by": "tracking_pipeline",
        }
        started = time.monotonic()
        verdict: Verdict = Uniform(Delivered())
        try:
            with anyio.fail_after(LONGEST_INSERT_SECONDS):
                async with (
                    self._pool.connection() as connection,
                    connection.transaction(force_rollback=True),
                ):
                    await insert_events(connection, storable_json([row]), [event_id])
        except TimeoutError:
            verdict = Uniform(Retry(_NO_ANSWER))
        except psycopg.Error as error:
            verdict = classify(error)
        found = judged(verdict, duration_ms=round((time.monotonic() - started) * 1000))
        return replace(found, detail=found.detail or "the ledger takes rows")


def classify(error: psycopg.Error) -> Verdict:
    """What a failed INSERT means, by its SQLSTATE. The server's own message may quote the row, so
    only the code and its name are kept.

    A fault of the table is suspected to be one row's where others are stored: the site's trigger
    may name what does not exist in one of its branches.
    """
    state = error.sqlstate
    culprit = culprit_of(error)
    words = f"{_condition(error)} (SQLSTATE {state or 'none'})"
    if culprit == "row":
        fault = Fault(
            f"the ledger does not take this row: {words}", _failure(state, "rejected"), state
        )
        return Refused(Rejected(f"refused by the ledger: {state or 'unknown'}", fault))
    if culprit == "table":
        message = f"the ledger cannot be written: {words}: run tracking-pipeline migrate"
        fault = Fault(message, _failure(state, "paused"), state)
        return Uniform(Paused(fault, certain=not (state or "").startswith("42")))
    return Uniform(Retry(Fault(f"the database failed: {words}", _failure(state, "retry"), state)))


def _failure(state: str | None, outcome: FailureOutcome) -> Failure:
    return CODES.failure(outcome, state or "", f"{(state or '')[:2]}...")


def _condition(error: psycopg.Error) -> str:
    """What PostgreSQL calls the error, as in "check violation". A constraint's name says more, but
    what a trigger raises may carry any text in its place."""
    try:
        name = psycopg.errors.lookup(error.sqlstate or "").__name__
    except KeyError:
        return "an error of the site's own"
    return _BETWEEN_WORDS.sub(" ", name).lower()


def storable_json(value: Any) -> bytes:
    """JSON that a jsonb column can hold: without U+0000. Raises TypeError where ``value`` is nested
    too deeply."""
    encoded = orjson.dumps(value)
    # The plain search is a hundred times faster than the pattern, and finds nothing in most rows.
    return _NUL.sub(rb"\1", encoded) if b"\\u0000" in encoded else encoded


def ledger_event_id(event_id: str) -> UUID:
    """The ledger's uuid of an event: its own id where that is one, else one made from its text, the
    same each time."""
    try:
        return UUID(event_id)
    except ValueError:
        return uuid5(EVENT_ID_NAMESPACE, event_id)


def ledger_row(
    stored: StoredRow, conversion: Conversion, *, country: str = "US"
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The event as a row of the ledger by its columns, without raw personal data, and the (key,
    reason) of each match key that could not be used. ``country`` reads phones."""
    reading = conversion.reading
    moment = conversion.event_time
    keys, dropped = person_keys(reading, "meta", country, "all", event_time=moment)
    googles, _ = person_keys(reading, "google", country, "all", event_time=moment)
    visitor, _ = person_keys(reading, VISITOR_IDS, country, "all", event_time=moment)
    given = _columns(reading)
    clicks = reading.clicks()
    metadata = _metadata(conversion)
    event_id = ledger_event_id(conversion.event_id)
    if str(event_id) != conversion.event_id.lower():
        metadata["event_id"] = conversion.event_id
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    for name, value in given.items():
        row[name] = _column(name, value)
    row |= {
        "event_id": str(event_id),
        "event_name": conversion.event_name,
        "event_type": row["event_type"] or impersonal_text(stored.event_type) or "unknown",
        "event_time": moment.isoformat(),
        "lead_id": _uuid(given.get("lead_id")) or _uuid(stored.lead_id),
        "session_id": _uuid(given.get("session_id")) or _uuid(stored.session_id),
        "client_id": impersonal_text(id_text(reading.value("client_id"))) or row["client_id"],
        "external_id": _single(keys.get("external_id")),
        "page_path": row["page_path"] or conversion.page_url,
        "fbp": keys.get("fbp"),
        "fbc": keys.get("fbc"),
        "user_data": {**named_as_google(googles), **visitor, **keys} or None,
        "ingested_by": row["ingested_by"] or "tracking_pipeline",
        "email_sha256": _single(keys.get("em")),
        "phone_sha256": _single(keys.get("ph")),
    }
    for name in ("gclid", "fbclid"):
        click = impersonal_text(clicks[name].value) if name in clicks else None
        row[name] = click or row[name]
    # Without the typed columns nothing may be lost: what does not fit one is kept as it is.
    for name in _TYPED_COLUMNS:
        if row[name] is None and given.get(name) not in (None, ""):
            kept = impersonal_fields({name: given[name]})
            metadata = {**kept, **metadata}
    row["metadata"] = metadata or None
    return row, dropped


def _columns(reading: Reading) -> dict[str, Any]:
    """What the event says under the names of the ledger's columns, in any spelling: in itself, then
    in its parts."""
    wanted = _PLAIN_COLUMNS
    found: dict[str, Any] = {}
    event = reading.tree.event
    for node in reading.nodes:
        if node is not event and (node.relation or node.place.kind in _NO_COLUMNS):
            continue
        for key, value in node.mapping.items():
            column = wanted.get(plain_name(key)) if isinstance(key, str) else None
            if column is not None and column not in found and value not in (None, ""):
                found[column] = value
    if reading.form.means.get("eventtype"):
        found.pop("event_type", None)
    return found


def _column(name: str, value: Any) -> str | int | None:
    """What of a value goes into a column of texts or of integers; None for the other columns, whose
    values are read elsewhere."""
    if name in _ID_COLUMNS:
        return impersonal_text(id_text(value))
    if name in _TEXT_COLUMNS:
        return impersonal_text(value)
    if name not in _INTEGER_COLUMNS:
        return None
    amount = read_amount(value)
    number = amount.amount if isinstance(amount, Money) else None
    return int(number) if number is not None and abs(number) <= _MOST_INT else None


_PLAIN_COLUMNS = {plain_name(name): name for name in COLUMNS}
_NO_COLUMNS = frozenset((Kind.PERSON, Kind.ENVELOPE, Kind.REQUEST))


def _metadata(conversion: Conversion) -> dict[str, Any]:
    """The payload's ``metadata`` and whatever else it says, without personal data."""
    reading = conversion.reading
    merged: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    for node in reading.part(Kind.PRODUCT, Kind.PROPERTIES, Kind.AROUND):
        if node.place.plain in ("customdata", "properties", "context", "metadata", "meta"):
            parts.setdefault(node.name, node.mapping)
    for name, value in reading.loose().items():
        if not isinstance(name, str) or name in parts or plain_name(name) in _NOT_METADATA:
            continue
        field = meaning_of(name).field
        if field is None or field.name not in _CORE_FIELDS:
            merged[name] = value
    for name in sorted(parts, key=lambda each: plain_name(each) in ("metadata", "meta")):
        merged |= parts[name]
    for name, value in (
        ("value", conversion.value),
        ("currency", conversion.currency),
        ("order_id", conversion.order_id),
    ):
        if value is not None:
            merged.setdefault(name, value)
    if reading.consents and not any(found.key in merged for _, found in reading.consents):
        merged["consent"] = {
            purpose.value: statement.said.value for purpose, statement in conversion.consent.items()
        }
    elif any(merged.get(found.key) is not found.value for _, found in reading.consents) and (
        refused := refused_purposes(conversion.consent)
    ):
        # Said around the event or of the person, or twice under one name: no refusal is lost.
        merged["consent_elsewhere"] = refused
    return impersonal_fields(merged)


def refused_purposes(said: Mapping[Purpose, Statement]) -> dict[str, str]:
    """The purposes that were refused, and those of which nobody can tell, in words that are read
    again as what they say."""
    return {
        purpose.value: statement.said.value
        for purpose, statement in said.items()
        if statement.said in (Said.DENIED, Said.UNCLEAR)
    }


def _uuid(value: Any) -> str | None:
    if isinstance(value, UUID):
        return str(value)
    try:
        return str(UUID(value.strip())) if isinstance(value, str) else None
    except ValueError:
        return None


def _single(value: str | list[str] | None) -> str | None:
    return value[0] if isinstance(value, list) else value
