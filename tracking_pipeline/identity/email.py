"""The e-mail address each platform hashes.

Meta (Customer Information Parameters): trim and lower-case; dots and plus tags stay.
Google (Data Manager, "Format user data"): lower-case, remove all white space; for gmail.com and
googlemail.com also the dots and the plus tag of the local part (the domain is not rewritten).
"""

from __future__ import annotations

import re

from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.identity.text import lower, without_spaces

_GMAIL_DOMAINS = frozenset({"gmail.com", "googlemail.com"})

# Characters that no mailbox has outside of quotes, which no sign-up form yields.
_LOCAL = r"[^\s@.,;:<>()\[\]\\\"]+"
_LABEL = r"(?!-)[^\s@.,;:<>()\[\]\\\"!#$%&'*+/=?^_`{|}~]{1,63}(?<!-)"
_ADDRESS = re.compile(rf"({_LOCAL}(?:\.{_LOCAL})*)@((?:{_LABEL}\.)+{_LABEL})")
_NAMED = re.compile(r"[^<>]*<([^<>]+)>")
# The limits of RFC 5321, 4.5.3.1.
_MAX_LOCAL, _MAX_ADDRESS = 64, 254


def email_for_meta(text: str, country: str) -> str | Refusal:
    """Give the trimmed, lower-case address. `country` plays no part."""
    local_and_domain = _parts(lower(text))
    if not isinstance(local_and_domain, tuple):
        return local_and_domain
    return "@".join(local_and_domain)


def email_for_google(text: str, country: str) -> str | Refusal:
    """Give the address without white space and, for Gmail, without dots and plus tag."""
    local_and_domain = _parts(without_spaces(lower(text)))
    if not isinstance(local_and_domain, tuple):
        return local_and_domain
    local, domain = local_and_domain
    if domain in _GMAIL_DOMAINS:
        local = local.partition("+")[0].replace(".", "")
        if not local:
            return Refusal.INVALID_EMAIL
    return f"{local}@{domain}"


def _parts(text: str) -> tuple[str, str] | Refusal:
    text = text.removeprefix("mailto:")
    named = _NAMED.fullmatch(text) if "<" in text else None
    match = _ADDRESS.fullmatch(named.group(1).strip() if named else text)
    if match is None:
        return Refusal.INVALID_EMAIL
    local, domain = match.groups()
    too_long = len(local) > _MAX_LOCAL or len(local) + len(domain) >= _MAX_ADDRESS
    # A domain that ends in a number is an IP address, or a phone number in the wrong field.
    if too_long or domain.rpartition(".")[2].isdigit():
        return Refusal.INVALID_EMAIL
    return local, domain
