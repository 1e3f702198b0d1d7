"""The whole engine on one machine: Redis, Dagster's daemon and web server, and N Celery workers.

Each is a process of its own, as it would be on a machine of its own, with the configuration of
``deploy/celery``; the database and the sandbox are those of ``retry_stand``. All listen on loopback
only, keep what they write in a temporary folder, and end with the block.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg

from benchmarks.retry_stand import standing

CHECKOUT = Path(__file__).resolve().parent.parent
_BIN = Path(sys.executable).parent
_STOP_SECONDS = 15.0
MISSING_REDIS = "make scale needs redis-server: apt-get install redis-server"


class Cluster:
    """Running processes, by name; each can be killed, stopped and started again."""

    def __init__(self, folder: Path, database: str, storage: str, **settings: str) -> None:
        self.folder = folder
        self.database = database
        self.storage = storage
        self.redis_port, self.ui_port = _free_port(), _free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.variables = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONWARNINGS": "ignore",
            "DAGSTER_HOME": str(CHECKOUT / "deploy" / "celery"),
            "DAGSTER_POSTGRES_URL": storage,
            "TRACKING_DATABASE_URL": database,
            "TRACKING_HOME": str(folder / "home"),
            "CELERY_BROKER_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            **settings,
        }

    def start(self, name: str, *command: str, checkout: Path = CHECKOUT) -> None:
        """Starts a process; what it says goes to a file of its name. ``checkout`` may be that of
        another release."""
        code = {"PYTHONPATH": str(checkout), "DAGSTER_HOME": str(checkout / "deploy" / "celery")}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                cwd=checkout,
                env={**self.variables, **code},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start_redis(self) -> None:
        """A broker that keeps nothing: who stops it loses what waits in it."""
        port = str(self.redis_port)
        address = ("--bind", "127.0.0.1", "--port", port)
        self.start("redis", "redis-server", *address, "--dir", str(self.folder), "--save", "")

    def start_worker(self, name: str, processes: int = 1, checkout: Path = CHECKOUT) -> None:
        module = "tracking_pipeline.defs.instance.celery_runs"
        options = ("-Q", "dagster", "-c", str(processes), "-n", f"{name}@%h", "-l", "info")
        celery = (sys.executable, "-m", "celery", "-A", module, "worker", *options)
        self.start(name, *celery, checkout=checkout)

    def start_daemon(self) -> None:
        self.start("daemon", str(_BIN / "dagster-daemon"), "run", "-w", "workspace.yaml")

    def start_web_server(self) -> None:
        address = ("-h", "127.0.0.1", "-p", str(self.ui_port))
        self.start("web", str(_BIN / "dagster-webserver"), "-w", "workspace.yaml", *address)

    def kill(self, name: str) -> None:
        """SIGKILL for the process and all that it started."""
        process = self.processes.pop(name)
        for each in [*_descendants(process.pid), process.pid]:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        process.wait()

    def members(self, name: str) -> list[int]:
        """The process of that name and those that it started."""
        pid = self.processes[name].pid
        return [pid, *_descendants(pid)]

    def stop(self, *names: str) -> None:
        """Tells them to end (SIGTERM for a worker and Redis, SIGINT for the others), all at once;
        what is there after a while is killed."""
        for name in names:
            gentle = signal.SIGINT if name in ("daemon", "web") else signal.SIGTERM
            self.processes[name].send_signal(gentle)
        deadline = time.monotonic() + _STOP_SECONDS
        for name in names:
            with suppress(subprocess.TimeoutExpired):
                self.processes[name].wait(max(0.1, deadline - time.monotonic()))
            self.kill(name)

    def stop_all(self) -> None:
        """The broker last: workers that have lost it wait for it."""
        self.stop(*(name for name in self.processes if name != "redis"))
        self.stop(*self.processes)

    def ask(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Rows of the business database."""
        return _rows(self.database, statement, arguments)

    def ask_dagster(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Rows of Dagster's database; none before Dagster has made its tables."""
        with suppress(psycopg.errors.UndefinedTable):
            return _rows(self.storage, statement, arguments)
        return []

    def until(self, what: str, condition: Callable[[], Any], seconds: float = 300.0) -> Any:
        """What the condition gives as soon as it is true. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds:.0f} s: {what}")
            time.sleep(0.5)
        return found


def _rows(url: str, statement: str, arguments: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode(), arguments).fetchall()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _descendants(pid: int) -> list[int]:
    with suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return []


@contextmanager
def running_cluster(
    *, workers: int, events: int, latency_seconds: float, web: bool = False, **settings: str
) -> Iterator[Cluster]:
    """Everything, with so many due events for the server container, whose answers take so long."""
    if shutil.which("redis-server") is None:
        raise SystemExit(MISSING_REDIS)
    with ExitStack() as undo:
        stand = undo.enter_context(standing())
        stand.set_conditions("gtm_server", latency_seconds=latency_seconds)
        database = undo.enter_context(stand.database(gtm_server=events))
        storage = stand.postgres.ensure_database("dagster")
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="tracking_cluster_")))
        cluster = Cluster(folder, database, storage, GTM_SERVER_URL=stand.addresses.gtm, **settings)
        undo.callback(cluster.stop_all)
        cluster.start_redis()
        cluster.start_daemon()
        if web:
            cluster.start_web_server()
        for number in range(1, workers + 1):
            cluster.start_worker(f"worker-{number}")
        yield cluster
