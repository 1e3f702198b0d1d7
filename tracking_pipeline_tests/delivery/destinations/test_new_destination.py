"""What it takes to add a destination: a row of the registry, a setting, and a small class. A copy
of the package gets one here, and goes through all that operators see."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

import tracking_pipeline
from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.store.migrate import is_migrated, migrate
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, wait_until
from tracking_pipeline_tests.servers import TestServer, reachable_folder

ROW = """    DestinationSpec(
        name="carrier_pigeon",
        title="Carrier pigeon",
        class_path="tracking_pipeline.delivery.destinations.carrier_pigeon:CarrierPigeon",
        settings="PIGEON",
        required=lambda settings: {"PIGEON_URL": settings.pigeon_url},
        account=("pigeon_url",),
        needs=ADVERTISING_NEEDS,
    ),
)

DESTINATIONS:"""
SETTING = "    pigeon_url: HttpUrl | None = None\n\n    site_url:"
CLASS = """
from tracking_pipeline.delivery.destinations.http_answers import classify_status
from tracking_pipeline.delivery.engine.destination import Limits, Reply
from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import Delivered, Uniform, reject
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.http_client import post

REFUSED = Failure.DESTINATION_REQUEST_REFUSED


class CarrierPigeon:
    name = "carrier_pigeon"
    limits = Limits(request_events=1, request_bytes=1_000, in_flight=2)

    def __init__(self, url, client):
        self._url, self._client = url, client

    @classmethod
    def configured(cls, settings, client, pool):
        return cls(settings.pigeon_url, client)

    def prepare(self, event):
        return Prepared(event, str(event.event_id).encode())

    async def send(self, batch, now):
        answer = await post(self._client, self._url, content=batch[0].body, headers={})
        refused = reject("pigeons do not carry that", REFUSED)
        outcome = Delivered() if answer.status == 200 else refused
        return Reply(Uniform(outcome), answer.duration_ms)
"""

LAUNCHPAD = """
import dagster as dg
from tracking_pipeline.definitions import build_defs

job = build_defs().resolve_job_def("retry_failed_events_job")
config = {"ops": {"plan_retry": {"config": {"destination": "carrier_pigeon"}}}}
dg.validate_run_config(job, config)
"""
MAIN = "from tracking_pipeline.cli import main; main()"
TOKEN = "an-admin-token-for-tests"


class Loft(ThreadingHTTPServer):
    """Where the pigeons arrive. It takes all but one of them."""

    def __init__(self) -> None:
        self.refused = ""
        self.arrived: list[str] = []
        super().__init__(("127.0.0.1", 0), _Landing)


class _Landing(BaseHTTPRequestHandler):
    server: Loft

    def do_POST(self) -> None:
        told = self.rfile.read(int(self.headers["content-length"])).decode()
        refused = told == self.server.refused
        if not refused:
            self.server.arrived.append(told)
        self.send_response(422 if refused else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def loft() -> Iterator[Loft]:
    with Loft() as loft:
        threading.Thread(target=loft.serve_forever, daemon=True).start()
        yield loft
        loft.shutdown()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package with one more destination."""
    (package,) = tracking_pipeline.__path__
    copy = tmp_path / "tracking_pipeline"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(package).parent / "dagster.yaml", tmp_path)
    destinations = copy / "delivery" / "destinations"
    _replace(destinations / "registry.py", ")\n\nDESTINATIONS:", ROW)
    _replace(copy / "settings.py", "    site_url:", SETTING)
    (destinations / "carrier_pigeon.py").write_text(CLASS)
    return tmp_path


@contextmanager
def _served(environment: dict[str, str]) -> Iterator[httpx.Client]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-c", MAIN, "serve", "--port", str(port)]
    process = subprocess.Popen(
        command, env={**environment, "ADMIN_API_TOKEN": TOKEN}, cwd=environment["HOME"]
    )
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=60,
        ) as client:
            wait_until(lambda: process.poll() is not None or _answers(client), 60)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").is_success
    except httpx.TransportError:
        return False


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def test_a_row_a_setting_and_a_class_are_a_destination(
    checkout: Path,
    loft: Loft,
    database_url: str,
    connection: psycopg.Connection,
    server: TestServer,
) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(checkout),
        "PYTHONPATH": str(checkout),
        "TRACKING_HOME": str(reachable_folder()),
        "TRACKING_DATABASE_URL": database_url,
        "DAGSTER_POSTGRES_URL": server.create_database(f"dagster_{checkout.name}".lower()),
        "PIGEON_URL": f"http://127.0.0.1:{loft.server_port}",
    }

    def python(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=environment,
            cwd=checkout,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def call(*arguments: str) -> dict[str, Any]:
        told = python(MAIN, *arguments, "--json")
        answer: dict[str, Any] = json.loads(told)
        return answer

    # The database's check is widened, once.
    assert any("widened" in step for step in call("migrate")["applied"])
    assert call("migrate")["applied"] == []

    queue = Queue(connection)
    events = queue.add(3, destination="carrier_pigeon")
    loft.refused = str(events[0].event_id)
    told = call("retry")["by_destination"]["carrier_pigeon"]
    assert (told["resolved"], told["dead_lettered"]) == (2, 1)
    assert sorted(loft.arrived) == sorted(str(event.event_id) for event in events[1:])

    assert call("status")["destinations"]["carrier_pigeon"]["dead_letters"] == 1
    (alert,) = call("check")["active_alerts"]
    assert "carrier_pigeon" in alert["message"]
    python(LAUNCHPAD)
    with _served(environment) as client:
        assert "Carrier pigeon" in client.get("/").text
        up = 'tracking_destination_up{destination="carrier_pigeon"} 1.0'
        assert up in client.get("/metrics").text

    # Without it nothing is left to do, and nothing trips over the rows that it leaves.
    assert "carrier_pigeon" not in DESTINATIONS
    assert is_migrated(connection)
    assert migrate(database_url).applied == []
    # Moved and not removed: what the server forked may be ending still, and write bytecode there.
    (checkout / "tracking_pipeline").rename(checkout / "gone")
    del environment["PYTHONPATH"]
    assert "carrier_pigeon" not in call("status")["destinations"]
