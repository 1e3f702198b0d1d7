"""The command line as others call it: a process, its exit status, and one JSON object."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tracking_pipeline.cli.demo import show_demo
from tracking_pipeline.cli.entry import main
from tracking_pipeline.cli.output import out
from tracking_pipeline.geo.mmdb import FILE_NAME
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, wait_until
from tracking_pipeline_tests.dev_process import COMMAND
from tracking_pipeline_tests.geo.databases import BERLIN, write_database
from tracking_pipeline_tests.geo.lead_table import LeadTable
from tracking_pipeline_tests.health.sinks import SECRET, webhook
from tracking_pipeline_tests.health.site import Site
from tracking_pipeline_tests.servers import TestServer, reachable_folder

README = Path(__file__).parents[2] / "README.md"
TIMEOUT_SECONDS = 120

Call = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., "subprocess.Popen[str]"]


TOMORROW = datetime.now(timezone.utc) + timedelta(days=1)


@pytest.fixture(scope="module")
def dagster_storage(server: TestServer) -> str:
    """One storage of Dagster for the file: it makes its tables once."""
    return server.create_database(f"dagster_{uuid4().hex}")


@pytest.fixture
def variables_of_all(dagster_storage: str, tmp_path: Path) -> dict[str, str]:
    home = str(tmp_path)
    return {"TRACKING_HOME": home, "HOME": home, "DAGSTER_POSTGRES_URL": dagster_storage}


@pytest.fixture
def start(variables_of_all: dict[str, str], tmp_path: Path) -> Start:
    """The command as a process of its own."""

    def start_one(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [COMMAND, *arguments],
            env={"PATH": os.environ["PATH"], **variables_of_all, **variables},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start_one


@pytest.fixture
def call_process(start: Start) -> Call:
    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        with start(*arguments, **variables) as process:
            try:
                output, errors = process.communicate(timeout=TIMEOUT_SECONDS)
            finally:
                process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    return run


@pytest.fixture
def call(
    variables_of_all: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Call:
    """The command in this process, which has paid for its imports already."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            patch.setattr(sys, "argv", ["tracking-pipeline", *arguments])
            for name, value in {**variables_of_all, **variables}.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as end:
                main()
        output, errors = capfd.readouterr()
        assert isinstance(end.value.code, int)
        return subprocess.CompletedProcess(arguments, end.value.code, output, errors)

    return run


def answer(process: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON object on standard output."""
    assert process.stdout.count("\n") == 1, process.stdout + process.stderr
    found: dict[str, Any] = json.loads(process.stdout)
    return found


@pytest.fixture
def variables(database_url: str, sandbox: Sandbox) -> dict[str, str]:
    return {
        "TRACKING_DATABASE_URL": database_url,
        "META_DATASET_ID": "123",
        "META_ACCESS_TOKEN": "token-for-tests",
        "META_GRAPH_URL": sandbox.meta_url,
    }


def test_retry_sends_what_is_due_and_leaves_a_run_behind(
    call: Call, call_process: Call, queue: Queue, sandbox: Sandbox, variables: dict[str, str]
) -> None:
    good, bad, late = queue.add_one(), queue.add_one(), queue.add_one(next_retry_at=TOMORROW)
    sandbox.scripts.set(bad.sent_as, ["bad"])
    process = call_process("retry", "--json", **variables)
    assert process.returncode == 0, process.stderr
    totals = answer(process)
    expected = {
        "success": True,
        "processed": 2,
        "resolved": 1,
        "failed": 0,
        "dead_lettered": 1,
        "throttled": 0,
        "paused": 0,
    }
    assert {key: totals[key] for key in expected} == expected
    assert totals["by_destination"]["meta_capi"]["processed"] == 2
    assert [queue.row(row)["status"] for row in (good, bad, late)] == [
        "resolved",
        "dead_letter",
        "pending",
    ]
    assert (totals["withheld"], totals["withheld_by_reason"], totals["postponed"]) == (0, [], 0)
    status = answer(call("status", "--json", **variables))
    assert totals["run_id"] in [run["run_id"] for run in status["last_runs"]]
    assert status["queue"]["waiting"] == 1
    assert status["withheld"] == {"last_day": 0, "last_week": 0, "by_reason": []}
    assert status["destinations"]["google_ec"]["state"] == "not_configured"


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_a_retry_that_is_told_to_stop_hands_back_what_it_holds_and_loses_no_lease(
    start: Start,
    queue: Queue,
    sandbox: Sandbox,
    variables: dict[str, str],
    interrupt: signal.Signals,
) -> None:
    rows = queue.add(5)
    queue.accept(5)
    sandbox.conditions["meta_capi"].outage("timeout")

    with start("retry", "--json", **variables) as process:
        wait_until(lambda: sandbox.memory.requests, TIMEOUT_SECONDS)
        process.send_signal(interrupt)
        output, _ = process.communicate(timeout=TIMEOUT_SECONDS)

    assert process.returncode == 130, output
    assert json.loads(output)["error"].startswith("interrupted; nothing is lost")
    for row in [*map(queue.row, rows), *queue.accepted().values()]:
        assert (row["lease_expires_at"], row["lease_losses"]) == (None, 0)
    assert queue.statuses() == {"pending": 5}
    assert len(queue.accepted()) == 5


def test_all_takes_what_is_not_due_and_event_id_takes_one(
    call: Call, queue: Queue, sandbox: Sandbox, variables: dict[str, str]
) -> None:
    first, second = queue.add(2, next_retry_at=TOMORROW)
    assert (
        answer(call("retry", "--json", "--event-id", str(first.id), **variables))["resolved"] == 1
    )
    assert sandbox.memory.accepted_ids == {first.sent_as}
    assert answer(call("retry", "--all", "--json", **variables))["resolved"] == 1
    assert sandbox.memory.accepted_ids == {first.sent_as, second.sent_as}


def test_an_accepted_event_that_was_just_delivered_is_not_said_to_be_missing(
    call: Call, queue: Queue, sandbox: Sandbox, variables: dict[str, str]
) -> None:
    event = str(queue.accept_one().event_id)
    process = call("retry", "--json", "--event-id", event, **variables)
    assert answer(process)["accepted_delivered"] == 1
    assert "No waiting event" not in process.stderr
    assert "No waiting event" in call("retry", "--json", "--event-id", event, **variables).stderr


def test_replay_counts_first_and_then_puts_dead_letters_back(
    call: Call, queue: Queue, variables: dict[str, str], tmp_path: Path
) -> None:
    columns = {"status": "dead_letter", "dead_letter_reason": "max_retries"}
    row, other = queue.add_one(**columns), queue.add_one(**columns, event_name="Purchase")
    rules = tmp_path / "rules.yaml"
    rules.write_text("- {set: $.currency, value: USD}\n")
    arguments = ("replay", "--json", "--reason", "retries", "--event-name", "Lead")
    arguments += ("--repair", str(rules))
    found = answer(call(*arguments, "--dry-run", **variables))
    assert (found["success"], found["matched"], found["replayed"]) == (True, 1, 0)
    assert found["by_reason"] == {"max_retries": 1}
    assert found["repairs"] == [{"rule": 1, "change": '$.currency: missing -> "USD"', "events": 1}]
    assert queue.row(row)["status"] == "dead_letter"
    assert answer(call(*arguments, **variables))["replayed"] == 1
    assert [queue.row(each)["status"] for each in (row, other)] == ["pending", "dead_letter"]
    assert queue.row(row)["event_payload"]["currency"] == "USD"
    people = call("replay", "--dry-run", **variables)
    assert people.returncode == 0, people.stderr
    assert "Replay (dry run)" in people.stdout


def test_backfill_counts_first_and_then_hands_over(
    call: Call, queue: Queue, variables: dict[str, str]
) -> None:
    queue.connection.execute(
        "insert into wm_event_log (event_id, event_name, event_type, user_data) values"
        " (gen_random_uuid(), 'Lead', 'conversion', '{\"em\": \"jane@example.com\"}')"
    )
    arguments = ("backfill", "--destination", "meta_capi", "--since", "2026-01-01", "--json")
    found = answer(call(*arguments, "--dry-run", **variables))
    assert (found["success"], found["matched"], found["handed_over"]) == (True, 1, 0)
    assert queue.statuses() == {}
    handed = answer(call(*arguments, **variables))
    assert (handed["handed_over"], handed["withheld"]) == (1, 0)
    assert queue.statuses() == {"pending": 1}
    people = call(*arguments[:-1], **variables)
    assert people.returncode == 0, people.stderr
    assert "0 conversions that meta_capi has never seen" in people.stdout
    closed = call(*arguments[:2], "reddit_capi", *arguments[3:], **variables)
    assert closed.returncode == 1
    assert "REDDIT_PIXEL_ID" in closed.stderr


def test_enrich_fills_in_places_and_leaves_a_run_behind(
    call: Call, connection: psycopg.Connection, database_url: str, tmp_path: Path
) -> None:
    file = write_database(tmp_path / "places.mmdb", {"81.2.70.0/24": BERLIN})
    variables = {"TRACKING_DATABASE_URL": database_url, "GEO_MMDB_PATH": str(file)}
    leads = LeadTable(connection)
    first = leads.add(client_ip="81.2.70.7")
    leads.add(city="Miami", state="Florida", zip="33130")
    found = answer(call("enrich", "--dry-run", "--json", **variables))
    assert (found["dry_run"], found["examined"], found["enriched"]) == (True, 2, 1)
    assert leads.row(first)["geo_status"] is None
    found = answer(call("enrich", "--json", **variables))
    expected = {"success": True, "examined": 2, "enriched": 1, "skipped": 1}
    assert {key: found[key] for key in expected} == expected
    assert found["by_source"] == {"mmdb": 1}
    assert leads.place(first)[0] == "Berlin"
    status = answer(call("status", "--json", **variables))
    assert found["run_id"] in [run["run_id"] for run in status["last_runs"]]
    assert status["geo"]["new"] == 0
    assert status["geo"]["with_address_percent"] == 50.0
    people = call("enrich", "--recheck-failed", "--limit", "5", **variables)
    assert people.returncode == 0, people.stderr
    assert "Enrichment run" in people.stdout


def test_prune_deletes_what_is_old_and_leaves_a_run_behind(
    call: Call, connection: psycopg.Connection, database_url: str
) -> None:
    connection.execute(
        "insert into tracking_health_snapshots (check_id, metric, value, taken_at)"
        " select gen_random_uuid(), 'queue_depth', 1, now() - make_interval(days => days)"
        " from unnest(array[1, 20, 30]) as days"
    )
    variables = {"TRACKING_DATABASE_URL": database_url, "SNAPSHOT_RETENTION_DAYS": "10"}
    found = answer(call("prune", "--json", **variables))
    assert (found["success"], found["done"], found["deleted"]["snapshots"]) == (True, True, 2)
    status = answer(call("status", "--json", **variables))
    assert found["run_id"] in [run["run_id"] for run in status["last_runs"]]
    assert "0 snapshots deleted" in call("prune", **variables).stdout


def test_absent_sources_of_places_are_a_result_and_no_failure(
    call: Call, connection: psycopg.Connection, database_url: str
) -> None:
    LeadTable(connection).add(client_ip="81.2.70.7")
    process = call("enrich", "--json", TRACKING_DATABASE_URL=database_url)
    assert process.returncode == 0, process.stderr
    found = answer(process)
    assert (found["enriched"], found["waiting"]) == (0, 1)
    assert found["missing"]["ipinfo"] == "set IPINFO_TOKEN"


def test_geo_update_tells_the_database_that_is_in_place(call: Call, tmp_path: Path) -> None:
    (tmp_path / "geo").mkdir()
    today = datetime.now(timezone.utc).date()
    file = write_database(tmp_path / "geo" / FILE_NAME, {"81.2.70.0/24": BERLIN}, built=today)
    found = answer(call("geo", "update", "--json", TRACKING_HOME=str(tmp_path)))
    assert found == {
        "success": True,
        "path": str(file),
        "build_date": today.isoformat(),
        "downloaded": False,
    }


def test_missing_settings_are_a_result_and_no_failure(
    call: Call, queue: Queue, database_url: str
) -> None:
    row = queue.add_one()
    process = call("retry", "--json", TRACKING_DATABASE_URL=database_url)
    assert process.returncode == 0, process.stderr
    meta = answer(process)["by_destination"]["meta_capi"]
    assert meta["state"] == "not_configured"
    assert meta["detail"] == "set META_DATASET_ID and META_ACCESS_TOKEN"
    assert queue.row(row)["retry_count"] == 0
    assert queue.row(row)["status"] == "pending"


@pytest.mark.parametrize(
    "arguments",
    [
        ("bogus",),
        ("retry", "--event-id", "nonsense"),
        ("retry", "--destination", "tiktok"),
        ("retry", "--time-budget", "0"),
        ("enrich", "--limit", "-1"),
        ("geo", "bogus"),
        ("replay", "--since", "yesterday"),
        ("backfill", "--destination", "meta_capi"),
        ("backfill", "--since", "2026-11-01"),
        ("backfill", "--destination", "supabase", "--since", "2026-11-01"),
        ("backfill", "--destination", "meta_capi", "--since", "yesterday"),
        ("replay", "--id", "nonsense"),
        ("replay", "--exact"),
        ("replay", "--repair", os.devnull),
        ("replay", "--repair", "not-there.yaml"),
        ("import", "not-there.ndjson", "--into", "leads"),
        ("import", "--into", "leads"),
        ("dev", "--port", "99999"),
        (),
    ],
)
def test_wrong_use_exits_with_2_and_says_why(arguments: tuple[str, ...], call: Call) -> None:
    process = call(*arguments)
    assert process.returncode == 2
    told = process.stdout + process.stderr
    assert told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("retri",), "Did you mean 'retry'?"),
        (("retry", "--jsn"), "--json"),
        (("retry", "--destination", "meta"), "meta_capi"),
    ],
)
def test_wrong_use_names_the_right_one(arguments: tuple[str, ...], told: str, call: Call) -> None:
    assert told in call(*arguments).stderr


@pytest.mark.parametrize(
    "arguments",
    [("digest", "--html"), ("import", "events.csv", "--into", "failed-events", "--rejects")],
)
@pytest.mark.parametrize("name", ["pipe", "link"])
def test_only_a_regular_file_is_replaced_by_one_that_is_written(
    arguments: tuple[str, ...], name: str, call: Call, tmp_path: Path
) -> None:
    # As /dev/null and /dev/stdout are, which root would replace.
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "events.csv").write_text("event_name\nLead\n")

    process = call(*arguments, str(tmp_path / name))

    assert process.returncode == 2
    assert "is not a regular file" in process.stderr
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("arguments", [("--version",), ("-h",), ("retry", "-h"), ("geo", "-h")])
def test_who_asks_is_told_on_standard_output(arguments: tuple[str, ...], call: Call) -> None:
    process = call(*arguments)
    assert process.returncode == 0
    assert process.stdout.startswith(("tracking-pipeline 0.", "Usage: "))
    assert process.stderr == ""


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_who_reads_no_more_is_no_failure(
    start: Start, variables: dict[str, str], options: tuple[str, ...]
) -> None:
    with start("status", *options, **variables) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
        status = process.wait(TIMEOUT_SECONDS)
    assert (status, errors) == (128 + signal.SIGPIPE, "")


def test_a_disk_that_is_full_is_one_line(
    variables_of_all: dict[str, str], variables: dict[str, str]
) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [COMMAND, "status", "--json"],
            env={"PATH": os.environ["PATH"], **variables_of_all, **variables},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "error: No space left on device\n"


def test_wrong_use_is_an_object_for_whoever_asked_for_one(call_process: Call) -> None:
    process = call_process("retry", "--json", "--destination", "nowhere")
    assert process.returncode == 2
    assert answer(process)["success"] is False


def test_a_setting_of_the_wrong_form_is_wrong_use(call: Call) -> None:
    process = call("retry", "--json", TRACKING_DATABASE_URL="mysql://u:s3cret@h/d")
    assert process.returncode == 2
    found = answer(process)
    assert found["success"] is False
    assert found["error"].startswith("TRACKING_DATABASE_URL")
    assert "s3cret" not in process.stdout + process.stderr


def test_a_database_that_is_not_there_is_failed_work(call: Call) -> None:
    process = call("retry", "--json", TRACKING_DATABASE_URL="postgresql://u:s3cret@127.0.0.1:1/d")
    assert process.returncode == 1
    assert answer(process)["success"] is False
    assert "s3cret" not in process.stdout + process.stderr
    assert "Traceback" not in process.stderr


def test_migrate_makes_the_tables_once(call: Call, server: TestServer) -> None:
    name = f"cli_{uuid4().hex}"
    url = server.create_database(name)
    first = answer(call("migrate", "--json", TRACKING_DATABASE_URL=url))
    assert first["success"] is True
    assert any("tracking_failed_events" in step for step in first["applied"])
    assert answer(call("migrate", "--json", TRACKING_DATABASE_URL=url))["applied"] == []
    not_migrated = server.create_database(f"{name}_b")
    process = call("retry", "--json", TRACKING_DATABASE_URL=not_migrated)
    assert process.returncode == 1
    assert "tracking-pipeline migrate" in answer(process)["error"]


def test_what_only_reads_makes_nothing_where_nothing_is(call: Call, tmp_path: Path) -> None:
    home = tmp_path / "fresh"

    told = answer(call("status", "--json", TRACKING_HOME=str(home)))
    assert "tracking-pipeline demo" in told["message"]
    assert told["last_runs"] == []
    assert call("status", TRACKING_HOME=str(home)).stdout.count("TRACKING_DATABASE_URL") == 1
    explained = call("explain", "an-order", TRACKING_HOME=str(home))
    assert explained.returncode == 1
    assert "nothing is here yet" in explained.stderr
    assert not home.exists()


def test_on_a_terminal_migrate_asks_before_it_adopts_rows_of_others(
    server: TestServer, variables_of_all: dict[str, str], tmp_path: Path
) -> None:
    name = f"cli_{uuid4().hex}"
    url = server.create_database(name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table leads (id uuid); insert into leads default values")
    terminal, of_the_command = pty.openpty()
    with subprocess.Popen(
        [COMMAND, "migrate"],
        env={"PATH": os.environ["PATH"], **variables_of_all, "TRACKING_DATABASE_URL": url},
        cwd=tmp_path,
        stdin=of_the_command,
        stdout=subprocess.PIPE,
        stderr=of_the_command,
    ) as process:
        os.write(terminal, b"n\n")
        assert process.wait(TIMEOUT_SECONDS) == 1
    told = os.read(terminal, 4096).decode()

    assert f"Database: {name} on 127.0.0.1" in told
    assert "leads: adopt" in told
    assert "nothing was changed" in told


def test_import_keeps_good_lines_and_tells_bad_ones_by_number(
    call: Call, connection: psycopg.Connection, variables: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "events.ndjson"
    file.write_text(
        '{"event_name": "Lead", "event_id": "abc", "email": "emily@example.com"}\n'
        "not json\n"
        '{"event_name": "Lead", "email": "john@example.com"}\n'
    )
    arguments = ("import", str(file), "--into", "failed-events", "--destination", "meta_capi")
    found = answer(call(*arguments, "--json", **variables))
    assert (found["imported"], found["rejected"]) == (2, 1)
    assert [problem["line"] for problem in found["problems"]] == [2]
    assert answer(call(*arguments, "--json", **variables))["imported"] == 0
    assert answer(call("retry", "--json", **variables))["resolved"] == 2


def test_check_tells_metrics_and_alerts_and_leaves_a_run_behind(
    call: Call, connection: psycopg.Connection, variables: dict[str, str]
) -> None:
    site = Site(connection)
    site.add_events(30)
    site.add_failed(12)
    refused = {"status": "resolved", "withheld_reason": "consent denied"}
    site.add_failed(3, **refused, resolved_at=site.ago(hours=30))
    found = answer(call("check", "--json", **variables))
    assert found["success"] is True
    assert found["metrics"]["emq_score"] == 4.5
    assert found["metrics"]["queue_depth"] == 12
    assert found["metrics"]["geo_coverage"] is None
    assert (found["alerts_created"], found["alerts_resolved"]) == (3, 0)
    assert len(found["active_alerts"]) == 3
    status = answer(call("status", "--json", **variables))
    assert found["run_id"] in [run["run_id"] for run in status["last_runs"]]
    assert status["health"]["status"] == "critical"
    assert status["health"]["metrics"]["queue_depth"]["level"] == "critical"
    assert status["health"]["stalled"] is False
    people = call("status", **variables).stdout
    assert "Tracking is critical: error_rate_critical, failed_events_critical." in people
    assert status["withheld"] == {
        "last_day": 0,
        "last_week": 3,
        "by_reason": [
            {
                "destination": "meta_capi",
                "reason": "consent denied",
                "last_day": 0,
                "last_week": 3,
            }
        ],
    }
    assert re.search(r"0 +│ +3 │ meta_capi +│ consent denied", people)


def test_destinations_are_asked_and_the_exit_status_says_whether_all_let_events_in(
    call: Call, sandbox: Sandbox, variables: dict[str, str]
) -> None:
    process = call("test-destinations", "--json", **variables)
    assert process.returncode == 0, process.stderr
    found = answer(process)
    assert found["success"] is True
    states = {each["destination"]: each["state"] for each in found["results"]}
    assert (states["meta_capi"], states["google_ec"]) == ("ok", "not_configured")
    assert sandbox.memory.accepted_ids == set()

    sandbox.conditions["meta_capi"].outage({"status": 400, "code": 190})
    process = call("test-destinations", "--json", "--destination", "meta_capi", **variables)
    assert process.returncode == 1
    (meta,) = answer(process)["results"]
    assert (meta["state"], meta["error_code"]) == ("refused", "190")
    assert meta["failure_code"] == "META_TOKEN_REFUSED"
    assert meta["remedy"]
    assert "token-for-tests" not in process.stdout + process.stderr
    people = call("test-destinations", "--destination", "meta_capi", **variables)
    assert people.returncode == 1
    assert "refused" in people.stdout
    assert call("test-destinations", "--destination", "nobody", **variables).returncode == 2


def test_status_notices_that_checks_no_longer_come(
    call: Call, connection: psycopg.Connection, variables: dict[str, str]
) -> None:
    before = answer(call("status", "--json", **variables))["health"]
    assert (before["checked_at"], before["stalled"]) == (None, False)
    assert before["reason"] == "no health check has run yet"
    answer(call("check", "--json", **variables))
    Site(connection).let_pass(hours=2)
    found = answer(call("status", "--json", **variables))
    assert found["health"]["stalled"] is True
    assert [alert["alert_type"] for alert in found["alerts"]] == ["pipeline_stalled"]
    assert "8 health checks did not come" in call("status", **variables).stdout


def test_a_check_from_cron_tells_its_alerts_and_who_takes_none_is_seen(
    call: Call, connection: psycopg.Connection, variables: dict[str, str]
) -> None:
    Site(connection).add_failed(11)
    with webhook() as hook:
        variables = {**variables, "ALERT_CHANNELS": f"json://127.0.0.1:1/{SECRET},{hook.url}"}
        found = answer(call("check", "--json", **variables))
        assert found["notifications"] == {"sent": 1, "failed": 1, "waiting": 1}
        assert len(hook.titles) == 1
    for each in (found, answer(call("status", "--json", **variables))):
        (silent,) = each["undelivered_alerts"]
        assert (silent["position"], silent["waiting"]) == (1, 1)
        assert silent["channel"].startswith("json-")
    people = call("status", **variables).stdout
    assert "Channel 1 of ALERT_CHANNELS" in people
    assert SECRET not in people


def test_heal_is_one_pass_of_the_whole_loop(
    call: Call, queue: Queue, variables: dict[str, str]
) -> None:
    row = queue.add_one()
    found = answer(call("heal", "--json", **variables))
    assert list(found) == ["success", "retry", "enrich", "check"]
    assert all(found[name]["success"] is True for name in ("retry", "enrich", "check"))
    assert found["retry"]["resolved"] == 1
    assert queue.row(row)["status"] == "resolved"
    # What was healed before the check is no trouble any more.
    assert found["check"]["metrics"]["queue_depth"] == 0
    people = call("heal", **variables)
    assert people.returncode == 0, people.stderr
    assert "Tracking is healthy" in people.stdout


def test_the_demo_shows_resolved_retrying_and_dead_lettered_events(
    call_process: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    embedded = {"TRACKING_HOME": str(reachable_folder()), "DAGSTER_POSTGRES_URL": ""}
    process = call_process("demo", "--json", **embedded)
    assert process.returncode == 0, process.stderr
    found = answer(process)
    assert found["retry"]["resolved"] > 50
    assert found["retry"]["failed"] > 0
    assert found["retry"]["dead_lettered"] > 10
    coverage = found["geo_coverage"]
    assert coverage["with_city_percent"] > coverage["before_city_percent"] + 20
    assert found["enrich"]["by_source"].keys() == {"ip_api", "session"}
    reasons = {each["reason"] for each in found["status"]["queue"]["dead_letters_by_reason"]}
    assert "expired" in reasons
    assert len(reasons) >= 4
    assert found["check"]["metrics"]["emq_score"] < 7
    emq = next(a for a in found["check"]["active_alerts"] if a["alert_type"] == "emq_critical")
    assert "browser id (fbp) fell" in emq["message"]

    # What the README shows of it, cut short.
    monkeypatch.setattr(out, "width", 80)
    show_demo(found)
    shown = {_without_times(line) for line in capsys.readouterr().out.splitlines()}
    (example,) = re.findall(
        r"\$ make demo\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL
    )
    cut = [_without_times(line) for line in example.splitlines() if line != "..."]
    assert [line for line in cut if line not in shown] == []


def _without_times(line: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", line.rstrip())


def test_people_get_tables(call: Call, queue: Queue, variables: dict[str, str]) -> None:
    queue.add()
    process = call("retry", **variables)
    assert "Retry run" in process.stdout
    assert "meta_capi" in process.stdout
    assert call("status", **variables).returncode == 0
