"""Reads a posted body as JSON, as browsers and servers send it."""

from __future__ import annotations

import re
from typing import Any

import orjson

_BOM = b"\xef\xbb\xbf"
# One escape after the other, so that an escaped backslash before "ud83d" is none. JavaScript
# writes half an emoji, of a text that was cut, as the escape of a lone surrogate.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\(u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)


def read_json(body: bytes) -> Any:
    """The JSON value of a body: with or without a byte order mark, and with U+FFFD for lone
    surrogates, which neither PostgreSQL nor a destination takes. Raises ValueError for what is no
    JSON, or nested too deeply."""
    body = body.removeprefix(_BOM)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return orjson.loads(_ESCAPE.sub(_without_lone_surrogate, body))


def _without_lone_surrogate(escape: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if escape[1] else escape[0]
