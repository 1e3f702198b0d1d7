"""Who Google Analytics takes a visitor for, and in which session: as its cookies have it.

``_ga`` has the client id: ``GA1.1.1234567890.1700000000``, also ``GA1.1-2.…`` for a path, the two
numbers alone, and ``amp-…`` of AMP pages. ``_ga_<stream>`` has the session: ``GS1.1.<session>.…``,
since May 2025 ``GS2.1.s<session>$o…``, in any order of its letters.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from tracking_pipeline.events.reading import Reading
from tracking_pipeline.events.texts import id_text

_CLIENT = re.compile(r"(?:GA\d\.[\d-]+\.)?(\d{1,20}\.\d{1,20}|amp-[\w-]{10,100})", re.ASCII)
_STREAM = re.compile(r"_ga_[A-Z0-9]{4,16}", re.ASCII | re.IGNORECASE)
_OLD_SESSION = re.compile(r"GS1\.[\d-]+\.(\d{1,20})\..*", re.ASCII)
_NEW_SESSION = re.compile(r"GS2\.[\d-]+\.(?:.*\$)?s(\d{1,20})(?:\$.*)?", re.ASCII)
_SESSION = re.compile(r"\d{1,20}", re.ASCII)


def client_id_of(cookie: str) -> str | None:
    """The client id in a ``_ga`` cookie, None where there is none."""
    found = _CLIENT.fullmatch(_decoded(cookie))
    return found[1] if found else None


def analytics_session(reading: Reading) -> str | None:
    """The event's session of Google Analytics, as digits: as the event states it, else as the
    cookie of a stream has it. None where cookies of several streams tell different ones, and for a
    session of the site's own (a uuid, say)."""
    stated = id_text(reading.value("session_id"))
    if stated and (session := _session_of(stated)):
        return session
    told = {
        session
        for node in reading.nodes
        for name in _streams(tuple(node.mapping))
        if (session := _session_of(node.mapping[name]))
    }
    return told.pop() if len(told) == 1 else None


@lru_cache(maxsize=2048)
def _streams(names: tuple[Any, ...]) -> tuple[str, ...]:
    """Of a mapping's names, which come again and again, those of a stream's cookie."""
    return tuple(name for name in names if isinstance(name, str) and _STREAM.fullmatch(name))


def _session_of(value: Any) -> str | None:
    text = _decoded(value) if isinstance(value, str) else ""
    if _SESSION.fullmatch(text):
        return text
    found = _OLD_SESSION.fullmatch(text) or _NEW_SESSION.fullmatch(text)
    return found[1] if found else None


def _decoded(cookie: str) -> str:
    return unquote(cookie.strip()) if "%" in cookie else cookie.strip()
