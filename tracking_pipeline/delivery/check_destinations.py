"""Asks every destination whether events would get in, all at once, and keeps what they say.

What fails a check: a database that cannot be used. A destination that refuses or does not answer is
a result.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import anyio
import psycopg

from tracking_pipeline.delivery.engine.destination import Checkable, NotConfigured
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck, answer_json
from tracking_pipeline.delivery.engine.redaction import redact
from tracking_pipeline.delivery.engine.retry import MakeDestinations
from tracking_pipeline.http_client import http_client
from tracking_pipeline.store.database import DatabaseError, connection_pool, read_clock
from tracking_pipeline.store.destination_checks import RecordedDestinationCheck, record_check

_POOL_SIZE = 4
_MOST_CONNECTIONS = 8

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DestinationChecks:
    """What each destination said, in the order of the registry. ``asked_for`` are those that were
    named: to find that one of them is not configured is no success."""

    by_destination: Mapping[str, RecordedDestinationCheck]
    asked_for: tuple[str, ...] = ()

    @property
    def success(self) -> bool:
        """Whether all that are configured answer well."""
        return all(
            check.state == "ok" or (check.state == "not_configured" and name not in self.asked_for)
            for name, check in self.by_destination.items()
        )

    def as_json(self) -> dict[str, Any]:
        """The command's JSON."""
        return {
            "success": self.success,
            "results": [answer_json(check) for check in self.by_destination.values()],
        }


async def check_destinations(
    url: str, make_destinations: MakeDestinations, *, only: Sequence[str] = ()
) -> DestinationChecks:
    """One check of the destinations that serve the database at ``url``, or ``only`` of some.

    Raises :class:`DatabaseError` when the database cannot be reached or fails.
    """
    found: dict[str, DestinationCheck] = {}
    try:
        async with (
            connection_pool(url, size=_POOL_SIZE) as pool,
            http_client(max_connections=_MOST_CONNECTIONS) as client,
        ):
            async with pool.connection() as connection:
                now = await read_clock(connection)
            chosen = [
                each
                for each in make_destinations(client, pool)
                if (not only or each.name in only) and isinstance(each, (Checkable, NotConfigured))
            ]
            async with anyio.create_task_group() as checks:
                for each in chosen:
                    checks.start_soon(_check_one, each.name, each, now, found)
            recorded = {}
            async with pool.connection() as connection:
                for each in chosen:
                    recorded[each.name] = await record_check(
                        connection, each.name, found[each.name]
                    )
            return DestinationChecks(recorded, tuple(only))
    except psycopg.Error as error:
        raise DatabaseError(
            f"the database failed during the check (SQLSTATE {error.sqlstate or 'none'})"
        ) from None


async def _check_one(
    name: str,
    destination: Checkable | NotConfigured,
    now: datetime,
    found: dict[str, DestinationCheck],
) -> None:
    if isinstance(destination, NotConfigured):
        check = DestinationCheck("not_configured", destination.missing)
    else:
        try:
            check = await destination.check(now)
        except Exception as error:  # a bug in one check must not cost the others theirs
            log.warning("%s: the check failed: %s", name, type(error).__name__)
            check = DestinationCheck("unreachable", f"the check failed: {type(error).__name__}")
    found[name] = replace(check, detail=redact(check.detail))
