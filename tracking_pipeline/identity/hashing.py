"""SHA-256 as the platforms want it, and how to tell a value that has been hashed already."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TypeGuard

from tracking_pipeline.identity.placeholders import PLACEHOLDERS
from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.null_markers import NULL_MARKERS

# Meta's parameter builder appends 8 characters (formerly 2) to what it hashed; they are
# case-sensitive and belong to the value (facebook/capi-param-builder, PIIUtil).
_SHA256 = re.compile(r"([0-9a-fA-F]{64})(\.[A-Za-z0-9_-]{8}|\.[A-Za-z0-9_-]{2})?")
SHORTEST_HASH = 64
_LENGTHS = frozenset((SHORTEST_HASH, 67, 73))
_LOWER_SHA256 = re.compile(r"[0-9a-f]{64}")
_OTHER_DIGEST = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{40}")


def sha256_hex(text: str) -> str:
    """Hashes UTF-8 text; 64 lower-case hexadecimal digits."""
    return sha256(text.encode()).hexdigest()


# What a sender hashed who did not look at the value first, as JavaScript and others write it; and
# what was put in a hash's place.
_WRITTEN_FOR_NOTHING = (
    *("", " ", "0", "false", "False", *PLACEHOLDERS, *NULL_MARKERS),
    *map(str.lower, NULL_MARKERS),
)
_HASHES_OF_NOTHING = frozenset(
    (
        *map(sha256_hex, _WRITTEN_FOR_NOTHING),
        *(digit * 64 for digit in "0123456789abcdef"),
    )
)


def already_hashed(text: str, *, suffix: bool = True) -> str | Refusal | None:
    """Gives the hash with its hexadecimal part in lower case, or None when `text` is no SHA-256.

    `suffix` says whether the parameter builder's suffix stays. The hash of the empty string (or
    of a placeholder such as `null`) identifies nobody and is refused.
    """
    if len(text) not in _LENGTHS:
        return None
    match = _SHA256.fullmatch(text)
    if match is None:
        return None
    digest = match.group(1).lower()
    if digest in _HASHES_OF_NOTHING:
        return Refusal.EMPTY_HASH
    return digest + (match.group(2) or "") if suffix else digest


def is_final_hash(value: object) -> TypeGuard[str]:
    """Tells a hash that every rule of a hashed key leaves as it is, as most senders write it:
    `text_of` and `already_hashed` both give it back unchanged."""
    return (
        type(value) is str
        and len(value) == 64
        and _LOWER_SHA256.fullmatch(value) is not None
        and value not in _HASHES_OF_NOTHING
    )


def is_other_digest(text: str) -> bool:
    """Tells an MD5 or SHA-1 digest, which no platform takes."""
    return len(text) in (32, 40) and _OTHER_DIGEST.fullmatch(text) is not None
