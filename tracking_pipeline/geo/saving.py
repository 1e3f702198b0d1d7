"""Saves findings a batch at a time; a lead whose row is refused does not hold up its batch.

A site's own table may have a column of five characters for a zip, a CHECK on states, or a trigger
that raises. What it refuses is noted as ``error`` with nothing filled in, and is not tried again by
itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from tracking_pipeline.store.lead_places import Found, save_found
from tracking_pipeline.store.refusals import is_of_the_row


@dataclass(frozen=True, slots=True)
class Saved:
    """The ``geo_source`` of each lead that was written, and the leads whose place was refused."""

    sources: Mapping[UUID, str | None] = field(default_factory=dict)
    refused: frozenset[UUID] = frozenset()


async def save(connection: psycopg.AsyncConnection[Any], found: Sequence[Found]) -> Saved:
    """Saves the findings, in the caller's transaction where there is one; what is refused is halved
    until the culprits stand alone. Raises psycopg errors for everything else."""
    if not found:
        return Saved()
    try:
        async with connection.transaction():
            return Saved(await save_found(connection, found))
    except psycopg.Error as error:
        if not is_of_the_row(error):
            raise
    if len(found) == 1:
        return await _note_refusal(connection, found[0])
    middle = len(found) // 2
    first = await save(connection, found[:middle])
    second = await save(connection, found[middle:])
    return Saved({**first.sources, **second.sources}, first.refused | second.refused)


async def _note_refusal(connection: psycopg.AsyncConnection[Any], found: Found) -> Saved:
    try:
        async with connection.transaction():
            await save_found(connection, [Found(found.id, "error")])
    except psycopg.Error as error:
        # Whatever is written into this row is refused; the next run meets it again.
        if not is_of_the_row(error):
            raise
    return Saved(refused=frozenset((found.id,)))
