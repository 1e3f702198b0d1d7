from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracking_pipeline.sandbox.memory import Journal
from tracking_pipeline.sandbox.server import Sandbox


def test_a_torn_last_line_spoils_neither_what_was_there_nor_what_comes(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.ndjson"
    journal = Journal(path)
    journal.write({"record": "first"})
    journal.close()
    with path.open("ab") as file:
        file.write(b'{"record": "torn", "ev')

    journal = Journal(path)
    journal.write({"record": "second"})
    assert [record["record"] for record in journal.read()] == ["first", "second"]
    assert journal.skipped_lines == 1
    journal.close()


def test_scripts_and_counts_survive_from_one_process_to_the_next(
    tmp_path: Path, sender: Callable[[Sandbox], Any]
) -> None:
    path = tmp_path / "journal.ndjson"
    with Sandbox(journal=path) as first:
        first.scripts.update({"a": [500, 503, 200], "b": ["bad"]})
        assert sender(first).ids("a", "c").status_code == 500
        assert sender(first).ids("c").status_code == 200

    with Sandbox(journal=path) as second:
        send = sender(second)
        assert second.memory.requests_with("c") == 2
        assert send.ids("a").status_code == 503
        assert send.ids("b").status_code == 400
        assert send.ids("c").status_code == 200
        summary = second.memory.summary()
    assert (summary["accepted"], summary["kept"], summary["duplicates"]) == (2, 1, 1)

    with Sandbox(journal=path) as third:
        assert third.memory.summary() == summary
        assert [sender(third).ids("a").status_code for _ in range(2)] == [200, 200]


def test_random_faults_go_on_where_the_earlier_process_stopped(
    tmp_path: Path, sender: Callable[[Sandbox], Any], faults: Callable[[], Any]
) -> None:
    with Sandbox(random_faults=faults()) as whole:
        at_once = [sender(whole).ids("a").status_code for _ in range(12)]
    in_parts = []
    for _ in range(3):
        with Sandbox(random_faults=faults(), journal=tmp_path / "journal") as part:
            in_parts += [sender(part).ids("a").status_code for _ in range(4)]
    assert in_parts == at_once
    assert set(at_once) == {200, 503}


@pytest.fixture
def faults() -> Callable[[], Any]:
    from tracking_pipeline.sandbox.stage import RandomFaults

    return lambda: RandomFaults(3, share_transient=0.5)


def test_the_journal_holds_no_match_key_and_no_personal_data(
    tmp_path: Path, sender: Callable[[Sandbox], Any], event: Callable[..., Any]
) -> None:
    path = tmp_path / "journal.ndjson"
    canary = "c0ffee" * 10 + "c0ff"
    with Sandbox(journal=path) as sandbox:
        good = event("a", user_data={"em": canary, "client_user_agent": "Canary/1.0"})
        raw = event("b", user_data={"em": "canary@example.com", "client_user_agent": "Canary/1.0"})
        assert sender(sandbox)(good).status_code == 200
        assert sender(sandbox)(raw).status_code == 400
    written = path.read_text()
    assert '"a"' in written
    for secret in (canary, "canary@example.com", "Canary/1.0", "token"):
        assert secret not in written
