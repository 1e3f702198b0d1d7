"""The sandbox as a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

Start = Callable[..., "tuple[subprocess.Popen[bytes], dict[str, Any]]"]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def start_one(*options: str) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tracking_pipeline.sandbox", "--until-stdin-closes", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        return process, json.loads(process.stdout.readline())

    yield start_one
    for process in started:
        process.kill()
        process.wait(10)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def _post(meta_url: str, *events: dict[str, Any]) -> httpx.Response:
    body = {"access_token": "token", "data": list(events)}
    return httpx.post(f"{meta_url}/v26.0/1/events", json=body)


def test_it_says_its_url_when_it_is_ready_and_ends_with_the_one_who_started_it(
    start: Start, event: Callable[..., dict[str, Any]]
) -> None:
    process, ready = start("--latency", "0.01")
    assert ready["pid"] == process.pid
    assert httpx.post(ready["url"] + "/_sandbox/scripts", json={"a": [503]}).status_code == 200
    statuses = [_post(ready["meta_url"], event("a")).status_code for _ in range(2)]
    assert statuses == [503, 200]
    assert httpx.get(ready["url"] + "/_sandbox/summary").json()["accepted"] == 1
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(10) == 0


def test_lenient_takes_what_it_would_refuse_and_still_counts_duplicates(
    start: Start, event: Callable[..., dict[str, Any]]
) -> None:
    process, ready = start("--lenient")
    batch = [event(f"e{number % 500}", user_data={}) for number in range(1000)]
    assert _post(ready["meta_url"], *batch).json()["events_received"] == 1000
    summary = httpx.get(ready["url"] + "/_sandbox/summary").json()
    assert (summary["accepted"], summary["kept"], summary["duplicates"]) == (1000, 500, 500)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_a_killed_process_leaves_a_journal_that_the_next_one_goes_on_with(
    start: Start, tmp_path: Path, event: Callable[..., dict[str, Any]]
) -> None:
    options = ("--journal", str(tmp_path / "journal"), "--seed", "3", "--share-transient", "0.5")
    process, ready = start(*options)
    sent = [_post(ready["meta_url"], event("a")).status_code for _ in range(6)]
    process.kill()
    process.wait(10)
    _, ready = start(*options)
    answers = httpx.get(ready["url"] + "/_sandbox/summary").json()["answers"]
    assert answers == {str(status): sent.count(status) for status in set(sent)}
