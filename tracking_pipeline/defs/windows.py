"""Which window of time a tick is in, by the database's clock: what run keys are made of."""

from typing import Any

import psycopg

from tracking_pipeline.store.database import read_now

# Two ticks inside one window launch one run; the next window may launch again.
WINDOW_SECONDS = 30


def present_window(connection: psycopg.Connection[Any], seconds: int = WINDOW_SECONDS) -> int:
    """The number of the present window."""
    return int(read_now(connection).timestamp()) // seconds
