"""The last check of each destination: ``tracking_destination_checks``, one row a destination."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
from typing_extensions import LiteralString

if TYPE_CHECKING:
    # Who only names an ending, as the catalogue of metrics, waits for no driver.
    import psycopg

    from tracking_pipeline.delivery.engine.destination_check import DestinationCheck


@dataclass(frozen=True, slots=True)
class Ending:
    """Something that a destination's events need and that ends, ``days_left`` from the moment at
    which it was read; below 0: it has ended."""

    what: str
    at: datetime
    days_left: float


@dataclass(frozen=True, slots=True)
class RecordedDestinationCheck:
    """What a destination said at ``checked_at``; the words of ``DestinationCheck``."""

    destination: str
    state: str
    detail: str
    failure_code: str | None
    error_code: str | None
    duration_ms: int
    checked_at: datetime
    endings: tuple[Ending, ...] = ()


# What was known of a token holds while nobody can say more of it; above all when it has ended.
_RECORD: LiteralString = """
insert into public.tracking_destination_checks as c (
    destination, state, detail, failure_code, error_code, duration_ms, endings, checked_at)
values (%(destination)s, %(state)s, %(detail)s, %(failure_code)s, %(error_code)s, %(duration_ms)s,
    %(endings)s, now())
on conflict (destination) do update
set state = excluded.state,
    detail = excluded.detail,
    failure_code = excluded.failure_code,
    error_code = excluded.error_code,
    duration_ms = excluded.duration_ms,
    endings = case when %(keeps)s then c.endings else '{}' end || excluded.endings,
    checked_at = excluded.checked_at
returning destination, state, detail, failure_code, error_code, duration_ms, checked_at,
    endings::text, now()
"""


async def record_check(
    connection: psycopg.AsyncConnection[Any], destination: str, check: DestinationCheck
) -> RecordedDestinationCheck:
    """Keeps a check in the place of the last one. Endings that the last one knew stay, where this
    one could not ask or was refused."""
    knows_all = check.state == "ok" and check.all_endings
    cursor = await connection.execute(
        _RECORD,
        {
            "destination": destination,
            "state": check.state,
            "detail": check.detail,
            "failure_code": check.failure.code if check.failure else None,
            "error_code": check.code,
            "duration_ms": check.duration_ms,
            "endings": orjson.dumps(dict(check.endings)).decode(),
            "keeps": not knows_all and check.state != "not_configured",
        },
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  an upsert returns its row
    return _recorded(row)


_READ: LiteralString = """
select destination, state, detail, failure_code, error_code, duration_ms, checked_at,
    endings::text, now()
from public.tracking_destination_checks
"""


def read_checks(connection: psycopg.Connection[Any]) -> Mapping[str, RecordedDestinationCheck]:
    """The last check of each destination that ever had one."""
    rows = connection.execute(_READ).fetchall()
    return {row[0]: _recorded(row) for row in rows}


def _recorded(row: tuple[Any, ...]) -> RecordedDestinationCheck:
    *told, checked_at, endings, now = row
    found = [
        Ending(what, at, (at - now).total_seconds() / 86_400)
        for what, text in orjson.loads(endings).items()
        for at in (datetime.fromisoformat(text),)
    ]
    found.sort(key=lambda each: each.at)
    destination, state, detail, failure_code, error_code, duration_ms = told
    return RecordedDestinationCheck(
        destination,
        state,
        detail,
        failure_code,
        error_code,
        duration_ms,
        checked_at,
        tuple(found),
    )
