"""Whose fault an error of PostgreSQL is: the row's, the table's or the server's; and the search for
the row. Pure.

Any error may be one row's, because a site's trigger may raise what it likes and run into whatever
its own statements meet. So only what is known to speak of the server or of the whole table is
theirs, and everything else is the row's: it is searched for, and costs nobody else anything.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, Literal, TypeAlias, TypeVar

import psycopg

RowT = TypeVar("RowT")
Culprit: TypeAlias = Literal["row", "table", "server"]

# Connections, the transaction around the statement (a server that is read-only for want of space
# answers with class 25), what a pooler forgot, rollbacks, resources, an operator's shutdown, the
# disk, the configuration, another server behind a foreign table, PostgreSQL's own faults.
OF_THE_SERVER = ("08", "25", "26", "40", "53", "57", "58", "F0", "HV", "XX")
LOCK_NOT_AVAILABLE = "55P03"
# Who we are and may do, the database, the schema, and what a statement names.
_CLASSES_OF_THE_TABLE = ("28", "3D", "3F", "42")


def culprit_of(error: psycopg.Error) -> Culprit:
    """What refused the statement: one of its rows, as far as anybody can tell, the table as a
    whole, or the server for the time being."""
    state = error.sqlstate or ""
    if not state:
        # Without a code there was no answer, or psycopg itself could not write a value down.
        return "row" if isinstance(error, psycopg.DataError) else "server"
    if state[:2] in OF_THE_SERVER or state == LOCK_NOT_AVAILABLE:
        return "server"
    return "table" if state[:2] in _CLASSES_OF_THE_TABLE else "row"


def is_of_the_row(error: psycopg.Error) -> bool:
    """Whether a row is refused that another one in its place might not be."""
    return culprit_of(error) == "row"


class Halves(Generic[RowT]):
    """Parts of rows to be written one after the other: all of them, then the halves of each part
    that was refused, in order, until the culprits stand alone.

    ::

        halves = Halves(rows)
        for part in halves:
            try:
                write(part)
            except psycopg.Error as error:
                halves.refuse(part, error)
        halves.culprits  # refused alone
    """

    def __init__(self, rows: Sequence[RowT]) -> None:
        self._parts = [rows] if rows else []
        self.culprits: list[RowT] = []

    def __iter__(self) -> Iterator[Sequence[RowT]]:
        while self._parts:
            yield self._parts.pop()

    def refuse(self, part: Sequence[RowT], error: psycopg.Error | None = None) -> bool:
        """Takes notice that a part was refused; whether it is a culprit that stands alone. Raises
        ``error``, where one is given, unless it is of a row."""
        if error is not None and not is_of_the_row(error):
            raise error
        if len(part) == 1:
            self.culprits += part
            return True
        middle = len(part) // 2
        self._parts += (part[middle:], part[:middle])
        return False
