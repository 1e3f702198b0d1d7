"""Failed events that no run can ever claim, which only a person can put right.

A site's own CHECKs let a null through: such a row has no status, or waits for no destination.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql
from typing_extensions import LiteralString

from tracking_pipeline.store.migrations.indexes import UNCLAIMABLE_EVENT

CAP = 1000

_COUNT: LiteralString = """
select count(*) from (
    select from public.tracking_failed_events where {unclaimable} limit %s) as found
"""


def count_unclaimable(connection: psycopg.Connection[Any]) -> int:
    """How many there are, counted no further than :data:`CAP`."""
    statement = sql.SQL(_COUNT).format(unclaimable=sql.SQL(UNCLAIMABLE_EVENT))
    ((count,),) = connection.execute(statement, (CAP,)).fetchall()
    return int(count)
