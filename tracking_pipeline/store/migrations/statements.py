"""Run the statements of a migration and read what the catalogue says, in the caller's transaction.

The statements are written in the revisions and their vocabulary; what comes from outside (the name
of a role, an expression of the site's own) is quoted or read from the server's catalogue there.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import tuple_row


def run(connection: psycopg.Connection[Any], statement: str) -> int:
    """Runs one statement; gives the number of rows hit."""
    return connection.execute(statement.encode()).rowcount


def rows(
    connection: psycopg.Connection[Any], query: str, *parameters: object
) -> list[tuple[Any, ...]]:
    """Gives all rows of a query."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(query.encode(), parameters or None).fetchall()


def one(connection: psycopg.Connection[Any], query: str, *parameters: object) -> Any:
    """Gives the first column of the first row, or None when there is no row."""
    found = rows(connection, query, *parameters)
    return found[0][0] if found else None
