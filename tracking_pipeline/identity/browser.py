"""Ids that a platform gave a browser or a click: never hashed, never re-cased, never rebuilt.

The form of Meta's browser id (`fbp`) and click id (`fbc`) is fb.{subdomain index}.{creation time in
ms}.{random number or fbclid}, on which the parameter builder may hang a suffix ("fbp and fbc
parameters" in Meta's documentation).
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from fractions import Fraction

from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.identity.text import text_of

is_fbp = re.compile(
    r"fb\.\d{1,2}\.\d{10,16}\.\d+(\.[A-Za-z0-9_-]{8}|\.[A-Za-z0-9_-]{2})?"
).fullmatch
is_fbc = re.compile(r"fb\.\d{1,2}\.\d{10,16}\.(?!(?:null|undefined)$)[A-Za-z0-9_.~%-]+").fullmatch
# What a URL or a cookie can hold; the longest known, Pinterest's, have some 200 characters.
_VISITOR_ID = re.compile(r"[!-~]{1,1000}")
# Before the click in the cookie `_uetmsclkid`.
_UET = "_uet"
# How many milliseconds one unit of a Unix time is, told by the number of its digits.
_UNITS = {10: Fraction(1000), 13: Fraction(1), 16: Fraction(1, 1000)}


def fbp_for_meta(text: str, country: str) -> str | Refusal:
    """Gives a well-formed browser id as it is. `country` plays no part."""
    return text if is_fbp(text) else Refusal.INVALID_FBP


def fbc_for_meta(text: str, country: str) -> str | Refusal:
    """Gives a well-formed click id as it is; `fbclid` is case-sensitive."""
    return text if is_fbc(text) else Refusal.INVALID_FBC


def visitor_id(text: str, country: str) -> str | Refusal:
    """Gives the id of a click or a browser as it is. `country` plays no part."""
    return text if _VISITOR_ID.fullmatch(text) else Refusal.INVALID_VISITOR_ID


def click_id_for_microsoft(text: str, country: str) -> str | Refusal:
    """Gives Microsoft's click id, without what its cookie puts before it."""
    return visitor_id(text.removeprefix(_UET), country)


def fbc_from_click(fbclid: str, event_time: object) -> str | None:
    """Builds `fbc` for a click whose cookie was not kept, as Meta's documentation describes.

    The creation time is the event's own time (seconds, milliseconds, microseconds or ISO 8601),
    which no retry changes. Without one there is no answer: a click id rebuilt with a new time at
    every try would be a new click each time.
    """
    milliseconds = _milliseconds(event_time)
    # Index 1 is what Meta asks of servers that set no cookie.
    return None if milliseconds is None else f"fb.1.{milliseconds}.{fbclid.strip()}"


def _milliseconds(event_time: object) -> int | None:
    text = text_of(event_time)
    if isinstance(text, Refusal):
        return None
    if text.isascii() and text.isdigit():
        per_millisecond = _UNITS.get(len(text))
        return None if per_millisecond is None else int(int(text) * per_millisecond)
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00").replace("z", "+00:00"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    milliseconds = int(moment.timestamp() * 1000)
    return milliseconds if milliseconds > 0 else None
