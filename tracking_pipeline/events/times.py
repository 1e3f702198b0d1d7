"""Moments as payloads write them: Unix times in four units, ISO 8601, RFC 2822, JavaScript's own.

Read by hand: what ``datetime.fromisoformat`` takes differs from Python 3.10 to 3.11.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any

_ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})"
    r"[Tt ]+(\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?"
    r" ?(?:(Z|z|UTC|GMT)|([+-])(\d{2})(?::?(\d{2}))?)?",
    re.ASCII,
)
_BASIC_ISO = re.compile(
    r"(\d{4})(\d{2})(\d{2})[Tt](\d{2})(\d{2})(?:(\d{2})(?:[.,](\d+))?)?"
    r"(?:(Z|z)|([+-])(\d{2}):?(\d{2})?)?",
    re.ASCII,
)
# RFC 2822, and what JavaScript's Date writes; both name the month.
_NAMED_MONTH = re.compile(
    r"(?:[A-Za-z]{3,9},? +)?(?:(?P<day>\d{1,2})[ -](?P<month>[A-Za-z]{3})[a-z]*"
    r"|(?P<js_month>[A-Za-z]{3})[a-z]* (?P<js_day>\d{1,2}),?)[ -](?P<year>\d{4}),?"
    r"[ ](?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?"
    r" ?(?:(?P<utc>GMT|UTC|UT|Z)?(?:(?P<sign>[+-])(?P<zone_hours>\d{2}):?(?P<zone_minutes>\d{2}))?)"
    r"(?: ?\([^)]*\))?",
    re.ASCII,
)
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d*)?(?:[eE][+]?\d{1,2})?", re.ASCII)
# Seconds stay below 1e11 until the year 5138; each finer unit is a thousand times larger.
_UNITS = (1, 1_000, 1_000_000, 1_000_000_000)
_LARGEST_SECONDS = 10**11
# Below are a spreadsheet's days since 1900, counters and ages: in seconds they lie before 1973.
_LEAST_SECONDS = 10**8


def read_moment(value: Any, zone: tzinfo | None = None) -> datetime | None:
    """The moment, aware, that a value says; None for what can be none. A text without a zone is
    local to ``zone``, or in UTC. A date without a time is no moment."""
    try:
        if type(value) is int or type(value) is float:
            if _LEAST_SECONDS <= value < _LARGEST_SECONDS:
                return datetime.fromtimestamp(value, timezone.utc)
            return _from_unix(value)
        if isinstance(value, str):
            return _from_text(value.strip(), zone or timezone.utc)
        if isinstance(value, Mapping):
            return _from_object(value, zone)
    except (ValueError, OverflowError, OSError):
        return None
    return None


_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)


def read_moment_or_day(value: Any) -> datetime | None:
    """:func:`read_moment`, also of a date alone, which is its first moment in UTC: for a column or
    a filter, where no hour is asked for."""
    day = _DAY.fullmatch(value.strip()) if isinstance(value, str) else None
    return read_moment(value if day is None else f"{day[0]}T00:00:00Z")


def _from_unix(amount: float) -> datetime | None:
    for unit in _UNITS:
        if amount < _LARGEST_SECONDS * unit:
            if amount < _LEAST_SECONDS:
                return None
            if unit == 1 or isinstance(amount, float):
                return datetime.fromtimestamp(amount / unit, timezone.utc)
            # Whole units in whole numbers: a float has no room for a nanosecond.
            seconds, rest = divmod(amount, unit)
            moment = datetime.fromtimestamp(seconds, timezone.utc)
            return moment + timedelta(microseconds=rest * 1_000_000 // unit)
    return None


# How long the usual writings are: with +00:00, without a fraction, in milliseconds, microseconds.
_USUAL_LENGTHS = frozenset((25, 29, 32))


def _from_text(text: str, zone: tzinfo) -> datetime | None:
    if text[10:11] == "T":
        usual = f"{text[:-1]}+00:00" if text[-1] == "Z" else text
        if len(usual) in _USUAL_LENGTHS and usual[-6] in "+-" and usual.isascii():
            try:
                return datetime.fromisoformat(usual).astimezone(timezone.utc)
            except (ValueError, OverflowError):
                return None
    if text[:1].isdigit() or text[:1] in "+-":
        iso = _ISO.fullmatch(text) or _BASIC_ISO.fullmatch(text)
        if iso is not None:
            return _from_iso(iso, zone)
        if _NUMBER.fullmatch(text):
            return _from_unix(float(text) if re.search("[.eE]", text) else int(text))
    named = _NAMED_MONTH.fullmatch(text)
    return _from_named(named, zone) if named is not None else None


def _from_iso(iso: re.Match[str], zone: tzinfo) -> datetime:
    *clock, fraction, utc, sign, zone_hours, zone_minutes = iso.groups()
    year, month, day, hour, minute, second = (int(part or 0) for part in clock)
    microsecond = int((fraction or "0")[:6].ljust(6, "0"))
    if utc:
        zone = timezone.utc
    elif sign:
        offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes or 0))
        zone = timezone(-offset if sign == "-" else offset)
    moment = datetime(year, month, day, hour, minute, second, microsecond, zone)
    return moment.astimezone(timezone.utc)


def _from_named(found: re.Match[str], zone: tzinfo) -> datetime | None:
    month = _MONTHS.get((found["month"] or found["js_month"]).lower())
    if month is None:
        return None
    if found["sign"]:
        offset = timedelta(hours=int(found["zone_hours"]), minutes=int(found["zone_minutes"]))
        zone = timezone(-offset if found["sign"] == "-" else offset)
    elif found["utc"]:
        zone = timezone.utc
    moment = datetime(
        int(found["year"]),
        month,
        int(found["day"] or found["js_day"]),
        int(found["hour"]),
        int(found["minute"]),
        int(found["second"] or 0),
        tzinfo=zone,
    )
    return moment.astimezone(timezone.utc)


def _from_object(value: Mapping[Any, Any], zone: tzinfo | None) -> datetime | None:
    """What MongoDB (``$date``) and protocol buffers (``seconds``, ``nanos``) write."""
    if "$date" in value:
        date = value["$date"]
        if isinstance(date, Mapping) and "$numberLong" in date:
            date = date["$numberLong"]
        return None if isinstance(date, Mapping) else read_moment(date, zone)
    for seconds, nanos in (("seconds", "nanos"), ("_seconds", "_nanoseconds")):
        if seconds in value:
            moment = read_moment(value[seconds])
            rest = value.get(nanos, 0)
            if moment is not None and type(rest) is int and 0 <= rest < 10**9:
                return moment + timedelta(microseconds=rest // 1_000)
    return None
