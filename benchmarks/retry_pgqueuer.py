"""PgQueuer, a well-kept queue on PostgreSQL, doing the same POSTs.

One job is one event, posted alone: so the library works, whatever a destination would take at once.
It gets its faster driver (asyncpg) on a connection of its own, bare aiohttp, the event loop that it
chooses itself, and batches as large as the number of requests in flight, which the client's
connections bound.

https://pgqueuer.readthedocs.io/
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import time

import aiohttp

from benchmarks.retry_engines import IN_FLIGHT, Posts
from benchmarks.retry_stand import Stand
from tracking_pipeline.interruption import run_interruptibly

_ENTRYPOINT = "post"


def pgqueuer_version() -> str | None:
    """The version that is installed together with asyncpg, None where one of them is missing."""
    try:
        importlib.metadata.version("asyncpg")
        return importlib.metadata.version("pgqueuer")
    except importlib.metadata.PackageNotFoundError:
        return None


def jobs_a_second(stand: Stand, posts: Posts) -> float:
    """The rate at which PgQueuer works off a job for each POST, measured from the first claim."""
    logging.getLogger("pgqueuer").setLevel(logging.WARNING)
    with stand.database() as url:
        seconds = run_interruptibly(_work_off(url, posts))
    return len(posts.contents) / seconds


async def _work_off(url: str, posts: Posts) -> float:
    pgqueuer = importlib.import_module("pgqueuer")
    types = importlib.import_module("pgqueuer.types")
    asyncpg = importlib.import_module("asyncpg")
    connection = await asyncpg.connect(url)
    try:
        queue = pgqueuer.PgQueuer.from_asyncpg_connection(connection)
        await queue.queries.install()
        count = len(posts.contents)
        await queue.queries.enqueue([_ENTRYPOINT] * count, list(posts.contents), [0] * count)
        await connection.execute("vacuum analyze")
        delivered = 0
        connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
        async with aiohttp.ClientSession(connector=connector) as session:

            @queue.entrypoint(_ENTRYPOINT)  # type: ignore[untyped-decorator]
            async def post(job: object) -> None:
                nonlocal delivered
                content = job.payload  # type: ignore[attr-defined]
                async with session.post(posts.url, data=content, headers=posts.headers) as answer:
                    await answer.read()
                    answer.raise_for_status()
                delivered += 1

            started = time.perf_counter()
            await queue.qm.run(
                batch_size=IN_FLIGHT,
                max_concurrent_tasks=2 * IN_FLIGHT,
                mode=types.QueueExecutionMode.drain,
            )
            seconds = time.perf_counter() - started
    finally:
        await connection.close()
    if delivered != count:
        raise RuntimeError(f"PgQueuer delivered {delivered} of {count} jobs")
    return seconds
