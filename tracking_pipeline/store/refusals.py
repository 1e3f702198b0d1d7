"""Which errors of PostgreSQL say something about a row, and not about the server or the table."""

from __future__ import annotations

import psycopg

# Values, constraints, check options, limits of size, and what a site's own triggers raise.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_CLASSES_OF_ROWS = ("22", "23", "44", "54", "P0")


def is_of_the_row(error: psycopg.Error) -> bool:
    """Whether a row is refused that another one in its place might not be."""
    return (error.sqlstate or "")[:2] in _CLASSES_OF_ROWS
