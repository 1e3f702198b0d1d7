"""Planted canaries: no raw identifier and no secret comes out, but in the request itself."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable

import psycopg
import pytest

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.sandbox.steps import RawStep
from tracking_pipeline.store.database import DatabaseError
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, payload
from tracking_pipeline_tests.delivery.runs import SECRET, TOKEN, Runs, in_requests_of

EMAIL = "canary.person@example.com"
PHONE = "+1 (415) 555-0132"
NAME = "Canarisha"
CANARIES = (EMAIL, "canary.person", PHONE, "415) 555-0132", "4155550132", NAME, TOKEN, SECRET)

PERSON = payload(EMAIL, phone=PHONE, first_name=NAME, custom_data={"note": f"call {PHONE}"})
QUOTING = f"Invalid user {EMAIL} ({PHONE}), access_token={TOKEN}"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that any library says, as an operator who searches for a fault would log it."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpx_aiohttp", "aiohttp", "psycopg", "psycopg.pool", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def _assert_no_canary(texts: Iterable[object], *, in_: str) -> None:
    whole = "\n".join(map(str, texts)).lower()
    found = [canary for canary in CANARIES if canary.lower() in whole]
    assert not found, f"canaries in {in_}"


def _stored(queue: Queue) -> list[object]:
    """What the pipeline itself wrote; the payload is the site's own."""
    columns = "error_message, error_code, dead_letter_reason, resolved_by"
    return [
        queue.read(f"select {columns} from tracking_failed_events"),
        queue.read("select * from tracking_delivery_attempts"),
        queue.read("select * from tracking_destination_state"),
        queue.alerts(),
    ]


def test_a_canary_is_found_where_there_is_one() -> None:
    with pytest.raises(AssertionError):
        _assert_no_canary([f"to {EMAIL.upper()}"], in_="a text")


def test_no_identifier_and_no_secret_comes_out_of_a_drain(
    queue: Queue, runs: Runs, sandbox: Sandbox, logged: pytest.LogCaptureFixture
) -> None:
    rows = queue.add(8, event_payload=PERSON, user_data={"email": EMAIL, "phone": PHONE})
    queue.add(2, event_payload=PERSON, destination="supabase")
    queue.add(1, event_payload={"event_name": EMAIL, "email": "no address", "value": PHONE})
    runs.limits = in_requests_of(1)
    steps: tuple[RawStep, ...] = (
        {"status": 500, "code": 1, "message": QUOTING},
        {"status": 400, "code": 100, "message": QUOTING},
        "reset",
        "html",
        "broken_json",
        {"status": 503, "retry_after": PHONE, "message": QUOTING},
    )
    for row, step in zip(rows, steps, strict=False):
        sandbox.scripts.set(row.sent_as, [step])

    totals = runs.run()

    assert (totals.total("failed"), totals.total("dead_lettered")) == (5, 2)
    _assert_no_canary([totals, totals.as_json()], in_="the totals")
    _assert_no_canary(_stored(queue), in_="the tables")
    _assert_no_canary((record.getMessage() for record in logged.records), in_="the log")
    _assert_no_canary(runs.urls, in_="a URL")
    assert runs.urls
    assert not sandbox.memory.violations


@pytest.mark.parametrize("code", [190, 4])
def test_no_identifier_and_no_secret_is_in_the_reason_of_a_pause_or_a_throttle(
    queue: Queue, runs: Runs, sandbox: Sandbox, logged: pytest.LogCaptureFixture, code: int
) -> None:
    queue.add(3, event_payload=PERSON)
    sandbox.conditions["meta_capi"].outage({"status": 400, "code": code, "message": QUOTING})

    totals = runs.run()

    assert totals.by_destination["meta_capi"].state in ("paused", "throttled")
    _assert_no_canary([totals, totals.as_json()], in_="the totals")
    _assert_no_canary(_stored(queue), in_="the tables")
    _assert_no_canary((record.getMessage() for record in logged.records), in_="the log")


def test_no_row_is_quoted_when_the_database_refuses_a_settle(
    queue: Queue, runs: Runs, logged: pytest.LogCaptureFixture
) -> None:
    queue.add(3, event_payload=PERSON)
    queue.connection.execute(
        "alter table tracking_failed_events add constraint site_rule check (status <> 'resolved')"
    )

    totals = runs.run()

    said = [record.getMessage() for record in logged.records]
    assert "an event cannot be settled (SQLSTATE 23514)" in said
    _assert_no_canary([totals, totals.as_json()], in_="the totals")
    _assert_no_canary(said, in_="the log")


def test_no_row_is_quoted_by_the_error_that_ends_a_run(
    queue: Queue, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.add(3, event_payload=PERSON)
    # A claim that the table does not take: its error has the whole row in its detail.
    queue.connection.execute(
        "alter table tracking_failed_events add constraint site_rule"
        " check (lease_expires_at is null)"
    )
    with pytest.raises(psycopg.errors.CheckViolation) as plain:
        queue.connection.execute("update tracking_failed_events set lease_expires_at = now()")
    assert EMAIL in str(plain.value)

    with pytest.raises(DatabaseError) as failure:
        runs.run()

    assert "23514" in str(failure.value)
    _assert_no_canary(traceback.format_exception(failure.value), in_="the exception")


def test_no_secret_is_in_the_text_of_what_holds_it(runs: Runs) -> None:
    _assert_no_canary([runs.account], in_="a repr")
