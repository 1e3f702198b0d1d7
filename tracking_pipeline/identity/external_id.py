"""The sender's own id of a person, the same text in every channel."""

from __future__ import annotations

from tracking_pipeline.identity.hashing import sha256_hex
from tracking_pipeline.identity.placeholders import is_placeholder
from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.identity.sanitize import sanitize
from tracking_pipeline.identity.text import lower, without_spaces

# Ids of nobody: counters that start at zero, and the nil UUID.
_NOBODY = frozenset({"0", "-1", "false", "true", "nan", "anonymous", "guest"})
_NIL_UUID = "00000000000000000000000000000000"


def external_id_for_meta(text: str, country: str) -> str | Refusal:
    """Gives the id in lower case without spaces, as Meta's parameter builder does.

    Pixel and server must agree on the text, and the pixel side runs that library.
    """
    identifier = without_spaces(lower(text))
    if identifier in _NOBODY or is_placeholder(text) or identifier.replace("-", "") == _NIL_UUID:
        return Refusal.INVALID_EXTERNAL_ID
    return identifier


def raw_external_id_for_meta(text: str, country: str) -> str | Refusal:
    """Gives the id as it is, for a site whose pixel sends it unhashed.

    An id that is an e-mail address or a phone number is hashed all the same: those never leave in
    the clear, and a key that does not match costs less.
    """
    identifier = external_id_for_meta(text, country)
    if not isinstance(identifier, str):
        return identifier
    return text if sanitize(text) == text else sha256_hex(identifier)
