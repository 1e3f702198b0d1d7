"""Does a queue stay as quick as it was, after millions of events have gone through it?

    python -m benchmarks.churn [--events N] [--minutes N] [--json]

A queue of constant length: workers claim a batch, settle it as delivered, with its attempts, and
refill it, with the engine's own two statements and its tables as ``migrate`` makes them, on the
embedded server with its normal, durable settings and its own autovacuum. Nothing is sent. Settled
rows and attempts stay in their tables, as in an installation that keeps them.

The time of a claim is taken all the while: the median of the first twentieth of the events is held
against that of the last, under the same load. Both are divided by the time that a fixed computation
took on the same connection just then, so that a machine with other work counts for little. Beside
it stands the time of a settle, which finds its rows by their key whatever has gone through, and how
large the index is that claims read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import Sequence

import psycopg
from typing_extensions import LiteralString

from benchmarks.retry_engines import delivered
from benchmarks.retry_stand import temporary_postgres
from tracking_pipeline.store.database import connection_pool, read_clock
from tracking_pipeline.store.failed_events import Selection, claim_due_events, settle_attempts
from tracking_pipeline.store.migrate import migrate

# Of a claim, of a settle, of the fixed computation.
Times = tuple[float, float, float]

_AT_MOST = 1.3
_LENGTH = 20_000
_WORKERS = 2
_BATCH = 2_000
_SLICES = 20

_ADD: LiteralString = """
insert into tracking_failed_events (
    event_id, event_name, event_payload, destination, error_message, next_retry_at)
select gen_random_uuid(), 'Lead', jsonb_build_object('value', 10.5, 'nr', i), 'meta_capi',
    'timeout', now()
from generate_series(1, %s) as i
"""
_FIXED: LiteralString = "select sum(sqrt(i)) from generate_series(1, 100000) as i"
_SIZES: LiteralString = """
select pg_relation_size('tracking_failed_events_due') / 1048576,
    pg_table_size('tracking_failed_events') / 1048576,
    pg_table_size('tracking_delivery_attempts') / 1048576,
    (select count(*) from tracking_delivery_attempts)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--minutes", type=float, default=60, help="then it ends where it is")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.events < (fewest := _SLICES * _BATCH * _WORKERS):
        parser.error(f"--events: {fewest:,} at least")
    with temporary_postgres() as postgres:
        url = postgres.ensure_database("churn")
        migrate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_ADD, (_LENGTH,))
            connection.execute("analyze")
            started = time.monotonic()
            share = asked.events // _WORKERS
            with multiprocessing.get_context("spawn").Pool(_WORKERS) as workers:
                worked = workers.starmap(_churn, [(url, share, 60 * asked.minutes)] * _WORKERS)
            seconds = time.monotonic() - started
            ((index, queue, attempts, settled),) = connection.execute(_SIZES).fetchall()
    slices = [_slice(worked, nth) for nth in range(_SLICES)]
    figures = {
        "events_settled": settled,
        "events_a_second": round(settled / seconds),
        "claim_milliseconds": [claim for claim, _, _ in slices],
        "settle_milliseconds": [settle for _, settle, _ in slices],
        "fixed_milliseconds": [fixed for _, _, fixed in slices],
        "last_to_first": round(_by_machine(slices[-1]) / _by_machine(slices[0]), 2),
        "due_index_mb": index,
        "failed_events_mb": queue,
        "attempts_mb": attempts,
    }
    if asked.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:28} {value}")
    raise SystemExit(0 if figures["last_to_first"] <= _AT_MOST else 1)


def _slice(worked: Sequence[Sequence[Times]], nth: int) -> Times:
    """The medians of one twentieth of all batches, in milliseconds."""
    times = []
    for of_worker in worked:
        each = len(of_worker) // _SLICES
        times += of_worker[nth * each : (nth + 1) * each]
    claim, settle, fixed = (1000 * statistics.median(each) for each in zip(*times, strict=True))
    return round(claim, 1), round(settle, 1), round(fixed, 1)


def _by_machine(times: Times) -> float:
    """A claim, in fixed computations."""
    claim, _, fixed = times
    return claim / fixed


def _churn(url: str, events: int, seconds: float) -> list[Times]:
    return asyncio.run(_work(url, events, time.monotonic() + seconds))


async def _work(url: str, events: int, deadline: float) -> list[Times]:
    """Lets so many events through the queue; the seconds of each claim, of each settle
    and of the fixed computation beside them."""
    times: list[Times] = []
    async with connection_pool(url, size=1) as pool, pool.connection() as connection:
        left = events
        while left > 0 and time.monotonic() < deadline:
            selection = Selection(await read_clock(connection))
            started = time.perf_counter()
            rows = await claim_due_events(connection, "meta_capi", selection, _BATCH)
            claimed = time.perf_counter()
            await settle_attempts(connection, delivered(rows), worker="churn", run_id=None)
            settled = time.perf_counter()
            await connection.execute(_FIXED)
            fixed = time.perf_counter() - settled
            times.append((claimed - started, settled - claimed, fixed))
            await connection.execute(_ADD, (len(rows),))
            left -= len(rows)
    return times


if __name__ == "__main__":
    main()
