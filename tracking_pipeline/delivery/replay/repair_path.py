"""Paths into a JSON document: the small part of JSONPath that names places exactly.

    $.user_data.email      a name
    $['utm source']        a name that is no word
    $.contents[0].price    a position, from 0
    $.contents[*].price    every member of a list

No filters, slices or searches: a rule that changes events has to say where.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

MOST_STEPS = 20

_STEP = re.compile(
    r"""\.(?P<word>[A-Za-z_][A-Za-z0-9_-]*)
      | \[(?P<index>\d{1,6})\]
      | (?P<every>\[\*\])
      | \['(?P<quoted>[^'\]]+)'\]""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Name:
    """A member of an object."""

    name: str


@dataclass(frozen=True, slots=True)
class ListIndex:
    """A member of a list; ``position`` None is every member."""

    position: int | None


Step: TypeAlias = Name | ListIndex


@dataclass(frozen=True, slots=True)
class Path:
    """``text`` is the path as it was written; the last step is always a :class:`Name`."""

    text: str
    steps: tuple[Step, ...]

    @property
    def last(self) -> str:
        """The name of the field that the path ends at."""
        step = self.steps[-1]
        assert isinstance(step, Name)  # noqa: S101  read_path sees to it
        return step.name


def read_path(text: object) -> Path:
    """The path that a text names. Raises ValueError with what is wrong with it."""
    if not isinstance(text, str) or not text.startswith("$"):
        raise ValueError("a path is a text that starts with $")
    steps: list[Step] = []
    at = 1
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None or len(steps) == MOST_STEPS:
            raise ValueError(f"the path cannot be read from character {at + 1} on")
        steps.append(_step(found))
        at = found.end()
    if not steps or not isinstance(steps[-1], Name):
        raise ValueError("a path ends at a name, as in $.user_data.email")
    return Path(text, tuple(steps))


def _step(found: re.Match[str]) -> Step:
    if found["every"]:
        return ListIndex(None)
    return (
        ListIndex(int(found["index"])) if found["index"] else Name(found["word"] or found["quoted"])
    )


def holders(document: Any, path: Path, *, make: bool = False) -> Iterator[dict[str, Any]]:
    """The objects that hold, or could hold, the field that the path ends at. With ``make``, objects
    that are missing on the way to it are made; nothing that is there is replaced."""
    yield from _holders(document, path.steps[:-1], make)


def _holders(value: Any, steps: tuple[Step, ...], make: bool) -> Iterator[dict[str, Any]]:
    if not steps:
        if isinstance(value, dict):
            yield value
        return
    step, rest = steps[0], steps[1:]
    if isinstance(step, Name):
        if not isinstance(value, dict):
            return
        if make and step.name not in value and all(isinstance(each, Name) for each in rest):
            value[step.name] = {}
        if step.name in value:
            yield from _holders(value[step.name], rest, make)
    elif isinstance(value, list):
        members = value if step.position is None else value[step.position : step.position + 1]
        for member in members:
            yield from _holders(member, rest, make)
