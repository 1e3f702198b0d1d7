"""``tracking-pipeline serve`` as others start and stop it: a process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from tracking_pipeline.settings import Settings, SettingsError
from tracking_pipeline.store.database import connect
from tracking_pipeline.web.server import is_loopback, serving_token
from tracking_pipeline.web.watch import Watch
from tracking_pipeline.wiring.installation import open_installation
from tracking_pipeline_tests.delivery.failed_event_queue import wait_until
from tracking_pipeline_tests.dev_process import COMMAND
from tracking_pipeline_tests.servers import TestServer, reachable_folder

TOKEN = "an-admin-token-for-tests"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def variables(database_url: str, server: TestServer, tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONFAULTHANDLER": "1",
        "TRACKING_HOME": str(reachable_folder()),
        "TRACKING_DATABASE_URL": database_url,
        "DAGSTER_POSTGRES_URL": server.create_database(f"dagster_{tmp_path.name}".lower()),
    }


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "serve", *arguments],
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def started(port: int, **variables: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [COMMAND, "serve", "--port", str(port)],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: _answers(port) or process.poll() is not None, 120)
        assert process.poll() is None, process.communicate()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_asked_to_end_and_tidies_up(
    variables: dict[str, str], connection: psycopg.Connection, interrupt: signal.Signals
) -> None:
    port = free_port()
    with started(port, **variables, ADMIN_API_TOKEN=TOKEN) as process:
        answer = httpx.post(
            f"http://127.0.0.1:{port}/functions/v1/admin-retry-failed-events",
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=60,
        )
        assert answer.status_code in (200, 202), answer.text
        process.send_signal(interrupt)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out == ""
    assert "Traceback" not in err
    assert TOKEN not in err
    wait_until(
        lambda: (
            connection.execute(
                "select count(*) from pg_stat_activity where application_name = 'tracking_pipeline'"
                " and datname = current_database()"
            ).fetchone()
            == (0,)
        )
    )


def test_without_a_token_it_prints_one_and_serves_this_machine_under_it(
    variables: dict[str, str],
) -> None:
    port = free_port()
    with started(port, **variables) as process:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    *_, before, token, last = err.splitlines()
    assert (before, last) == (
        "ADMIN_API_TOKEN is not set: for as long as this server runs, it is",
        "Stopped.",
    )
    assert len(token) >= 40


@pytest.mark.parametrize(
    "channels", ["json://127.0.0.1/ok, nosuchservice://t0ken/x", "t0ken and no URL"]
)
def test_an_alert_channel_that_cannot_be_used_is_refused_by_its_position(
    variables: dict[str, str], channels: str
) -> None:
    process = run("--port", str(free_port()), **variables, ALERT_CHANNELS=channels)
    assert process.returncode == 2
    assert process.stderr.count("\n") == 1
    position = 2 if "ok" in channels else 1
    assert f"channel {position} of ALERT_CHANNELS" in process.stderr
    assert "t0ken" not in process.stderr


def test_an_embedded_database_that_was_killed_is_started_again() -> None:
    settings = Settings(tracking_home=reachable_folder(), tracking_rehearsal=True)
    with open_installation(settings) as installation:
        with connect(installation.database.url) as connection:
            row = connection.execute("select pg_read_file('postmaster.pid')").fetchone()
        os.kill(int(row[0].splitlines()[0]), signal.SIGKILL)
        Watch(installation).look()
        with connect(installation.database.url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)


def test_it_is_not_opened_to_the_network_by_accident(variables: dict[str, str]) -> None:
    process = run("--host", "0.0.0.0", **variables)
    assert process.returncode == 2
    assert process.stderr.count("\n") == 1
    assert "set ADMIN_API_TOKEN" in process.stderr


def test_a_taken_port_is_told_in_one_line(variables: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        process = run("--port", port, **variables)
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{port}" in process.stderr


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("myhost", False),
        ("localhost.example.com", False),
        ("", False),
    ],
)
def test_only_a_loopback_address_needs_no_token(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
    configured = Settings(admin_api_token=TOKEN)
    assert serving_token(configured, host).token == TOKEN
    if loopback:
        first, second = (serving_token(Settings(), host) for _ in range(2))
        assert first.is_generated
        assert first.token != second.token
    else:
        with pytest.raises(SettingsError, match="ADMIN_API_TOKEN"):
            serving_token(Settings(), host)
        with pytest.raises(SettingsError, match="16 characters or more") as refused:
            serving_token(Settings(admin_api_token="guessed"), host)
        assert "guessed" not in str(refused.value)
