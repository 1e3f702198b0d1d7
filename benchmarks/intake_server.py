"""The servers that the benchmark of intake compares, each a process of its own.

    python -m benchmarks.intake_server KIND DATABASE_URL

KIND is ``intake`` (the API as it is served), ``forwarding`` (the same, handing every event over to
one destination) or ``bare`` (a FastAPI handler that inserts one row). Prints its address, and ends
when its standard input is closed.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dagster as dg
import uvicorn
from fastapi import FastAPI, Request
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from tracking_pipeline import OBJECTS_BETWEEN_COLLECTIONS
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import Database
from tracking_pipeline.web.app import POOL_SIZE, create_app
from tracking_pipeline.web.run_desk import RunDesk
from tracking_pipeline.web.server import listen, make_server
from tracking_pipeline.wiring.installation import Installation

KEY = "the-key-of-the-benchmark"
BARE_TABLE = "create table bare_events (id bigint generated always as identity, event jsonb)"
_NO_LIMIT_PER_MINUTE = 1_000_000


def bare_app(database_url: str) -> FastAPI:
    """The least that one could write: no checks, no key, one row and one commit a request."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        pool = AsyncConnectionPool(
            database_url, kwargs={"autocommit": True}, min_size=POOL_SIZE, open=False
        )
        async with pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/functions/v1/log-event")
    async def log_event(request: Request) -> dict[str, bool]:
        event = await request.json()
        async with request.app.state.pool.connection() as connection:
            await connection.execute("insert into bare_events (event) values (%s)", (Jsonb(event),))
        return {"success": True}

    return app


def intake_app(database_url: str, *, forward: bool) -> FastAPI:
    """The API, without a limit that its one client would meet."""
    settings = Settings(
        intake_key=KEY,
        intake_requests_per_minute=_NO_LIMIT_PER_MINUTE,
        log_event_forward_to=("meta_capi",) if forward else (),
    )
    installation = Installation(settings, Database(database_url, "the benchmark's database"))
    runs = RunDesk(dg.DagsterInstance.ephemeral())
    return create_app(installation, runs, admin_token="no-admin-comes-here")


def main() -> None:
    """Serves until standard input is closed. Garbage is looked for as by the command ``serve``."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    gc.freeze()
    kind, database_url = sys.argv[1:]
    app = (
        bare_app(database_url)
        if kind == "bare"
        else intake_app(database_url, forward=kind == "forwarding")
    )
    server = make_server(app)
    with listen("127.0.0.1", 0) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        threading.Thread(target=_until_input_ends, args=(server,), daemon=True).start()
        server.run(sockets=[listener])


def _until_input_ends(server: uvicorn.Server) -> None:
    sys.stdin.read()
    server.should_exit = True


if __name__ == "__main__":
    main()
