"""What a reading of Google's later answers owes everybody else: the rate, the log, the breaker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tracking_pipeline.delivery.destinations.google.credentials import CredentialsError
from tracking_pipeline.delivery.destinations.google.outcomes import GoogleOutcomes
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.destinations.google.test_google_runs import (
    GoogleRuns,
    half_an_hour_goes_by,
    requests,
)
from tracking_pipeline_tests.delivery.failed_event_queue import Added, Queue
from tracking_pipeline_tests.delivery.runs import in_requests_of

SIGN_TERMS = "TERMS_AND_CONDITIONS_NOT_SIGNED"


@pytest.fixture
def google(database_url: str, sandbox: Sandbox) -> GoogleRuns:
    runs = GoogleRuns(database_url, sandbox)
    runs.behave(processing=False)
    return runs


@pytest.fixture
def add(queue: Queue) -> Callable[..., list[Added]]:
    """Adds events for Google."""
    return lambda count=1, **columns: queue.add(count, destination="google_ec", **columns)


def is_counted_alike(queue: Queue, sandbox: Sandbox, row: Added) -> bool:
    """Whether the log of attempts and the stand-in count the same requests for an event."""
    counted = sum(each["requests"] for each in queue.attempts(row))
    return bool(counted == sandbox.memory.requests_with(row.sent_as))


def test_a_search_keeps_to_the_rate_and_every_request_of_it_is_on_record(
    queue: Queue, google: GoogleRuns, sandbox: Sandbox, add: Any
) -> None:
    rows = add(32)
    google.run()
    google.behave(refused_later={rows[5].sent_as: "EVENT_TOO_OLD"})
    google.limits = replace(google.limits, requests_per_second=20)
    half_an_hour_goes_by(queue)

    totals = google.run()

    assert totals.requests == 16
    first, *parts = [request.at for request in sandbox.memory.requests][1:]
    # The first part's own way to the stand-in may have taken one of the 15 waits.
    assert parts[-1] - first >= 14 / 20 - 0.001
    assert all(is_counted_alike(queue, sandbox, row) for row in rows)
    for row in rows:
        assert [each["outcome"] for each in queue.attempts(row)] == ["delivered", "delivered"]
    assert queue.statuses() == {"resolved": 32}


@pytest.mark.parametrize(
    ("step", "expected"),
    [(503, ("retry", "ok")), (429, ("throttled", "throttled")), (401, ("paused", "paused"))],
)
def test_an_event_that_fails_when_it_is_sent_again_stays_delivered_and_is_on_record(
    queue: Queue, google: GoogleRuns, sandbox: Sandbox, step: int, expected: tuple[str, str]
) -> None:
    # In the order in which a search sends them.
    first, second = sorted(queue.add(2, destination="google_ec"), key=lambda row: row.id)
    google.run()
    google.behave(refused_later={second.sent_as: "EVENT_TOO_OLD"})
    sandbox.scripts.set(first.sent_as, [step])
    half_an_hour_goes_by(queue)

    state = google.read().state

    row = queue.row(first)
    assert (row["status"], row["retry_count"]) == ("resolved", 0)
    sent, again = queue.attempts(first)
    assert (again["outcome"], state) == expected
    assert (again["http_status"], again["requests"]) == (step, 1)
    assert again["run_id"] == "run-of-a-test"
    assert again["request_id"] not in (None, sent["request_id"])
    assert all(is_counted_alike(queue, sandbox, row) for row in (first, second))
    # What Google said of the two is no answer about this one.
    assert first.id in requests(queue)[0]["failed_event_ids"]


def test_an_event_that_is_refused_when_it_is_sent_again_has_that_request_on_record(
    queue: Queue, google: GoogleRuns, sandbox: Sandbox, add: Any
) -> None:
    rows = add(2)
    google.run()
    google.behave(refused_later={rows[0].sent_as: "INVALID_EVENT"})
    sandbox.scripts.set(rows[0].sent_as, ["bad"])
    half_an_hour_goes_by(queue)
    google.read()

    assert [each["outcome"] for each in queue.attempts(rows[0])] == ["delivered", "rejected"]
    assert queue.row(rows[0])["status"] == "dead_letter"
    assert all(is_counted_alike(queue, sandbox, row) for row in rows)


def test_an_accounts_fault_puts_events_back_unspent_and_opens_the_breaker(
    queue: Queue, google: GoogleRuns, add: Any
) -> None:
    (fresh,) = add()
    (worn,) = add(retry_count=4, status="retrying")
    google.run()
    rows = (fresh, worn)
    google.behave(refused_later={row.sent_as: SIGN_TERMS for row in rows})
    half_an_hour_goes_by(queue)

    totals = google.run()

    assert (totals.state, totals.requeued_later) == ("paused", 2)
    assert SIGN_TERMS in totals.detail
    found = [(queue.row(row)["status"], queue.row(row)["retry_count"]) for row in rows]
    assert found == [("pending", 0), ("retrying", 4)]
    for row in rows:
        last = queue.attempts(row)[-1]
        assert (last["outcome"], last["error_code"], last["requests"]) == ("paused", SIGN_TERMS, 0)
    assert queue.state("google_ec")["state"] == "open"
    assert [each["alert_type"] for each in queue.alerts()] == ["destination_paused"]


def test_an_accounts_fault_makes_of_a_first_attempt_a_failed_event_that_waits_unspent(
    queue: Queue, google: GoogleRuns
) -> None:
    (added,) = queue.accept(destination="google_ec")
    google.run()
    google.behave(refused_later={added.sent_as: SIGN_TERMS})
    half_an_hour_goes_by(queue)

    assert google.read().requeued == 1
    assert (queue.row(added)["status"], queue.row(added)["retry_count"]) == ("pending", 0)
    assert queue.accepted() == {}


def test_once_the_account_is_mended_its_events_go_by_themselves(
    queue: Queue, google: GoogleRuns, add: Any
) -> None:
    rows = add(3)
    google.run()
    google.behave(refused_later={row.sent_as: SIGN_TERMS for row in rows})
    half_an_hour_goes_by(queue)
    google.read()
    google.behave(refused_later={row.sent_as: None for row in rows})
    queue.connection.execute("update tracking_destination_state set probe_at = now()")

    assert google.run().resolved == 3
    half_an_hour_goes_by(queue)
    google.read()

    assert queue.statuses() == {"resolved": 3}
    assert queue.one("select max(retry_count) from tracking_failed_events") == 0


def test_no_other_request_is_read_while_the_account_is_at_fault(
    queue: Queue, google: GoogleRuns, add: Any
) -> None:
    rows = add(2)
    google.limits = in_requests_of(1)
    google.run()
    google.behave(refused_later={row.sent_as: SIGN_TERMS for row in rows})
    half_an_hour_goes_by(queue)

    assert google.read().checked == 1
    half_an_hour_goes_by(queue)
    assert google.read() == GoogleOutcomes()


def test_a_rate_limit_on_a_status_holds_the_destination_for_everybody(
    queue: Queue, google: GoogleRuns, sandbox: Sandbox, add: Any
) -> None:
    add(1)
    google.run()
    half_an_hour_goes_by(queue)
    sandbox.conditions["google_ec"].throttle(1, retry_after="300")

    found = google.read()

    assert (found.checked, found.unreadable, found.state) == (1, 1, "throttled")
    assert 290 < queue.state("google_ec")["throttled_seconds"] <= 300
    assert queue.statuses() == {"resolved": 1}


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_may_not_read_a_status_pauses_the_destination(
    queue: Queue, google: GoogleRuns, sandbox: Sandbox, add: Any, status: int
) -> None:
    add(2)
    google.limits = in_requests_of(1)
    google.run()
    half_an_hour_goes_by(queue)
    sandbox.conditions["google_ec"].outage(status)

    found = google.read()

    assert (found.checked, found.unreadable, found.state) == (1, 1, "paused")
    assert queue.state("google_ec")["state"] == "open"
    assert queue.statuses() == {"resolved": 2}


class NoToken:
    """Credentials that were revoked."""

    async def headers(self, refused: Any = None) -> dict[str, str]:
        raise CredentialsError("the refresh token was revoked")


def test_credentials_that_give_no_token_for_a_status_pause_the_destination(
    queue: Queue, google: GoogleRuns, add: Any
) -> None:
    add()
    google.run()
    google.credentials = NoToken()
    half_an_hour_goes_by(queue)

    found = google.read()

    assert (found.checked, found.state) == (0, "paused")
    assert "revoked" in queue.state("google_ec")["reason"]
