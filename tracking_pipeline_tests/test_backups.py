"""Backup and restore, as docs/operations.md says it, word for word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.failed_event_queue import Queue
from tracking_pipeline_tests.delivery.runs import Runs
from tracking_pipeline_tests.servers import TestServer, find_server_binaries

ROOT = Path(__file__).parent.parent
_OF_NO_EVENT = "00000000-0000-4000-8000-000000000000"


def blocks(language: str) -> list[str]:
    """The code of the section about backups, in order."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"^## Backups.*?(?=^## )", text, re.DOTALL | re.MULTILINE)
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


def shell(commands: str, url: str, folder: Path) -> None:
    """Runs commands as an operator does, in whose PATH PostgreSQL's and ours are."""
    binaries = find_server_binaries()
    path = f"{binaries[max(binaries)]}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(
        ["sh", "-ec", commands],
        cwd=folder,
        env={**os.environ, "PATH": path, "TRACKING_DATABASE_URL": url},
        check=True,
        capture_output=True,
        timeout=120,
    )


@pytest.fixture
def restored_url(server: TestServer) -> Iterator[str]:
    name = f"restored_{uuid4().hex}"
    yield server.create_database(name)
    server.drop_database(name)


def test_a_restored_queue_is_held_until_it_is_let_go_and_sends_under_the_same_ids(
    database_url: str, restored_url: str, queue: Queue, sandbox: Sandbox, tmp_path: Path
) -> None:
    queue.add(3)
    queue.accept(2, destination="supabase")
    # A pause of the time of the backup, whose probe is due, must not let one event through.
    queue.connection.execute(
        "insert into tracking_destination_state (destination, state, probe_at)"
        " values ('meta_capi', 'open', now())"
    )
    (dump,), (hold, settle, let_go) = blocks("sh")[:1], blocks("sql")
    shell(dump, database_url, tmp_path)
    queue.connection.execute("update tracking_destination_state set state = 'closed'")
    assert Runs(database_url, sandbox).run().total("resolved") == 3
    sent = [event["event_id"] for event in sandbox.memory.accepted_events]

    shell(blocks("sh")[1], restored_url, tmp_path)
    with psycopg.connect(restored_url, autocommit=True) as connection:
        connection.execute(hold.encode())
        held = Runs(restored_url, sandbox).run(all_events=True)
        assert (held.total("requests"), held.total("accepted_delivered")) == (0, 0)
        assert connection.execute("select count(*) from wm_event_log").fetchone() == (0,)
        connection.execute(settle.replace(_OF_NO_EVENT, sent[0]).encode())
        connection.execute("update tracking_destination_state set state = 'closed'")
        connection.execute(let_go.encode())
        again = Runs(restored_url, sandbox).run()
    assert (again.total("resolved"), again.total("accepted_delivered")) == (2, 0)
    times_sent = Counter(event["event_id"] for event in sandbox.memory.accepted_events)
    assert times_sent == {sent[0]: 1, sent[1]: 2, sent[2]: 2}
