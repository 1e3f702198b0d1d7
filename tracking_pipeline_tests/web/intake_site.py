"""A running API as a site posts to it, over a real socket, and the tables behind it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg
import httpx
import psycopg
import uvicorn
from psycopg.rows import dict_row

from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import Database
from tracking_pipeline.web.app import create_app
from tracking_pipeline.web.run_desk import RunDesk
from tracking_pipeline.wiring.installation import Installation
from tracking_pipeline_tests.delivery.failed_event_queue import wait_until

ADMIN_TOKEN = "an-admin-token-of-the-tests"
KEY = "a-public-key-of-the-tests"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"
ADDRESS = "81.2.69.160"


@contextmanager
def served(database_url: str, **settings: Any) -> Iterator[str]:
    """The address of an API over the database, with these settings."""
    with dg.DagsterInstance.ephemeral() as instance:
        app = create_app(
            Installation(Settings(**settings), Database(database_url, "the database of a test")),
            RunDesk(instance),
            admin_token=ADMIN_TOKEN,
        )
        config = uvicorn.Config(
            app, host="127.0.0.1", port=0, log_level="error", proxy_headers=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            port = server.servers[0].sockets[0].getsockname()[1]
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()


@dataclass(frozen=True)
class Site:
    """A site's browser and its database."""

    http: httpx.Client
    connection: psycopg.Connection[Any]

    def log_event(self, body: Any, **headers: str) -> httpx.Response:
        """Posts a payload, JSON unless it is bytes."""
        return self._post("log-event", body, headers)

    def save_lead(self, body: Any, **headers: str) -> httpx.Response:
        """Posts a form, JSON unless it is bytes."""
        return self._post("save-lead", body, headers)

    def _post(self, name: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        given = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.http.post(f"/functions/v1/{name}", headers=named, **given)

    def ledger(self) -> list[dict[str, Any]]:
        """The rows of the ledger, oldest first."""
        return self.read("select * from wm_event_log order by created_at, event_name")

    def accepted(self) -> list[dict[str, Any]]:
        """The rows of the queue of accepted events."""
        return self.read("select * from tracking_accepted_events order by created_at, destination")

    def leads(self) -> list[dict[str, Any]]:
        """The leads, oldest first."""
        return self.read("select * from leads order by created_at")

    def read(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """The rows of a query."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode(), arguments or None).fetchall()


@contextmanager
def site(connection: psycopg.Connection[Any], database_url: str, **settings: Any) -> Iterator[Site]:
    """A site over this database, whose browser knows the key and comes through a trusted proxy."""
    configured = {"intake_key": KEY, "trusted_proxies": "127.0.0.1", **settings}
    headers = {"x-api-key": KEY, "user-agent": AGENT, "x-forwarded-for": ADDRESS}
    with (
        served(database_url, **configured) as url,
        httpx.Client(base_url=url, headers=headers, timeout=30) as http,
    ):
        yield Site(http, connection)
