from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tracking_pipeline.sandbox.server import Sandbox, SandboxError
from tracking_pipeline.sandbox.stage import RandomFaults


def test_it_listens_on_the_loopback_only_and_has_done_so_when_it_is_entered(
    sandbox: Sandbox, http: httpx.Client
) -> None:
    assert sandbox.meta_url == f"http://127.0.0.1:{sandbox.port}/meta"
    assert http.get(sandbox.url + "/_sandbox/summary").status_code == 200
    # All of 127.0.0.0/8 is the loopback; a server that listens everywhere would answer here too.
    with pytest.raises(OSError, match=r"refused|timed out|assign"):
        socket.create_connection(("127.0.0.2", sandbox.port), timeout=1)


def test_it_stops_at_once_while_requests_hang(
    sender: Callable[[Sandbox], Any], eventually: Any
) -> None:
    before = set(threading.enumerate())
    with ThreadPoolExecutor(4) as pool:
        with Sandbox() as sandbox:
            send = sender(sandbox)
            sandbox.scripts.update({"a": ["timeout"], "b": ["timeout"]})
            sandbox.scripts.set("c", [{"status": 200, "delay_seconds": 60}])
            hanging = [pool.submit(send.ids, event_id, timeout=60) for event_id in "abc"]
            assert eventually(lambda: len(sandbox.memory.requests) == 3)
            stopping = time.monotonic()
        assert time.monotonic() - stopping < 30  # not the 60 seconds that the requests hang
        errors = [future.exception(10) for future in hanging[:2]]
    assert all(isinstance(error, httpx.TransportError) for error in errors)
    assert set(threading.enumerate()) <= before


def test_a_stopped_sandbox_no_longer_listens_and_still_remembers(
    sender: Callable[[Sandbox], Any],
) -> None:
    sandbox = Sandbox().start()
    sender(sandbox).ids("a")
    sandbox.stop()
    sandbox.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", sandbox.port), timeout=5)
    assert sandbox.memory.accepted("a") == 1


def test_a_port_that_is_taken_is_an_error_in_one_line(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match=str(sandbox.port)) as raised:
        Sandbox(port=sandbox.port).start()
    assert "\n" not in str(raised.value)


def test_two_sandboxes_with_one_seed_misbehave_alike(sender: Callable[[Sandbox], Any]) -> None:
    def answers() -> list[int]:
        faults = RandomFaults(11, share_transient=0.3, share_rejected=0.2)
        with Sandbox(random_faults=faults) as sandbox:
            send = sender(sandbox)
            return [send.ids(f"e{number % 15}").status_code for number in range(60)]

    first, second = answers(), answers()
    assert first == second
    assert set(first) == {200, 400, 503}


def test_a_script_goes_before_the_lot(sender: Callable[[Sandbox], Any]) -> None:
    with Sandbox(random_faults=RandomFaults(1, share_transient=1.0)) as sandbox:
        sandbox.scripts.set("a", [200, 500])
        assert [sender(sandbox).ids("a").status_code for _ in range(3)] == [200, 500, 503]


def test_the_control_side_tells_counts_and_sets_faults(
    sandbox: Sandbox, send: Any, http: httpx.Client
) -> None:
    control = sandbox.url + "/_sandbox"
    assert http.post(control + "/scripts", json={"a": [500, "bad"]}).json() == {"scripts": 1}
    conditions = {"destination": "meta_capi", "throttle": {"requests": 1, "retry_after": "0"}}
    assert http.post(control + "/conditions", json=conditions).status_code == 200
    assert [send.ids("a").status_code for _ in range(3)] == [429, 500, 400]
    outage = {"destination": "meta_capi", "outage": 503, "latency_seconds": 0}
    http.post(control + "/conditions", json=outage)
    assert send.ids("b").status_code == 503
    http.post(control + "/conditions", json={"destination": "meta_capi", "outage": None})
    assert send.ids("b").status_code == 200
    summary = http.get(control + "/summary").json()
    assert summary["answers"] == {"429": 1, "500": 1, "400": 1, "503": 1, "200": 1}
    assert (summary["requests"], summary["accepted"], summary["violations"]) == (5, 1, {})


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("scripts", b'{"a": ["tmeout"]}', "tmeout"),
        ("scripts", b'{"a": 500}', "list"),
        ("scripts", b"[]", "object"),
        ("scripts", b"{", "JSON"),
        ("conditions", b"{}", "meta_capi"),
        ("conditions", b'{"destination": "meta_capi", "outage": 200}', "200"),
        ("conditions", b'{"destination": "meta_capi", "outtage": 503}', "outtage"),
        ("conditions", b'{"destination": "meta_capi", "throttle": {"n": 1}}', "n"),
        ("conditions", b'{"destination": "meta_capi", "latency_seconds": "x"}', "x"),
    ],
)
def test_a_wrong_control_request_says_what_is_wrong(
    sandbox: Sandbox, http: httpx.Client, path: str, body: bytes, named: str
) -> None:
    answer = http.post(f"{sandbox.url}/_sandbox/{path}", content=body)
    assert answer.status_code == 400
    assert named in answer.json()["error"]
