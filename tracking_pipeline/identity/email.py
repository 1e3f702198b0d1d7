"""The e-mail address each platform hashes.

Meta (Customer Information Parameters): trim and lower-case; dots and plus tags stay.
Google (Data Manager, "Format user data"): lower-case, remove all white space; for gmail.com and
googlemail.com also the dots and the plus tag of the local part (the domain is not rewritten).
Microsoft (the code of Stape's tag and of walkerOS): dots and plus tag go, whatever the domain.
Reddit (Conversions API v3): the plus tag goes, and all but letters and digits of the local part.
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
# What nearly every address looks like; whatever matches is one by the pattern above, too.
PLAIN_ADDRESS = re.compile(
    r"[a-z0-9_%+-]+(?:\.[a-z0-9_%+-]+)*@(?:(?!-)[a-z0-9-]+(?<!-)\.)+[a-z]{2,}"
)
_LONGEST_PLAIN = 63
# The limits of RFC 5321, 4.5.3.1.
_MAX_LOCAL, _MAX_ADDRESS = 64, 254


def email_for_meta(text: str, country: str) -> str | Refusal:
    """Gives the trimmed, lower-case address. `country` plays no part."""
    return _address(lower(text))


def email_for_google(text: str, country: str) -> str | Refusal:
    """Gives the address without white space and, for Gmail, without dots and plus tag."""
    address = _address(without_spaces(lower(text)))
    if not isinstance(address, str):
        return address
    local, _, domain = address.partition("@")
    if domain not in _GMAIL_DOMAINS:
        return address
    return _with_local(local.partition("+")[0].replace(".", ""), domain)


def email_for_microsoft(text: str, country: str) -> str | Refusal:
    """Gives the address without the dots and the plus tag of its local part."""
    address = _address(lower(text))
    if not isinstance(address, str):
        return address
    local, _, domain = address.partition("@")
    return _with_local(local.partition("+")[0].replace(".", ""), domain)


def email_for_reddit(text: str, country: str) -> str | Refusal:
    """Gives the address without plus tag, with letters and digits alone in its local part."""
    address = _address(lower(text))
    if not isinstance(address, str):
        return address
    local, _, domain = address.partition("@")
    return _with_local("".join(filter(str.isalnum, local.partition("+")[0])), domain)


def _with_local(local: str, domain: str) -> str | Refusal:
    return f"{local}@{domain}" if local else Refusal.INVALID_EMAIL


def _address(text: str) -> str | Refusal:
    """Gives the bare address of a lower-case text, which may wrap it as `Jane <a@b.co>` does."""
    if len(text) <= _LONGEST_PLAIN and PLAIN_ADDRESS.fullmatch(text):
        return text
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
    return f"{local}@{domain}"
