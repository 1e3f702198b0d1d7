"""``tracking-pipeline dev`` as a process of its own: real webserver, real daemon, real runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

COMMAND = str(Path(sys.executable).with_name("tracking-pipeline"))
CHECKOUT = Path(__file__).resolve().parent.parent
DEADLINE_SECONDS = 180

LOADED = """query { workspaceOrError { ... on Workspace { locationEntries { name loadStatus
  locationOrLoadError { __typename } } } } }"""


class Dev:
    """A running ``dev`` and its GraphQL endpoint."""

    def __init__(self, home: Path, port: int, log: Path, settings: dict[str, str]) -> None:
        self.home = home
        self.port = port
        self.log = log
        variables = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
        # This checkout, whichever one the command was installed from.
        variables["PYTHONPATH"] = str(CHECKOUT)
        self.variables = {**variables, "TRACKING_HOME": str(home), **settings}
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [COMMAND, "dev", "--port", str(port)],
                cwd=CHECKOUT,
                env=self.variables,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def call(self, *arguments: str) -> bytes:
        """What another verb says on standard output, called beside it."""
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=CHECKOUT,
            env=self.variables,
            capture_output=True,
            check=True,
            timeout=DEADLINE_SECONDS,
        ).stdout

    def ask(self, query: str, **variables: Any) -> Any:
        body = {"query": query, "variables": variables}
        answer = httpx.post(f"http://127.0.0.1:{self.port}/graphql", json=body, timeout=30)
        return answer.json()["data"]

    def wait_for(self, what: str, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                found = condition()
            except (httpx.HTTPError, KeyError, TypeError):
                found = None
            if found:
                return found
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, f"{what}\n{self.log.read_text()[-3000:]}"
            time.sleep(0.25)

    def wait_until_loaded(self) -> None:
        def loaded() -> bool:
            entries = self.ask(LOADED)["workspaceOrError"]["locationEntries"]
            return bool(entries[0]["loadStatus"] == "LOADED")

        self.wait_for("the code location loads", loaded)


@contextmanager
def running_dev(home: Path, log: Path, **settings: str) -> Iterator[Dev]:
    """``dev`` on a free port, for the time of the block; nothing of it is left afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = Dev(home, port, log, settings)
    try:
        yield running
    finally:
        for process in [running.process.pid, *descendants(running.process.pid)]:
            if psutil.pid_exists(process):
                psutil.Process(process).kill()
        running.process.wait()


def descendants(pid: int) -> list[int]:
    """The processes that a process has begun, and those that they have."""
    if not psutil.pid_exists(pid):
        return []
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]
