"""What more workers bring, and what they cost each other.

    python -m benchmarks.scale_figures [--rounds N] [--json]

Workers are processes of their own, as on machines of their own. Rates that are compared are taken
in turn, round by round, and the medians of the ratios count.

Four workers against one: a container that answers after 200 ms and takes one event a request; each
worker may have as many requests in flight as the one has alone (the limit of all is four times as
high for four). Sixteen against four: claims of the queue's own statement on one table, and nothing
else, for five seconds. Behind a pooler: the same drain by four, through pgbouncer in transaction
mode, where each transaction gets another of eight server connections; left out where there is no
``pgbouncer`` (``apt-get install pgbouncer``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmarks.retry_stand import Stand, make_destination, standing
from tracking_pipeline.delivery.engine.destination import Destination
from tracking_pipeline.delivery.engine.retry import RetryRequest, retry_failed_events
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.store.database import AsyncPool, read_clock
from tracking_pipeline.store.failed_events import Selection, claim_due_events

_FOUR_TIMES, _SIXTEEN, _POOLED = 3.0, 0.8, 0.8
_IN_FLIGHT = 8
_EVENTS = 400
_PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
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
    drains, claims, pooled = [], [], []
    with standing() as stand:
        stand.set_conditions("gtm_server", latency_seconds=0.2)
        for _ in range(asked.rounds):
            alone, together = _drain_rate(stand, 1), _drain_rate(stand, 4)
            drains.append((alone, together))
            if _PGBOUNCER:
                pooled.append((together, _drain_rate(stand, 4, pooled=True)))
            four, sixteen = _claim_rate(stand, 4), _claim_rate(stand, 16)
            claims.append((four, sixteen))
    figures: dict[str, Any] = {
        "drain_events_a_second": drains,
        "four_to_one": statistics.median(b / a for a, b in drains),
        "claims_a_second": claims,
        "sixteen_to_four": statistics.median(b / a for a, b in claims),
    }
    if pooled:
        figures["pooled_events_a_second"] = pooled
        figures["pooled_to_direct"] = statistics.median(b / a for a, b in pooled)
    if asked.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value}")
    least = {"four_to_one": _FOUR_TIMES, "sixteen_to_four": _SIXTEEN, "pooled_to_direct": _POOLED}
    is_met = all(figures.get(name, bound) >= bound for name, bound in least.items())
    raise SystemExit(0 if is_met else 1)


def _drain_rate(stand: Stand, workers: int, *, pooled: bool = False) -> float:
    """Events a second between the first and the last attempt; each was sent once."""
    with (
        stand.database(gtm_server=_EVENTS * workers) as url,
        _pooler(url) if pooled else nullcontext(url) as address,
    ):
        _together(_drain, [(address, stand.addresses, _IN_FLIGHT * workers)] * workers)
        with psycopg.connect(url) as connection:
            events, seconds, requests = connection.execute(_SPAN).fetchall()[0]
    if events != _EVENTS * workers or requests != 1:
        raise RuntimeError(f"{events} delivered, up to {requests} requests an event")
    return float(events / seconds)


@contextmanager
def _pooler(url: str) -> Iterator[str]:
    """The address of pgbouncer in front of a database, as long as the block runs."""
    server = conninfo_to_dict(url)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="tracking_pooler_") as folder:
        file = Path(folder) / "pgbouncer.ini"
        names = ("host", "port", "dbname", "user", "password")
        lines = [
            "[databases]",
            f"{server['dbname']} = {' '.join(f'{name}={server[name]}' for name in names)}",
            "[pgbouncer]",
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =",
            "auth_type = any\npool_mode = transaction",
            "default_pool_size = 8\nserver_round_robin = 1\nmax_client_conn = 500\n",
        ]
        file.write_text("\n".join(lines))
        # It does not run as root.
        Path(folder).chmod(0o755)
        user = ["--user", "nobody"] if os.geteuid() == 0 else []
        with subprocess.Popen([_PGBOUNCER or "", "--quiet", *user, str(file)]) as pooler:
            try:
                address = make_conninfo(url, host="127.0.0.1", port=port)
                for _ in range(50):
                    with suppress(psycopg.OperationalError), psycopg.connect(address):
                        break
                    time.sleep(0.1)
                yield address
            finally:
                pooler.terminate()


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
