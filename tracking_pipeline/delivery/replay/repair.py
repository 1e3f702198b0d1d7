"""Repairs of payloads before a replay: a few rules, written down, that somebody can review.

A list of rules, as YAML or JSON; each is applied to every event that is replayed, in their order:

    - set: $.custom_data.currency     # the value, for every event
      value: USD
      only_missing: true              # default false: also over a value that is there
    - rename: $.user_data.mail        # another name in the same object; never over another field
      to: email
    - drop: $.custom_data.debug       # the field, whatever it holds
    - cast: $.contents[*].price       # the same value as number, integer, text or boolean;
      to: number                      # one that cannot be is left as it is

The document is the row's ``event_payload``. Paths are explained in
:mod:`tracking_pipeline.delivery.replay.repair_path`. What a path does not find is no error:
events differ.

**What may not change.** Destinations tell a second copy of an event from a new one by its id, so no
rule may make another id of it, nor give all events one time or one click id.

A change is described by the kinds of its values ("$.value: text -> number"). No value of an event
is ever shown; only what a rule itself sets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import yaml

from tracking_pipeline.delivery.replay.repair_path import Path, holders, read_path
from tracking_pipeline.events.money import Money, read_amount
from tracking_pipeline.events.names import meaning_of, plain_name

LONGEST_RULES = 64_000
MOST_RULES = 50
LONGEST_SHOWN_VALUE = 60

CastTo = Literal["number", "integer", "text", "boolean"]

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,40}")
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class RepairError(ValueError):
    """Rules that cannot be used. One line: which rule, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Set:
    """Gives the field a value."""

    path: Path
    value: Any
    only_missing: bool

    def apply(self, holder: dict[str, Any]) -> str | None:
        name = self.path.last
        before = holder.get(name, _MISSING)
        if (self.only_missing and before is not _MISSING) or _same(before, self.value):
            return None
        holder[name] = deepcopy(self.value)  # the next rule may change what is in it
        return f"{self.path.text}: {_kind(before)} -> {_shown(self.value)}"


@dataclass(frozen=True, slots=True)
class Rename:
    """Gives the field another name in the same object."""

    path: Path
    to: str

    def apply(self, holder: dict[str, Any]) -> str | None:
        if self.path.last not in holder or self.to in holder:
            return None
        holder[self.to] = holder.pop(self.path.last)
        return f"{self.path.text} -> {self.to}"


@dataclass(frozen=True, slots=True)
class Drop:
    """Takes the field out."""

    path: Path

    def apply(self, holder: dict[str, Any]) -> str | None:
        if self.path.last not in holder:
            return None
        return f"{self.path.text}: {_kind(holder.pop(self.path.last))} -> missing"


@dataclass(frozen=True, slots=True)
class Cast:
    """Gives the field the same value in another type."""

    path: Path
    to: CastTo

    def apply(self, holder: dict[str, Any]) -> str | None:
        before = holder.get(self.path.last, _MISSING)
        after = _MISSING if before is _MISSING else _CASTS[self.to](before)
        if after is _MISSING or _same(before, after):
            return None
        holder[self.path.last] = after
        return f"{self.path.text}: {_kind(before)} -> {self.to}"


Rule: TypeAlias = Set | Rename | Drop | Cast


@dataclass(frozen=True, slots=True)
class Repaired:
    """``payload`` is the repaired JSON, None where no rule changed anything. ``changes`` has each
    kind of change once: (number of the rule from 1, description)."""

    payload: str | None
    changes: tuple[tuple[int, str], ...] = ()


def read_rules(text: str) -> tuple[Rule, ...]:
    """The rules of a YAML or JSON text; an empty one has none. Raises :class:`RepairError`."""
    if len(text) > LONGEST_RULES:
        raise RepairError(f"the rules are longer than {LONGEST_RULES} characters")
    try:
        listed = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        # The parser's own words quote the text.
        raise RepairError("the rules are neither YAML nor JSON") from None
    if listed is None:
        return ()
    if not isinstance(listed, list) or len(listed) > MOST_RULES:
        raise RepairError(f"the rules must be a list of at most {MOST_RULES}")
    return tuple(_read_numbered(at, each) for at, each in enumerate(listed, 1))


def repair(payload: str, rules: Sequence[Rule]) -> Repaired:
    """The JSON of a payload, repaired. Never raises: one that cannot be read is left as it is."""
    try:
        document = json.loads(payload)
        if isinstance(document, str):  # stored as JSON text; delivery reads it through as well
            document = json.loads(document)
        changes: dict[tuple[int, str], None] = {}
        for at, rule in enumerate(rules, 1):
            for holder in list(holders(document, rule.path, make=isinstance(rule, Set))):
                if (change := rule.apply(holder)) is not None:
                    changes[at, change] = None
        if not changes:
            return Repaired(None)
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
        return Repaired(text, tuple(changes))
    except (ValueError, RecursionError):
        return Repaired(None)


def _read_numbered(at: int, rule: object) -> Rule:
    try:
        return _read(rule)
    except ValueError as error:
        raise RepairError(f"rule {at}: {error}") from None


def _read(rule: object) -> Rule:
    if not isinstance(rule, dict):
        raise ValueError("must be an object with one of set, rename, drop or cast")
    actions = [name for name in _READERS if name in rule]
    if len(actions) != 1:
        raise ValueError("must have exactly one of set, rename, drop or cast")
    allowed, reader = _READERS[actions[0]]
    unknown = [str(name) for name in rule if name not in (actions[0], *allowed)]
    if unknown:
        raise ValueError(f"has {unknown[0][:40]!r}, which {actions[0]} does not know")
    return reader(read_path(rule[actions[0]]), rule)


def _is_identity(name: str) -> bool:
    """Whether a destination knows the event by a field of this name: Meta and the ledger by its id,
    Google by the order's."""
    field = meaning_of(name).field
    known = field is not None and field.name in ("event_id", "order_id")
    return known or plain_name(name) == "messageid"


def _is_own(name: str) -> bool:
    """Whether one value of it for many events is false for all but one."""
    meaning = meaning_of(name)
    is_time = meaning.field is not None and meaning.field.name == "event_time"
    return is_time or (meaning.identifier is not None and meaning.identifier.key in ("fbc", "fbp"))


def _read_set(path: Path, rule: Mapping[str, Any]) -> Rule:
    if _is_identity(path.last) or _is_own(path.last):
        raise ValueError(f"one {path.last} for all events would make them one, or false")
    if "value" not in rule:
        raise ValueError("set needs a value")
    try:
        text = json.dumps(rule["value"], allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise ValueError("the value is not JSON; put a date in quotes") from None
    if b"\\u0000" in text:
        raise ValueError("the value holds a null character, which PostgreSQL does not keep")
    only_missing = rule.get("only_missing", False)
    if not isinstance(only_missing, bool):
        raise ValueError("only_missing must be true or false")
    return Set(path, rule["value"], only_missing)


def _read_rename(path: Path, rule: Mapping[str, Any]) -> Rule:
    to = rule.get("to")
    if not isinstance(to, str) or not to.isprintable() or not to or to.startswith("$"):
        raise ValueError("rename needs to: the new name, without a path")
    if _is_identity(path.last) != _is_identity(to):
        raise ValueError(f"{path.last} to {to} would give the event another id")
    return Rename(path, to)


def _read_drop(path: Path, rule: Mapping[str, Any]) -> Rule:
    if _is_identity(path.last):
        raise ValueError(f"without its {path.last} the event would get another id")
    return Drop(path)


def _read_cast(path: Path, rule: Mapping[str, Any]) -> Rule:
    to: Any = rule.get("to")
    if to not in get_args(CastTo):
        raise ValueError(f"cast needs to: one of {', '.join(get_args(CastTo))}")
    return Cast(path, to)


_READERS: dict[str, tuple[tuple[str, ...], Callable[[Path, Mapping[str, Any]], Rule]]] = {
    "set": (("value", "only_missing"), _read_set),
    "rename": (("to",), _read_rename),
    "drop": ((), _read_drop),
    "cast": (("to",), _read_cast),
}


class _Missing:
    """No value at all: null is one."""


_MISSING = _Missing()


def _as_number(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value.strip()):
        return int(value)
    found = read_amount(value)
    return found.amount if isinstance(found, Money) else _MISSING


def _as_integer(value: Any) -> Any:
    found = _as_number(value)
    if isinstance(found, float) and found.is_integer():
        return int(found)
    return found if isinstance(found, int) else _MISSING


def _as_text(value: Any) -> Any:
    if isinstance(value, (str, bool, int, float)):
        return value if isinstance(value, str) else json.dumps(value)
    return _MISSING


def _as_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    is_plain = isinstance(value, (str, int))
    return _BOOLEANS.get(str(value).strip().lower(), _MISSING) if is_plain else _MISSING


_CASTS: dict[CastTo, Callable[[Any], Any]] = {
    "number": _as_number,
    "integer": _as_integer,
    "text": _as_text,
    "boolean": _as_boolean,
}


def _same(before: Any, after: Any) -> bool:
    # In Python, True == 1 == 1.0; in JSON they are three values.
    return type(before) is type(after) and bool(before == after)


def _kind(value: Any) -> str:
    kinds = {
        _Missing: "missing",
        type(None): "null",
        bool: "boolean",
        int: "number",
        float: "number",
        str: "text",
        list: "list",
    }
    return kinds.get(type(value), "object")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_SHOWN_VALUE else f"{text[:LONGEST_SHOWN_VALUE]}..."
