"""How many events a second `log-event` takes, beside a bare FastAPI handler that inserts one row.

    python -m benchmarks.intake [--events N] [--json]

Each is served in the same way by a process of its own, on the same database with its normal,
durable settings, and is posted the same events by the same client, in turn. `benchmarks/README.md`
says what each figure means. It ends with 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from uuid import uuid4

import aiohttp
import psycopg

from benchmarks.intake_server import BARE_TABLE, KEY
from benchmarks.retry_figures import Figure, row, table, this_machine
from benchmarks.retry_stand import temporary_postgres
from tracking_pipeline.store.migrate import migrate

ROUNDS = 3
IN_FLIGHT = 64
WARM_UP_EVENTS = 500
KINDS = ("bare", "intake", "forwarding")


@dataclass(frozen=True)
class Measured:
    """One round: events a second, and the milliseconds that 99 of 100 stayed under."""

    rate: float
    p99_ms: float


def bodies(count: int) -> list[bytes]:
    """Events as a site's tag posts them, each of another person."""
    return [
        json.dumps(
            {
                "event_name": "Lead",
                "event_id": str(uuid4()),
                "event_type": "conversion",
                "email": f"Person.{number}@Example{number % 97}.com",
                "phone": f"+1 415 {200 + number % 800} {number % 10_000:04}",
                "first_name": "Emily",
                "last_name": f"Stone{number % 5_000}",
                "page_path": "/thanks",
                "value": 49.9,
                "currency": "USD",
                "gclid": f"click-{number}",
                "fbp": f"fb.1.1700000000000.{number}",
                "traffic_source": "google",
            }
        ).encode()
        for number in range(count)
    ]


async def post_all(url: str, events: Sequence[bytes]) -> Measured:
    """Posts the events, so many in flight. Raises unless each is answered 200."""
    waits: list[float] = []
    left = iter(events)
    headers = {
        "content-type": "application/json",
        "x-api-key": KEY,
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
    }

    async def post_on(session: aiohttp.ClientSession) -> None:
        for body in left:
            started = time.perf_counter()
            async with session.post(f"{url}/functions/v1/log-event", data=body) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{url} answers {answer.status}")
            waits.append(time.perf_counter() - started)

    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        started = time.perf_counter()
        await asyncio.gather(*(post_on(session) for _ in range(IN_FLIGHT)))
        seconds = time.perf_counter() - started
    return Measured(len(events) / seconds, statistics.quantiles(waits, n=100)[98] * 1000)


@contextmanager
def serving(kind: str, database_url: str) -> Iterator[str]:
    """The address of one server."""
    command = [sys.executable, "-m", "benchmarks.intake_server", kind, database_url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def measure(kind: str, database_url: str, count: int) -> Measured:
    with serving(kind, database_url) as url:
        asyncio.run(post_all(url, bodies(WARM_UP_EVENTS)))
        return asyncio.run(post_all(url, bodies(count)))


def figures(database_url: str, count: int) -> Iterator[Figure]:
    """All figures, from rounds in which each server had its turn."""
    rounds = [{kind: measure(kind, database_url, count) for kind in KINDS} for _ in range(ROUNDS)]
    rates = {kind: statistics.median(one[kind].rate for one in rounds) for kind in KINDS}
    waits = {kind: statistics.median(one[kind].p99_ms for one in rounds) for kind in KINDS}
    names = {
        "bare": "bare handler, one row",
        "intake": "log-event",
        "forwarding": "log-event with a hand-over",
    }
    for kind in KINDS:
        yield Figure("intake", names[kind], rates[kind], "events/s")
        yield Figure("intake", f"{names[kind]}, p99", waits[kind], "ms")
    for kind, least in (("intake", 0.9), ("forwarding", 0.8)):
        rate, wait = rates[kind] / rates["bare"], waits[kind] / waits["bare"]
        yield Figure("intake", f"{names[kind]} / bare handler", rate, "x", at_least=least)
        yield Figure("intake", f"{names[kind]} / bare handler, p99", wait, "x", at_most=1.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000, help="events a round")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with temporary_postgres() as postgres:
        url = postgres.ensure_database("intake_benchmark")
        migrate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(BARE_TABLE)
            version = str(connection.execute("show server_version").fetchall()[0][0])
        found = []
        for figure in figures(url, options.events):
            print(row(figure), file=sys.stderr, flush=True)
            found.append(figure)
    machine = this_machine(version, None)
    if options.json:
        shown = {"machine": asdict(machine), "figures": [each.as_json() for each in found]}
        print(json.dumps(shown, indent=2))
    else:
        print(table(machine, found))
    sys.exit(any(figure.is_met is False for figure in found))


if __name__ == "__main__":
    main()
