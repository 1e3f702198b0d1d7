"""Puts rows into a table, a thousand in one statement; a row that is refused goes alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from tracking_pipeline.importing.records import Problem
from tracking_pipeline.importing.rows import Row
from tracking_pipeline.importing.values import FieldError, encode_row
from tracking_pipeline.store.importing import (
    RowsRefusedError,
    TableColumn,
    find_constrained_columns,
    find_leads,
    find_refused_column,
    insert_rows,
)
from tracking_pipeline.store.refusals import Halves


@dataclass(frozen=True, slots=True)
class Inserted:
    """What became of the rows of a batch; those in neither were there already."""

    imported: int
    problems: list[Problem]


class Inserter:
    """Inserts batches into one table over one connection, each on its own: what is in stays in."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        table: str,
        columns: Mapping[str, TableColumn],
    ) -> None:
        self._connection = connection
        self._table = table
        self._columns = columns

    def insert(self, rows: Sequence[Row], *, link_leads: bool) -> Inserted:
        """Inserts the rows; what is refused is halved until the culprits stand alone.
        ``link_leads``: a row whose ``lead_id`` is not in ``leads`` is refused, or loses the link
        where that is loose. Raises DatabaseError.
        """
        known = self._known_leads(rows) if link_leads else None
        good: list[tuple[Row, dict[str, Any], bytes]] = []
        problems: list[Problem] = []
        for row in rows:
            try:
                values = _existing_columns(row.values, self._columns)
                if known is not None:
                    values = _with_known_lead(values, known, loose=row.loose_lead)
                good.append((row, values, encode_row(values)))
            except FieldError as error:
                problems.append(Problem(row.line, str(error), row.raw))
        imported = 0
        halves = Halves(good)
        for part in halves:
            used = set().union(*(values for _, values, _ in part))
            columns = [column for name, column in self._columns.items() if name in used]
            encoded = [text for _, _, text in part]
            try:
                imported += insert_rows(self._connection, self._table, columns, encoded)
            except RowsRefusedError as refusal:
                if halves.refuse(part):
                    row, _, text = part[0]
                    told = self._explain(refusal, columns, text)
                    problems.append(Problem(row.line, told, row.raw))
        return Inserted(imported, problems)

    def _known_leads(self, rows: Sequence[Row]) -> set[str]:
        wanted = {lead for row in rows if (lead := row.values.get("lead_id")) is not None}
        return find_leads(self._connection, wanted)

    def _explain(
        self, refusal: RowsRefusedError, columns: Sequence[TableColumn], row: bytes
    ) -> str:
        if refusal.constraint:
            fields = find_constrained_columns(self._connection, self._table, refusal.constraint)
            return (
                f"{', '.join(fields) or 'the line'} is refused by the constraint"
                f" {refusal.constraint} of {self._table}: write what it allows"
            )
        if refusal.sqlstate == "23502":
            return f"missing {refusal.column}: {self._table} takes no row without it"
        if column := find_refused_column(self._connection, columns, row):
            return f"{column.name} cannot be stored as {column.type}: correct it or leave it out"
        return f"refused by {self._table} (SQLSTATE {refusal.sqlstate}): correct or leave it out"


def _existing_columns(values: Mapping[str, Any], columns: Collection[str]) -> dict[str, Any]:
    """Without nulls, which mean the default, and without columns that fill themselves."""
    return {name: value for name, value in values.items() if value is not None and name in columns}


def _with_known_lead(
    values: dict[str, Any], known: Collection[str], *, loose: bool
) -> dict[str, Any]:
    if "lead_id" not in values or values["lead_id"] in known:
        return values
    if not loose:
        raise FieldError("lead_id is not in leads: import the lead first or leave lead_id out")
    return {name: value for name, value in values.items() if name != "lead_id"}
