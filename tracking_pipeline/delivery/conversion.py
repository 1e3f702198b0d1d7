"""Reads a stored ``event_payload``, in whatever shape it was written, as one :class:`Conversion`.

Three shapes are common, and mixtures of them: Meta's own form (``event_name``, ``event_time``,
``user_data``, ``custom_data``), the ledger's form (the columns of ``wm_event_log``, with
``metadata`` and ``user_data``), and a flat form (``event_name``, ``event_id``, ``email``,
``value``, ...). One reader looks a field up under its usual names at the top, then in the usual
containers, so the shapes need no telling apart.

Nothing here raises on a bad payload: what cannot be read is a :class:`Rejected` with a reason that
names the field.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from tracking_pipeline.delivery.events import FailedEvent
from tracking_pipeline.delivery.outcomes import Rejected, reject
from tracking_pipeline.identity import sanitize

# Meta's own tolerance is not published; peers refuse more than a minute.
FUTURE_TOLERANCE = timedelta(minutes=1)

EVENT_NAME = ("event_name", "eventName", "event")
EVENT_ID = ("event_id", "eventId", "eventID", "unique_event_id")
_EVENT_TIME = (
    "event_time",
    "eventTime",
    "event_timestamp",
    "timestamp",
    "time",
    "occurred_at",
    "created_at",
)
_URL = ("event_source_url", "eventSourceUrl", "page_location", "page_url", "url")
_REFERRER = ("referrer_url", "page_referrer", "referrer")
_CONTAINERS = ("metadata", "context", "properties", "page", "custom_data")
_CONSENT = ("consent", "consent_state")
_SINGLE_CONSENTS = ("ad_user_data", "marketing_consent")
# The consents that advertising needs, as sites and Google's consent mode name them.
_AD_CONSENTS = ("ad_user_data", "ad_storage", "marketing", "advertising", "ads", "adUserData")
_DENIED = (
    "denied",
    "consent_denied",
    "declined",
    "refused",
    "rejected",
    "revoked",
    "withdrawn",
    "no",
    "false",
    "0",
)
# Of a request that was stored whole: its secrets are no part of the event.
_SECRETS = ("access_token", "appsecret_proof", "api_secret")

_PERSONAL_IDENTIFIER = re.compile(
    r"@|%40|[={\[]|(?:\+|%2[Bb])(?:\d[\s().-]{0,2}){9,14}\d(?!\d)", re.ASCII
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# Read by hand: what ``datetime.fromisoformat`` takes differs from Python 3.10 to 3.11.
_ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})"
    r"(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?"
    r" ?(?:Z|z|UTC|([+-])(\d{2})(?::?(\d{2}))?)?)?",
    re.ASCII,
)
# 1,234.50, also grouped as in India, and 1.234,50 or 19,90. "1,234" alone is a thousand and more.
_COMMA_GROUPS = re.compile(r"[+-]?\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d*)?")
_COMMA_DECIMALS = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d{1,2}")
_CURRENCY = re.compile("[A-Z]{3}")
_LONGEST_TEXT = 2_000


@dataclass(frozen=True, slots=True)
class Conversion:
    """One conversion, independent of destination.

    ``fields`` is the payload itself, for what only one destination reads. ``event_time`` is aware.
    ``value`` is a finite number or None. ``page_url`` is absolute or None. The texts hold no raw
    personal data, except ``event_id``, which has to stay what the pixel sent.
    """

    event_name: str
    event_id: str
    event_time: datetime
    page_url: str | None
    referrer_url: str | None
    value: float | None
    currency: str | None
    order_id: str | None
    fields: Mapping[str, Any]


def read_conversion(
    event: FailedEvent, site_url: str | None = None, *, for_advertising: bool = True
) -> Conversion | Rejected:
    """The conversion in a failed event, or why there is none.

    ``site_url`` (no trailing slash) makes a page that is only a path into an address. An event
    whose person refused advertising is rejected where it is ``for_advertising``; the site's own
    ledger keeps it.
    """
    fields = as_mapping(event.payload)
    if fields is None or holds_several(fields):
        # Of several, one person's identifiers would go out with another one's event.
        what = "holds several events" if fields else "is no JSON object that can be read"
        return reject(f"event_payload {what}")
    name = impersonal_text(first(fields, EVENT_NAME)) or impersonal_text(event.event_name)
    if not name:
        return reject("missing event_name")
    if for_advertising and denies_consent(fields):
        return reject("consent denied")
    moment = read_time(first(fields, _EVENT_TIME), default=event.created_at)
    if moment is None:
        return reject("invalid event_time")
    if moment > event.now + FUTURE_TOLERANCE:
        return reject("event_time lies in the future")
    return Conversion(
        event_name=name,
        event_id=text(first(fields, EVENT_ID)) or str(event.event_id),
        event_time=moment,
        page_url=_page_url(fields, site_url),
        referrer_url=_absolute(impersonal_text(first(fields, _REFERRER))),
        value=number(first(fields, ("value", "conversion_value", "revenue", "total"))),
        currency=_currency(first(fields, ("currency", "currency_code"))),
        order_id=identifier_text(
            first(fields, ("order_id", "orderId", "transaction_id", "transactionId"))
        ),
        fields=fields,
    )


_NOWHERE = len(_CONTAINERS) + 1


class Fields(dict[str, Any]):
    """A payload's fields, and where each name is found first; not to be changed once made.

    An event is asked for some forty names, nearly all of them absent. ``found`` answers each with
    one look: by name, the place (0 is the top level, then the usual containers in their order) and
    the value, for all that is not null and not blank.
    """

    __slots__ = ("found",)
    found: dict[str, tuple[int, Any]]

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self.found = {}
        places = [self, *(self[name] for name in _CONTAINERS if name in self)]
        for place, values in enumerate(places):
            if isinstance(values, dict):
                self._find(place, values)

    def _find(self, place: int, values: dict[str, Any]) -> None:
        found = self.found
        for name, value in values.items():
            if value is None or name in found:
                continue
            if isinstance(value, str) and (not value or value.isspace()):
                continue
            found[name] = (place, value)


def first(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The first value under one of the names that is not null and not blank: at the top level for
    all names first, then in the usual containers."""
    found = _found(fields)
    nearest, value = _NOWHERE, None
    for name in names:
        if name in found and found[name][0] < nearest:
            nearest, value = found[name]
    return value


def first_of_each(fields: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """What :func:`first` gives for each name alone, in the order of ``names``, without those that
    the payload lacks."""
    found = _found(fields)
    return {name: found[name][1] for name in names if name in found}


def _found(fields: Mapping[str, Any]) -> dict[str, tuple[int, Any]]:
    return (fields if isinstance(fields, Fields) else Fields(fields)).found


def text(value: Any) -> str | None:
    """A value as one line of text without control characters; None for what is no text."""
    if not isinstance(value, str):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        if isinstance(value, float) and not math.isfinite(value):
            return None
        value = str(value)
    # In ASCII, what is not printable is just the control characters; most texts have neither.
    if not (value.isascii() and value.isprintable()):
        value = _CONTROL.sub("", value)
    return value[:_LONGEST_TEXT].strip() or None


def impersonal_text(value: Any) -> str | None:
    """:func:`text` without what is personal in it: e-mails, phones, a query's ``email=...``."""
    plain = text(value)
    clean = sanitize(plain)
    # The usual case: nothing was removed, and a second reading of the same text changes nothing.
    return plain if clean is plain else text(clean)


def identifier_text(value: Any) -> str | None:
    """:func:`text` of an order's or an event's id: what the tag on the page sent, or the two would
    be counted as two conversions.

    ``415-555-0123`` is such an id as well as a phone, so digits alone are never judged. Only what
    is surely a person's goes as in :func:`impersonal_text`: an e-mail address, a number in full
    international form (+ and 10 to 15 digits), fields with values.
    """
    plain = text(value)
    return impersonal_text(plain) if plain and _PERSONAL_IDENTIFIER.search(plain) else plain


def impersonal_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A payload's loose fields without personal data.

    A bare ``name`` is left out as well: out of its place nobody can tell a person's from a
    product's.
    """
    clean = sanitize(dict(fields))
    if not isinstance(clean, dict):
        return {}
    return {name: value for name, value in clean.items() if name.lower() != "name"}


def number(value: Any) -> float | None:
    """A finite number, also from text such as "19.90", "1,234.50" or "1.234,50"; None for anything
    else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = value.strip()
        if len(value) > 40:
            return None
        if _COMMA_GROUPS.fullmatch(value):
            value = value.replace(",", "")
        elif _COMMA_DECIMALS.fullmatch(value):
            value = value.replace(".", "").replace(",", ".")
    if not isinstance(value, (int, float, str)):
        return None
    try:
        result = float(Decimal(value) if isinstance(value, str) else value)
    except (InvalidOperation, OverflowError, ValueError):
        return None
    return result if math.isfinite(result) else None


def read_time(value: Any, *, default: datetime) -> datetime | None:
    """A moment from Unix seconds, milli- or microseconds, or ISO 8601 text; ``default`` for a value
    that is absent, None for one that cannot be a moment. A text without a zone is in UTC."""
    if value is None or value == "":
        return default
    iso = _ISO.fullmatch(value.strip()) if isinstance(value, str) else None
    try:
        if iso is not None:
            return _from_iso(iso)
        amount = number(value)
        return None if amount is None else _from_unix(amount)
    except (ValueError, OverflowError, OSError):
        return None


def _from_iso(iso: re.Match[str]) -> datetime:
    *clock, fraction, sign, zone_hours, zone_minutes = iso.groups()
    year, month, day, hour, minute, second = (int(part or 0) for part in clock)
    microsecond = int((fraction or "0")[:6].ljust(6, "0"))
    offset = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
    zone = timezone(-offset if sign == "-" else offset)
    moment = datetime(year, month, day, hour, minute, second, microsecond, zone)
    return moment.astimezone(timezone.utc)


def _from_unix(amount: float) -> datetime | None:
    # Seconds stay below 1e11 until the year 5138; milliseconds and microseconds are that much
    # larger.
    for unit in (1, 1e3, 1e6):
        if amount < 1e11 * unit:
            seconds = amount / unit
            return datetime.fromtimestamp(seconds, timezone.utc) if seconds > 0 else None
    return None


def denies_consent(fields: Mapping[str, Any]) -> bool:
    """Whether the payload says that this person refused advertising. Silence is no refusal: the
    event was sent once already, and what it may be used for is written in it.
    """
    for name, consent in first_of_each(fields, (*_CONSENT, *_SINGLE_CONSENTS)).items():
        if _is_denied(consent):
            return True
        parts = consent if name in _CONSENT and isinstance(consent, dict) else {}
        if any(_is_denied(parts.get(key)) for key in _AD_CONSENTS if key in parts):
            return True
    return False


def _is_denied(value: Any) -> bool:
    return value in (False, 0) or (isinstance(value, str) and value.strip().lower() in _DENIED)


def as_mapping(payload: Any) -> Fields | None:
    """The payload as an object: also when it was stored as JSON text, or as Meta's ``data`` list
    with one event in it. Without the secrets of a request that was stored whole."""
    if isinstance(payload, str):
        try:
            payload = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return None
    if isinstance(payload, list) and len(payload) == 1:
        payload = payload[0]
    if not isinstance(payload, dict):
        return None
    fields = dict(payload)
    for name in _SECRETS:
        fields.pop(name, None)
    inner = fields.get("data")
    if isinstance(inner, list) and len(inner) == 1 and isinstance(inner[0], dict):
        del fields["data"]
        fields |= inner[0]
    return Fields(fields)


def holds_several(fields: Mapping[str, Any]) -> bool:
    """Whether Meta's ``data`` list has more than one event in it."""
    inner = fields.get("data")
    return isinstance(inner, list) and (
        sum(isinstance(each, dict) and bool(first(each, EVENT_NAME)) for each in inner) > 1
    )


def _page_url(fields: Mapping[str, Any], site_url: str | None) -> str | None:
    context = fields.get("context")
    page = context.get("page") if isinstance(context, dict) else None
    path = impersonal_text(first(fields, ("page_path", "path")))
    return (
        _absolute(impersonal_text(first(fields, _URL)))
        or _absolute(impersonal_text(page.get("url")) if isinstance(page, dict) else None)
        or _absolute(path)
        or (f"{site_url}{path}" if site_url and path and path.startswith("/") else None)
    )


def _absolute(url: str | None) -> str | None:
    return url if url and url.lower().startswith(("http://", "https://")) else None


def _currency(value: Any) -> str | None:
    code = (text(value) or "").upper()
    return code if _CURRENCY.fullmatch(code) else None
