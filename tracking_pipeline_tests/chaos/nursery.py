"""Where workers come from: a process that has imported all they need, and forks them.

A worker is a process of its own, that can be killed and stopped; what it is spared is the second
that its imports take. The nursery and its workers end with whoever started it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracking_pipeline_tests.chaos.worker import Settings

LONGEST_SECONDS = 120.0
_MOST_BYTES = 65_536


class NoAnswerError(Exception):
    """A worker that should have answered did not, or it died."""


@dataclass
class Worker:
    """One worker process: it takes orders and answers them, a line each."""

    pid: int
    log: Path
    said: list[str]
    _orders: Any
    _answers: Any

    def run(self, do: str, **order: Any) -> dict[str, Any]:
        """Gives one order and waits for its answer."""
        self.start(do, **order)
        found: dict[str, Any] = self.answer()
        return found

    def start(self, do: str, **order: Any) -> None:
        self._orders.write(json.dumps({"do": do, **order}).encode() + b"\n")

    def answer(self, seconds: float = LONGEST_SECONDS) -> Any:
        """The next line that it says. Raises :class:`NoAnswerError`."""
        ready, _, _ = select.select([self._answers], [], [], seconds)
        line = self._answers.readline().decode() if ready else ""
        if not line:
            raise NoAnswerError(f"the worker said nothing: {self.log.read_text()[-500:]}")
        self.said.append(line)
        return json.loads(line)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """``kill -9``; returns when it is dead. Again: does nothing."""
        if not self._answers.closed:
            with suppress(ProcessLookupError):
                self.signal(signal.SIGKILL)
            self.wait()

    def wait(self) -> None:
        """Returns when it is dead: its end of the pipe is closed then."""
        self.said += self._answers.read().decode().splitlines()
        for end in (self._answers, self._orders):
            with suppress(OSError):
                end.close()


class Nursery:
    """Starts workers. Runs for the time of the block."""

    def __enter__(self) -> Nursery:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        theirs.close()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._line.close()
        self._process.wait()

    def worker(self, settings: Settings, log: Path, skew_seconds: float = 0.0) -> Worker:
        """A new worker; what it logs goes to the file."""
        orders, our_orders = os.pipe()
        our_answers, answers = os.pipe()
        with log.open("ab") as errors:
            asked = json.dumps({"skew": skew_seconds, "settings": asdict(settings)}).encode()
            socket.send_fds(self._line, [asked], [orders, answers, errors.fileno()])
            pid = int(self._line.recv(_MOST_BYTES))
        os.close(orders)
        os.close(answers)
        return Worker(pid, log, [], os.fdopen(our_orders, "wb", 0), os.fdopen(our_answers, "rb", 0))


def _bring_up(line: socket.socket) -> None:
    """Forks a worker for each one that is asked for, until nobody can ask any more."""
    from tracking_pipeline_tests.chaos import false_clock

    false_clock.install()
    from tracking_pipeline_tests.chaos import worker

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    while True:
        asked, descriptors, _, _ = socket.recv_fds(line, _MOST_BYTES, 3)
        if not asked:
            return
        pid = os.fork()
        if pid == 0:
            line.close()
            for standard, given in enumerate(descriptors):
                os.dup2(given, standard)
                os.close(given)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            order = json.loads(asked)
            false_clock.set_wrong(order["skew"])
            worker.work(worker.Settings(**order["settings"]))
            os._exit(0)
        for given in descriptors:
            os.close(given)
        line.send(str(pid).encode())


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as given_line:
        _bring_up(given_line)
