"""Reads a posted body as JSON, as browsers and servers send it."""

from __future__ import annotations

import re
from typing import Any

import orjson

_BOM = b"\xef\xbb\xbf"
_NUL = b"\\u0000"
# One escape after the other, so that an escaped backslash before "ud83d" is none. JavaScript
# writes half an emoji, of a text that was cut, as the escape of a lone surrogate.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\(u[dD][89a-fA-F][0-9a-fA-F]{2})|\\(u0000)|\\.",
    re.DOTALL,
)


def read_json(body: bytes) -> Any:
    """The JSON value of a body: with or without a byte order mark, without U+0000, and with U+FFFD
    for lone surrogates; neither PostgreSQL nor a destination takes either. Raises ValueError for
    what is no JSON, or nested too deeply."""
    body = body.removeprefix(_BOM)
    if _NUL in body:
        body = _ESCAPE.sub(_storable, body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return orjson.loads(_ESCAPE.sub(_storable, body))


def _storable(escape: re.Match[bytes]) -> bytes:
    if escape[1]:
        return b"\\ufffd"
    return b"" if escape[2] else escape[0]
