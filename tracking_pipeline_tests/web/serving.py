"""The API as a client meets it: on a socket of 127.0.0.1, over a real database."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg

from tracking_pipeline.settings import read_settings
from tracking_pipeline.web.app import create_app
from tracking_pipeline.web.run_desk import RunDesk
from tracking_pipeline.web.server import listen, make_server
from tracking_pipeline.wiring.installation import open_installation
from tracking_pipeline_tests.dagster_instance import fresh_instance
from tracking_pipeline_tests.delivery.failed_event_queue import wait_until

ADMIN_TOKEN = "an-admin-token-for-tests"
AS_ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
FUNCTIONS = "/functions/v1"
# Longer than any answer takes on a busy machine.
TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Served:
    """A running server. ``client`` has no credentials, ``admin`` the admin token."""

    url: str
    client: httpx.Client
    admin: httpx.Client

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """The answer to an admin, of an endpoint under ``/functions/v1``."""
        return answer(self.admin.get(FUNCTIONS + path, params=parameters))

    def post(self, path: str, body: Any = None, **parameters: Any) -> dict[str, Any]:
        """The same, posted."""
        return answer(self.admin.post(FUNCTIONS + path, json=body, params=parameters))


def answer(response: httpx.Response) -> dict[str, Any]:
    """The JSON of an answer that must be a success."""
    assert response.is_success, (response.status_code, response.text)
    found: dict[str, Any] = response.json()
    return found


@contextmanager
def serving(
    *, wait_seconds: float = TIMEOUT_SECONDS, headers: Mapping[str, str] = AS_ADMIN
) -> Iterator[Served]:
    """Serves what the environment names, under :data:`ADMIN_TOKEN`. ``wait_seconds``: what an
    answer waits for a run."""
    settings = read_settings()
    with (
        fresh_instance() as instance,
        open_installation(settings) as installation,
        listen("127.0.0.1", 0) as listener,
    ):
        runs = RunDesk(instance, wait_seconds=wait_seconds)
        server = make_server(create_app(installation, runs, admin_token=ADMIN_TOKEN))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            assert server.started
            with (
                httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS) as client,
                httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, headers=headers) as admin,
            ):
                yield Served(url, client, admin)
        finally:
            server.should_exit = True
            thread.join(TIMEOUT_SECONDS)
            assert not thread.is_alive()


@contextmanager
def closed_queue(url: str) -> Iterator[None]:
    """Every run waits for the end of the block before it can read the queue."""
    with psycopg.connect(url) as connection:
        connection.execute("lock table tracking_failed_events in access exclusive mode")
        yield
