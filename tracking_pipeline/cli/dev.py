"""The verb ``dev``: Dagster's own development server on this project."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import psutil
import typer

from tracking_pipeline.cli.demo import load_sample_data
from tracking_pipeline.cli.output import CommandError, err

if TYPE_CHECKING:
    from tracking_pipeline.settings import Settings
    from tracking_pipeline.wiring.installation import Installation

# As they stand in the command lines of Dagster's processes.
_PARTS = {
    "code server": "code-server",
    "process of the code location": "grpc",
    "web server": "dagster_webserver",
    "daemon": "dagster._daemon",
}
_LOOK_SECONDS = 2.0


def dev(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 3000,
) -> None:
    """Start Dagster with its UI and all schedules. If nothing is configured, start a rehearsal."""
    from tracking_pipeline.settings import (
        INSTANCE_FILE,
        WORKSPACE_FILE,
        project_file,
        project_folder,
        read_settings,
    )
    from tracking_pipeline.wiring.health import health_config, refuse_unusable_channels
    from tracking_pipeline.wiring.installation import open_installation

    settings = read_settings()
    health_config(settings)  # refused now, not by each run
    refuse_unusable_channels(settings)
    folder = project_folder()
    _refuse_taken_port(host, port)
    environment = dict(os.environ)
    rehearsal = settings.nothing_configured if settings.tracking_rehearsal is None else None
    with open_installation(settings, rehearsal=rehearsal or None) as installation:
        if installation.database.rehearsal:
            environment["TRACKING_REHEARSAL"] = "true"
            if _is_empty(installation):
                load_sample_data(installation)
        err.print(f"Serving {installation.database.label}.")
        if installation.database.rehearsal:
            err.print("Rehearsal: sample events, and a sandbox in the destinations' place.")
        err.print(f"The Dagster UI comes up at http://{host}:{port} (Ctrl-C ends it).")
        if not (os.access(folder, os.W_OK) and (folder / INSTANCE_FILE).is_file()):
            environment.setdefault("DAGSTER_HOME", str(_dagster_home(settings)))
        command = [sys.executable, "-W", "ignore", "-m", "dagster", "dev"]
        command += ["-w", str(project_file(WORKSPACE_FILE)), "-h", host, "-p", str(port)]
        raise typer.Exit(_run_until_interrupted(command, folder, environment))


def _dagster_home(settings: Settings) -> Path:
    """A folder for Dagster's files under TRACKING_HOME, with this project's ``dagster.yaml``: else
    Dagster makes a temporary one in the working folder, without one or where nothing can be
    written.
    """
    from tracking_pipeline.settings import INSTANCE_FILE, project_file

    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    (home / INSTANCE_FILE).write_bytes(project_file(INSTANCE_FILE).read_bytes())
    return home


def _is_empty(installation: Installation) -> bool:
    from tracking_pipeline.store.database import connect
    from tracking_pipeline.store.queue_counts import has_failed_events

    with connect(installation.database.url) as connection:
        return not has_failed_events(connection)


def _refuse_taken_port(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise CommandError(
            f"cannot listen on {host}:{port} ({error.strerror}): choose another --host or --port"
        ) from None


def _run_until_interrupted(command: list[str], folder: Path, environment: dict[str, str]) -> int:
    """Runs the child until it ends; hands it our interrupts, and waits for it to tidy up.

    Dagster goes on without its code server or without an end: its daemons only log, and all of them
    call themselves healthy. So each of its processes is watched, and when one is gone unasked, all
    end, with a line that names it and status 1: whoever started this starts it again.
    """
    # A handled signal is the default again in the child; an ignored one (this process was started
    # in the background of a script) would be ignored there, and Dagster would never stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    child = subprocess.Popen(command, cwd=folder, env=environment)  # noqa: S603
    asked = threading.Event()

    def pass_on(number: int, frame: object) -> None:
        asked.set()
        child.send_signal(signal.SIGINT)

    # The terminal's Ctrl-C reaches the child by itself; a second one would cut its tidying short.
    signal.signal(signal.SIGINT, lambda number, frame: asked.set())
    signal.signal(signal.SIGTERM, pass_on)
    parts = _Parts(child.pid)
    while (code := _waited(child)) is None:
        gone = parts.gone()
        if gone and not asked.is_set():
            err.print(f"error: the {gone} died: everything else is stopped", style="red")
            child.send_signal(signal.SIGINT)
            child.wait()
            return 1
    if asked.is_set():
        return 0 if code in (0, -signal.SIGINT, -signal.SIGTERM, 128 + signal.SIGINT) else 1
    err.print(f"error: Dagster ended unasked (status {code})", style="red")
    return 1


def _waited(child: subprocess.Popen[bytes]) -> int | None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return child.wait(_LOOK_SECONDS)
    return None


class _Parts:
    """The processes that ``dagster dev`` starts and cannot do without, by what they are."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen: set[str] = set()
        self._missed: set[str] = set()

    def gone(self) -> str | None:
        """What was there and is no more, at two looks in a row: reloading the definitions puts
        another process in the place of the code location's."""
        there = self._there()
        missing = self._seen - there
        gone = missing & self._missed
        self._seen |= there
        self._missed = missing
        return min(gone, default=None)

    def _there(self) -> set[str]:
        found = set()
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self._pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    command = process.cmdline()  # of a zombie it is empty, or cannot be had
                    found |= {part for part, word in _PARTS.items() if word in command}
        return found
