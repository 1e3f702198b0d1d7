"""Which window of time a tick is in, by the database's clock: what run keys are made of."""

from typing import Any

import psycopg

# Two ticks inside one window launch one run; the next window may launch again.
WINDOW_SECONDS = 30


def present_window(connection: psycopg.Connection[Any], seconds: int = WINDOW_SECONDS) -> int:
    """The number of the present window."""
    row = connection.execute("select extract(epoch from now())::bigint").fetchone()
    return int(row[0] if row else 0) // seconds
