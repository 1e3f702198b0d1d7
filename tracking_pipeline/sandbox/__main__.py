"""The sandbox as a process: `python -m tracking_pipeline.sandbox --port 0 --latency 0.05`.

Prints one JSON line, `{"url": ..., "meta_url": ..., "pid": ...}`, when it listens; ends on SIGTERM
or SIGINT, or when its standard input is closed and `--until-stdin-closes` was given, so that it
never outlives the process that started it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import orjson

from tracking_pipeline.sandbox import google, gtm, ip_api, ipinfo, meta
from tracking_pipeline.sandbox.server import HOST, new_stage, serve
from tracking_pipeline.sandbox.stage import RandomFaults

_SHARES = ("transient", "rejected", "timeout", "reset", "late_reset", "throttled")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until told to stop."""
    options = _parser().parse_args(arguments)
    asyncio.run(_serve(options))


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.until_stdin_closes:
        waiter = threading.Thread(target=_wait_for_end_of_input, args=(loop, stop), daemon=True)
        waiter.start()
    shares = {f"share_{name}": getattr(options, f"share_{name}") for name in _SHARES}
    stage = new_stage(
        journal=options.journal,
        random_faults=RandomFaults(options.seed, **shares) if any(shares.values()) else None,
        latency_seconds=options.latency,
        lenient=options.lenient,
    )
    try:
        await serve(stage, options.port, _announce, stop)
    finally:
        stage.memory.close()


def _wait_for_end_of_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # Not sys.stdin: at its end the interpreter waits for the lock that a blocked reader holds.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


def _announce(port: int) -> None:
    url = f"http://{HOST}:{port}"
    line = {
        "url": url,
        "meta_url": url + meta.PREFIX,
        "google_url": url + google.PREFIX,
        "gtm_url": url + gtm.ADDRESS,
        "ip_api_url": url + ip_api.PREFIX,
        "ipinfo_url": url + ipinfo.PREFIX,
        "pid": os.getpid(),
    }
    sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tracking_pipeline.sandbox",
        description="A stand-in for the platforms that events are sent to, on 127.0.0.1.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every answer")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the random faults")
    for name in _SHARES:
        parser.add_argument(
            f"--share-{name.replace('_', '-')}", type=float, default=0.0, help="between 0 and 1"
        )
    parser.add_argument("--journal", type=Path, help="a file that remembers between processes")
    parser.add_argument(
        "--lenient", action="store_true", help="do not check each event, remember only ids"
    )
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="end when standard input is closed"
    )
    return parser


if __name__ == "__main__":
    main()
