"""Cuts the addresses of enriched leads that are old enough: one pass of ``ip_retention_job``.

``truncate`` keeps the network (``81.2.69.0/24``, ``2001:4860:4860::/48``), ``remove`` nothing. What
is recorded about addresses themselves is forgotten in both cases: a network is no key to find a
place by. The ledger is append-only, so its addresses stay; a site that must not keep them leaves
them out of ``user_data``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from uuid import UUID

import psycopg

from tracking_pipeline.geo.address import lead_address, masked_address
from tracking_pipeline.store.database import DatabaseError, connect
from tracking_pipeline.store.ip_locations import (
    claim_old_addresses,
    cut_addresses,
    forget_addresses,
)
from tracking_pipeline.store.refusals import Halves

Mode: TypeAlias = Literal["truncate", "remove"]
BATCH = 1_000
TIME_BUDGET_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class RetentionTotals:
    """What one pass did. ``done`` is False where its time was over before the work."""

    leads_cut: int
    addresses_forgotten: int
    seconds: float
    done: bool


def apply_ip_retention(
    url: str, days: int, mode: Mode, *, time_budget_seconds: float = TIME_BUDGET_SECONDS
) -> RetentionTotals:
    """Cuts what is older than ``days``. Safe at any time, and beside itself.

    Raises :class:`DatabaseError`.
    """
    started = time.monotonic()
    cut = forgotten = 0
    done = False
    refused: set[UUID] = set()
    try:
        with connect(url) as connection:
            while time.monotonic() - started < time_budget_seconds:
                old = _cut_some(connection, days, mode, refused)
                addresses = forget_addresses(connection, days, BATCH)
                cut, forgotten = cut + old, forgotten + addresses
                if not old and not addresses:
                    done = True
                    break
    except psycopg.Error as error:
        raise DatabaseError(
            f"the database failed (SQLSTATE {error.sqlstate or 'none'}): what was cut stays cut,"
            " the next pass goes on"
        ) from None
    return RetentionTotals(cut, forgotten, time.monotonic() - started, done)


def _cut_some(
    connection: psycopg.Connection[Any], days: int, mode: Mode, refused: set[UUID]
) -> int:
    """Cuts a batch, and adds to ``refused`` the leads whose row takes no change: a constraint or a
    trigger of the site's own must not keep the others' addresses. 0: there are no more."""
    while True:
        with connection.transaction():
            old = claim_old_addresses(connection, days, BATCH, refused)
            cut = {lead: kept(stored, mode) for lead, stored in old.items()}
            culprits = _cut(connection, cut)
        refused |= culprits
        if len(culprits) < len(old) or not old:
            return len(old) - len(culprits)


def _cut(connection: psycopg.Connection[Any], cut: Mapping[UUID, str | None]) -> set[UUID]:
    """Cuts the addresses; returns the leads whose row is refused."""
    halves = Halves(list(cut))
    for leads in halves:
        try:
            with connection.transaction():
                cut_addresses(connection, {lead: cut[lead] for lead in leads})
        except psycopg.Error as error:
            halves.refuse(leads, error)
    return set(halves.culprits)


def kept(stored: str, mode: Mode) -> str | None:
    """What stays of an address as it was stored; None for nothing. Pure."""
    address = lead_address(stored)
    return masked_address(address) if mode == "truncate" and isinstance(address, str) else None
