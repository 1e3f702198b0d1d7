"""How a place can be written into a row that does not take it whole: field by field. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from tracking_pipeline.store.lead_places import PLACE_COLUMNS, Found

Spelling: TypeAlias = Callable[[Found], Found]

# A column of five characters, or of numbers, takes the first part of a ZIP+4.
_ZIP_PLUS_FOUR = re.compile(r"([0-9]{5})-?[0-9]{4}")


def without_place(found: Found) -> Found:
    """How the lead stands, with nothing to fill in."""
    fields: dict[str, str | None] = {"state_code": None}
    for column in PLACE_COLUMNS:
        fields |= {column: None, f"{column}_source": None}
    return replace(found, **fields)  # type: ignore[arg-type]


def spellings(found: Found) -> list[list[Spelling]]:
    """For each field that was found, how it may be added to a finding: as it is, else shorter (the
    state's certain code, the first five digits of a zip)."""
    return [
        [_adding(found, column, value) for value in _values(found, column)]
        for column in PLACE_COLUMNS
        if getattr(found, column) is not None
    ]


def _values(found: Found, column: str) -> Sequence[str]:
    value: str = getattr(found, column)
    if column == "state" and found.state_code:
        return value, found.state_code
    if column == "zip" and (parts := _ZIP_PLUS_FOUR.fullmatch(value)):
        return value, parts[1]
    return (value,)


def _adding(found: Found, column: str, value: str) -> Spelling:
    fields = {column: value, f"{column}_source": getattr(found, f"{column}_source")}
    if column == "state":
        fields["state_code"] = found.state_code
    return lambda to: replace(to, **fields)
