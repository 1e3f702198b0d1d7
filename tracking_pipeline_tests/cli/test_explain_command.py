"""``tracking-pipeline explain`` as others call it: a process, its exit status, one JSON object."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, payload
from tracking_pipeline_tests.dev_process import COMMAND
from tracking_pipeline_tests.importing.writing import encoded

TOKEN = "EAAcanaryTOKENcanary0123456789"
EMAIL = "canary.person@example.com"
PURCHASE = {
    "event_name": "Purchase",
    "email": EMAIL,
    "phone": "+1 (415) 555-0132",
    "client_user_agent": "Mozilla/5.0 (canary-machine)",
    "order_id": "A-1",
    "value": "$1,299.00",
    "currency": "USD",
}

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Runs the verb without any setting: no database is there to be asked."""

    def run(
        *arguments: str, given: str | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TRACKING_HOME": str(tmp_path / "home"),
            "COLUMNS": "160",
            **variables,
        }
        return subprocess.run(
            [COMMAND, "explain", *arguments],
            env=environment,
            cwd=tmp_path,
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def into(name: str, *lines: Any) -> str:
        (tmp_path / name).write_bytes(b"".join(map(encoded, lines)))
        return name

    return into


def answer(process: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert process.stdout.count("\n") == 1, process.stdout + process.stderr
    found: dict[str, Any] = json.loads(process.stdout)
    return found


def assert_told_nothing(process: subprocess.CompletedProcess[str]) -> None:
    said = (process.stdout + process.stderr).lower()
    for canary in (EMAIL, "canary.person", "5550132", "555-0132", "canary-machine", TOKEN):
        assert canary.lower() not in said


def test_a_file_is_explained_where_nothing_is_configured(
    call: Call, write: Callable[..., str], tmp_path: Path
) -> None:
    row = {"destination": "google_ec", "event_payload": PURCHASE, "event_name": "purchase"}
    process = call("--file", write("events.ndjson", PURCHASE, row, "[1]\n"), "--json")
    assert process.returncode == 0, process.stderr
    found = answer(process)
    assert (found["success"], found["rehearsal"], found["more"]) == (True, True, False)
    bare, stored = found["events"]
    outcomes = {each["name"]: each["outcome"] for each in bare["destinations"]}
    assert outcomes == dict.fromkeys(DESTINATIONS, "would_be_sent")
    assert [each["name"] for each in stored["destinations"] if each["own"]] == ["google_ec"]
    assert (bare["row"]["line"], bare["row"]["destination"]) == (1, None)
    assert bare["fields"]["value"]["value"] == 1299.0
    assert [each["line"] for each in found["problems"]] == [3]
    assert "line 3: not a JSON object" in process.stderr
    assert_told_nothing(process)
    # Nothing was started or stored for it.
    assert not (tmp_path / "home").exists()


def test_standard_input_and_csv_are_read_as_an_import_reads_them(
    call: Call, write: Callable[..., str]
) -> None:
    given = json.dumps({"payload": {**PURCHASE, "consent": "denied"}}) + "\n"
    found = answer(call("--file", "-", "--destination", "meta_capi", "--json", given=given))
    (meta,) = found["events"][0]["destinations"]
    assert (meta["outcome"], meta["reason"]) == ("withheld", "consent denied")
    assert meta["message"] == "consent denied (payload.consent)"
    table = write("events.csv", "event_name,email,order id\nLead,a@example.com,A-7\n")
    found = answer(call("--file", table, "--json"))
    assert found["events"][0]["fields"]["order_id"]["value"] == "A-7"


def test_people_get_tables(call: Call, write: Callable[..., str]) -> None:
    process = call("--file", write("events.ndjson", PURCHASE))
    assert process.returncode == 0, process.stderr
    for words in ("What is read", "Consent", "Match keys", "meta_capi: would be sent", "e…@…"):
        assert words in process.stdout or words == "e…@…"
    assert_told_nothing(process)


def test_what_is_configured_is_asked_and_no_secret_is_told(
    call: Call, write: Callable[..., str]
) -> None:
    variables = {
        "META_DATASET_ID": "123",
        "META_ACCESS_TOKEN": TOKEN,
        "META_APP_SECRET": TOKEN,
        "GTM_SERVER_URL": "https://sgtm.example.com",
        "GTM_SERVER_PROTOCOL": "measurement_protocol",
        "GTM_MEASUREMENT_ID": "G-1",
        "GTM_API_SECRET": TOKEN,
        "CONSENT_DEFAULT": "denied",
    }
    said = {**PURCHASE, "access_token": TOKEN, "headers": {"authorization": f"Bearer {TOKEN}"}}
    process = call("--file", write("events.ndjson", said), "--json", **variables)
    found = answer(process)
    outcomes = {each["name"]: each["outcome"] for each in found["events"][0]["destinations"]}
    assert outcomes == {
        **dict.fromkeys(DESTINATIONS, "not_configured"),
        "meta_capi": "withheld",
        "gtm_server": "withheld",
        "supabase": "would_be_sent",
    }
    assert found["rehearsal"] is False
    assert_told_nothing(process)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ((), "name an event by an id, or events by --file"),
        (("some-id", "--file", "events.ndjson"), "leave one of them out"),
        ((" ",), "the id is empty"),
        (("--file", "missing.ndjson"), "missing.ndjson is no file: name one that can be read"),
        (("--file", "."), "is no file"),
        (("--file", "workbook.csv"), "save it as CSV"),
        (("--file", "empty.ndjson"), "there is no event in empty.ndjson"),
        (("some-id", "--destination", "nowhere"), "'nowhere' is not one of 'meta_capi'"),
    ],
)
def test_wrong_use_is_told_in_a_line_with_the_remedy(
    call: Call, write: Callable[..., str], arguments: tuple[str, ...], remedy: str
) -> None:
    write("events.ndjson", PURCHASE)
    write("workbook.csv", b"PK\x03\x04xl")
    write("empty.ndjson", "\n")
    process = call(*arguments, "--json")
    assert process.returncode == 2
    assert remedy in process.stderr
    assert answer(process)["success"] is False


def test_an_id_is_explained_from_the_database(
    call: Call, connection: psycopg.Connection, database_url: str
) -> None:
    queue = Queue(connection)
    row = queue.add_one(event_payload={**payload(EMAIL), "order_id": "A-1"})
    variables = {
        "TRACKING_DATABASE_URL": database_url,
        "META_DATASET_ID": "123",
        "META_ACCESS_TOKEN": TOKEN,
    }
    for wanted in (str(row.id), str(row.event_id), "A-1"):
        process = call(wanted, "--json", **variables)
        assert process.returncode == 0, process.stderr
        (event,) = answer(process)["events"]
        assert event["row"]["id"] == str(row.id)
        assert event["destinations"][0]["outcome"] == "would_be_sent"
        assert_told_nothing(process)
    process = call(str(row.id), **variables)
    assert "tracking_failed_events" in process.stdout
    assert queue.row(row)["lease_token"] == 0
    process = call("nobody's", "--json", **variables)
    assert (process.returncode, answer(process)["success"]) == (1, False)
    assert "no event, order or lead has this id" in process.stderr


def test_a_database_that_is_away_is_work_that_failed(call: Call) -> None:
    away = {"TRACKING_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}
    process = call("some-id", "--json", **away)
    assert process.returncode == 1
    assert "cannot connect to database" in answer(process)["error"]
