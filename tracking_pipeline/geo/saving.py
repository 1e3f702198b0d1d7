"""Writes to leads a batch at a time; a lead whose row is refused does not hold up its batch.

A site's own table may have a column of five characters for a zip, a CHECK that its old rows do not
meet, or a trigger that raises. Of a place, what the row takes is filled in; where that is nothing,
``error`` is noted and the lead is not tried again by itself. A row that takes no change at all is
passed over: the next run meets it again.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias
from uuid import UUID

import psycopg

from tracking_pipeline.store.lead_places import (
    PLACE_COLUMNS,
    FoundPlace,
    claim_corrected,
    note_corrections,
    save_found,
)
from tracking_pipeline.store.leads import lease_leads
from tracking_pipeline.store.refusals import Halves, is_of_the_row

_Connection = psycopg.AsyncConnection[Any]
_Spelling: TypeAlias = Callable[[FoundPlace], FoundPlace]

# A column of five characters, or of numbers, takes the first part of a ZIP+4.
_ZIP_PLUS_FOUR = re.compile(r"([0-9]{5})-?[0-9]{4}")


@dataclass(frozen=True, slots=True)
class Saved:
    """The ``geo_source`` of each lead that was written, and the leads whose place was refused."""

    sources: Mapping[UUID, str | None] = field(default_factory=dict)
    refused: frozenset[UUID] = frozenset()


async def save(connection: _Connection, found: Sequence[FoundPlace]) -> Saved:
    """Saves the findings, in the caller's transaction where there is one; what is refused is halved
    until the culprits stand alone. Raises psycopg errors for everything else."""
    sources: dict[UUID, str | None] = {}

    async def write(some: Sequence[FoundPlace]) -> None:
        sources.update(await save_found(connection, some))

    worth_saving = [each for each in found if each.sources or not each.is_refill]
    refused: set[UUID] = set()
    for culprit in await in_halves(connection, worth_saving, write):
        saved = await _save_what_fits(connection, culprit)
        sources.update(saved.sources)
        refused |= saved.refused
    return Saved(sources, frozenset(refused))


async def _save_what_fits(connection: _Connection, found: FoundPlace) -> Saved:
    """Tries each field by itself on the row, and undoes it; then saves together what was taken."""
    fitting = _without_place(found)
    if await _is_taken(connection, fitting):
        for ways in _spellings(found):
            for way in ways:
                longer = way(fitting)
                if await _is_taken(connection, longer):
                    fitting = longer
                    break
    if fitting.sources:
        async with connection.transaction():
            return Saved(await save_found(connection, [fitting]))
    await in_halves(
        connection,
        [FoundPlace(found.id, "error", is_refill=found.is_refill)],
        partial(save_found, connection),
    )
    return Saved(refused=frozenset((found.id,)))


def _without_place(found: FoundPlace) -> FoundPlace:
    """How the lead stands, with nothing to fill in."""
    fields: dict[str, str | None] = {"state_code": None}
    for column in PLACE_COLUMNS:
        fields |= {column: None, f"{column}_source": None}
    return found._replace(**fields)  # type: ignore[arg-type]


def _spellings(found: FoundPlace) -> list[list[_Spelling]]:
    """For each field that was found, how it may be added to a finding: as it is, else shorter (the
    state's certain code, the first five digits of a zip)."""
    return [
        [_adding(found, column, value) for value in _values_of(found, column)]
        for column in PLACE_COLUMNS
        if getattr(found, column) is not None
    ]


def _values_of(found: FoundPlace, column: str) -> Sequence[str]:
    value: str = getattr(found, column)
    if column == "state" and found.state_code:
        return value, found.state_code
    if column == "zip" and (parts := _ZIP_PLUS_FOUR.fullmatch(value)):
        return value, parts[1]
    return (value,)


def _adding(found: FoundPlace, column: str, value: str) -> _Spelling:
    fields = {column: value, f"{column}_source": getattr(found, f"{column}_source")}
    if column == "state":
        fields["state_code"] = found.state_code
    return lambda to: to._replace(**fields)


async def _is_taken(connection: _Connection, found: FoundPlace) -> bool:
    try:
        async with connection.transaction(force_rollback=True):
            await save_found(connection, [found])
    except psycopg.Error as error:
        if not is_of_the_row(error):
            raise
        return False
    return True


async def lease(connection: _Connection, ids: Sequence[UUID], seconds: float) -> None:
    """Nobody takes these leads for that long, but for those whose row is refused."""
    await in_halves(connection, ids, lambda some: lease_leads(connection, some, seconds))


async def note_some_corrections(
    connection: _Connection, limit: int, passed_over: Collection[UUID]
) -> tuple[int, frozenset[UUID]]:
    """Notes what people changed in up to ``limit`` leads. Returns how many were noted, and those
    whose row is refused: to be ``passed_over`` from then on."""
    async with connection.transaction():
        leads = await claim_corrected(connection, limit, passed_over)
        refused = await in_halves(connection, leads, partial(note_corrections, connection))
    return len(leads) - len(refused), frozenset(refused)


async def in_halves(
    connection: _Connection,
    rows: Sequence[Any],
    write: Callable[[Sequence[Any]], Awaitable[object]],
) -> list[Any]:
    """Writes the rows in one statement; what is refused is halved until the culprits stand alone.
    Returns those. Raises psycopg errors for everything else."""
    halves = Halves(rows)
    for part in halves:
        try:
            async with connection.transaction():
                await write(part)
        except psycopg.Error as error:
            halves.refuse(part, error)
    return halves.culprits
