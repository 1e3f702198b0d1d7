"""What stands where a value should be and is none: one table for every id of an event.

Tag managers write `undefined`, templates that were not filled in leave their braces, spreadsheets
write `#N/A`. As an order's id it makes all orders one; as an event's id all events.
"""

from __future__ import annotations

import re
from functools import lru_cache

from tracking_pipeline.null_markers import NULL_MARKERS

# What forms and tag managers write where there was no value, in any case. The words of
# `null_markers` have the case of their program: `Null` is a surname.
PLACEHOLDERS = frozenset(
    {
        "undefined", "none", "n/a", "n.a.", "unknown", "not set", "(not set)",
        "not provided", "(not provided)", "not available", "[object object]", "[removed]",
        "[redacted]", "-", "--", "?", ".",
    }
)  # fmt: skip
# What a template leaves that was not filled in.
TEMPLATE = re.compile(
    r"\{\{.*\}\}|\$\{.*\}|%%.*%%|<%.*%>|<\?.*\?>|\[\[.*\]\]|\{[A-Za-z_][\w. ]*\}|__[A-Z][A-Z_]*__"
    r"|%[A-Za-z_]+%|\[[A-Z_]+\]|#\{.*\}|\{%.*%\}|\[object \w+\]",
    re.DOTALL,
)
# As a name "Na" is somebody's; as an id none of these is anybody's.
_NO_IDS = frozenset(marker.lower() for marker in NULL_MARKERS) | frozenset(
    "nan na 0 -1 true false void null,null undefined,undefined (none) (null) "
    "(undefined) (empty) (n/a) <null> <undefined> <none> #n/a #ref! #value! #null! "
    "\\n nullnull undefinedundefined notset not_set not-set notprovided none,none {} "
    "[]".split()
)
# Between these, the parts of an id that a script has joined: `order_undefined`, `null-null`.
_JOINTS = re.compile(r"[-_:#|/.]+")
_UNFILLED = frozenset(("undefined", "null", "nan", "[object object]"))
# What stands before every id of a kind. A number tells one id from the next: `undefined-42` is one.
_LABELS = frozenset(
    "order orders ord id orderid orderno ordernumber number no transaction transactionid trans tx "
    "txn event eventid evt lead leadid purchase payment checkout cart invoice user userid client "
    "clientid customer customerid session sessionid web shop store px pixel".split()
)
_ALL_ZEROS = re.compile(r"[0\s.\-\u2010-\u2015]*")
# What no id has in it, whatever stands around: `{{Order ID}}-1`.
_MARKER = re.compile(r"\{\{.*\}\}|\$\{.*\}|<%.*%>|\{%.*%\}", re.DOTALL)
_QUOTES = "\"'`"


@lru_cache(maxsize=2048)
def _is_placeholder(text: str) -> bool:
    plain = text.strip().strip(_QUOTES).strip().lower()
    return (
        plain in PLACEHOLDERS
        or plain in _NO_IDS
        or _ALL_ZEROS.fullmatch(plain) is not None
        or TEMPLATE.fullmatch(text.strip().strip(_QUOTES)) is not None
        or _MARKER.search(text) is not None
        or _is_joined_with_nothing(plain)
    )


def _is_joined_with_nothing(plain: str) -> bool:
    """Whether an id was joined of labels and of what was missing, so that all of its kind are the
    same."""
    parts = set(_JOINTS.split(plain))
    return not _UNFILLED.isdisjoint(parts) and parts <= _UNFILLED | _LABELS | {""}


# What placeholders begin with: a quick look saves most ids the full one.
_FIRST = frozenset("nufv0-t?.({[<#\\$%_'\"` \t\n\u2010\u2011\u2012\u2013\u2014\u2015")
# And what is joined to a label ends with: `undefined`, `null`, `NaN`.
_LAST = frozenset("dDlLnN]\"'`")
_LONGEST = 200


def is_placeholder(text: str) -> bool:
    """Tells a text that stands for no value: case, quotes and spaces around it do not matter."""
    if not text or (
        text[0].lower() not in _FIRST
        and text[-1] > " "
        and text[-1] not in _LAST
        and "{" not in text
    ):
        return not text
    return len(text) <= _LONGEST and _is_placeholder(text)
