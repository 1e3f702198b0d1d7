"""What more workers bring, and what they cost each other.

    python -m benchmarks.scale_figures [--rounds N] [--json]

Workers are processes of their own, as on machines of their own. Rates that are compared are taken
in turn, round by round, and the medians of the ratios count.

Four workers against one: a container that answers after 200 ms and takes one event a request; each
worker may have as many requests in flight as the one has alone (the limit of all is four times as
high for four). Sixteen against four: claims of the queue's own statement on one table, and nothing
else, for five seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.retry_stand import Stand, make_destination, standing
from tracking_pipeline.delivery.engine.destination import Destination
from tracking_pipeline.delivery.engine.retry import RetryRequest, retry_failed_events
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.store.database import AsyncPool, read_clock
from tracking_pipeline.store.failed_events import Selection, claim_due_events

_FOUR_TIMES, _SIXTEEN = 3.0, 0.8
_IN_FLIGHT = 8
_EVENTS = 400
_CLAIM_SECONDS = 5.0
_CLAIM_BATCH = 100
_SPAN = """
select count(*), extract(epoch from max(attempted_at) - min(attempted_at))::float8,
    max(requests) from tracking_delivery_attempts where outcome = 'delivered'
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    drains, claims = [], []
    with standing() as stand:
        stand.set_conditions("gtm_server", latency_seconds=0.2)
        for _ in range(asked.rounds):
            alone, together = _drain_rate(stand, 1), _drain_rate(stand, 4)
            drains.append((alone, together))
            four, sixteen = _claim_rate(stand, 4), _claim_rate(stand, 16)
            claims.append((four, sixteen))
    figures: dict[str, Any] = {
        "drain_events_a_second": drains,
        "four_to_one": statistics.median(b / a for a, b in drains),
        "claims_a_second": claims,
        "sixteen_to_four": statistics.median(b / a for a, b in claims),
    }
    if asked.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value}")
    is_met = figures["four_to_one"] >= _FOUR_TIMES and figures["sixteen_to_four"] >= _SIXTEEN
    raise SystemExit(0 if is_met else 1)


def _drain_rate(stand: Stand, workers: int) -> float:
    """Events a second between the first and the last attempt; each was sent once."""
    with stand.database(gtm_server=_EVENTS * workers) as url:
        _together(_drain, [(url, stand.addresses, _IN_FLIGHT * workers)] * workers)
        with psycopg.connect(url) as connection:
            events, seconds, requests = connection.execute(_SPAN).fetchall()[0]
    if events != _EVENTS * workers or requests != 1:
        raise RuntimeError(f"{events} delivered, up to {requests} requests an event")
    return float(events / seconds)


def _together(work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Each in a process of its own, all at once; what they return."""
    with multiprocessing.get_context("fork").Pool(len(arguments)) as processes:
        return processes.starmap(work, arguments, chunksize=1)


def _drain(url: str, addresses: Any, in_flight: int) -> None:
    def make(client: DeliveryClient, pool: AsyncPool) -> list[Destination]:
        made: Any = make_destination("gtm_server", addresses, client, pool)
        made.limits = replace(made.limits, in_flight=in_flight)
        return [made]

    asyncio.run(retry_failed_events(url, make, RetryRequest(time_budget_seconds=300.0)))


def _claim_rate(stand: Stand, workers: int) -> float:
    """Rows claimed a second by all of them."""
    with stand.database(gtm_server=150_000) as url:
        counted = _together(_claim, [(url,)] * workers)
    return float(sum(counted) / _CLAIM_SECONDS)


def _claim(url: str) -> int:
    async def claim() -> int:
        claimed = 0
        async with await psycopg.AsyncConnection.connect(
            make_conninfo(url), autocommit=True
        ) as connection:
            selection = Selection(started_at=await read_clock(connection))
            ends = time.monotonic() + _CLAIM_SECONDS
            while time.monotonic() < ends:
                found = await claim_due_events(connection, "gtm_server", selection, _CLAIM_BATCH)
                claimed += len(found)
        return claimed

    return asyncio.run(claim())


if __name__ == "__main__":
    main()
