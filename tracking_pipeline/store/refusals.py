"""Whose fault an error of PostgreSQL is: the row's, the table's or the server's. Pure.

Any error may be one row's, because a site's trigger may raise what it likes and run into whatever
its own statements meet. So only what is known to speak of the server or of the whole table is
theirs, and everything else is the row's: it is searched for, and costs nobody else anything.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import psycopg

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
