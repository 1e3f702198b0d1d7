"""Makes a text from outside fit to be kept: no secret, no personal data, no control characters.

Platforms quote the request in their error messages, and with it e-mails, phones and tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tracking_pipeline.identity import sanitize

LONGEST_MESSAGE = 300
_MOST_FIELDS = 5

_PATTERNS = (
    # Before the digits: a token or a hash may be full of them.
    (
        re.compile(
            r"(?i)\b(access_token|appsecret_proof|api_secret|key|token)"
            r"(=|%3d|[\"']?:[\"']?|[\"']\s*:\s*[\"'])[^\s&\"',]+"
        ),
        r"\1\2[redacted]",
    ),
    # Behind a colon and a space, a word of prose is none: "access token: Session has expired".
    (
        re.compile(
            r"(?i)\b(access_token|appsecret_proof|api_secret|key|token|authorization|bearer)"
            r"(:?\s+(?:bearer\s+)?)(?=[^\s&\"',]*\d)[^\s&\"',]{6,}"
        ),
        r"\1\2[redacted]",
    ),
    (re.compile(r"\b(?:[A-Za-z0-9_\-]{40,}|[0-9a-fA-F]{32,})\b"), "[redacted]"),
    (re.compile(r"[^\s@<>\"'(),;:=&]{1,64}(?:@|%40)[^\s@<>\"'(),;:&]{1,255}"), "[e-mail]"),
    (re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)"), "[ip]"),
    (re.compile(r"(?<![\w:])[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){3,7}(?!\w)"), "[ip]"),
    # Shortened in the middle: 2a00::1.
    (re.compile(r"(?<![\w:])[0-9a-fA-F]{1,4}::[0-9a-fA-F]{1,4}(?!\w)"), "[ip]"),
    # Phones and card-like numbers; shorter runs are codes, which an operator needs to see.
    (re.compile(r"(?<!\w)\+?\d(?:[\s().\-/]{0,3}\d){8,18}(?!\w)"), "[number]"),
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")


def redact(message: str, *secrets: str) -> str:
    """The message on one line, shortened to 300 characters, without ``secrets`` and without what
    looks like an e-mail, a phone number, an IP address, a hash or a token.
    """
    for secret in secrets:
        if secret:
            message = message.replace(secret, "[redacted]")
    message = _CONTROL.sub(" ", message[: LONGEST_MESSAGE * 10])
    for pattern, replacement in _PATTERNS:
        message = pattern.sub(replacement, message)
    return message[:LONGEST_MESSAGE].strip()


def kept_words(parts: Iterable[object], *, secrets: Sequence[str] = ()) -> str | None:
    """What a platform says to people, fit to be kept: its texts one after the other; None where
    there are none."""
    texts = [part.strip() for part in parts if isinstance(part, str)]
    cleaned = sanitize(redact(": ".join(text for text in texts if text), *secrets))
    return cleaned[:LONGEST_MESSAGE] if isinstance(cleaned, str) and cleaned else None


_TRACE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-./+=]{0,99}")
_FIELD = re.compile(
    r"[A-Za-z_]\w{0,63}(?:\[\d{0,6}\]|\.(?:[A-Za-z_]\w{0,63}|\d{1,6})){0,12}", re.ASCII
)


def kept_trace_id(value: object) -> str | None:
    """The id that a platform's support finds a request by; None where it is none."""
    is_one = isinstance(value, str) and _TRACE_ID.fullmatch(value) and sanitize(value) == value
    return value if is_one and isinstance(value, str) else None


def kept_fields(paths: Iterable[object]) -> str | None:
    """The first of the paths that a platform objects to, each once, with commas; what is no path is
    left out, since it may be a value. None where none is left."""
    kept = dict.fromkeys(
        path
        for path in paths
        if isinstance(path, str) and _FIELD.fullmatch(path) and sanitize(path) == path
    )
    return ", ".join(list(kept)[:_MOST_FIELDS]) or None
