"""Google as a destination of real runs, and what becomes later of the events that it accepted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import psycopg
import pytest

from tracking_pipeline.delivery.destinations.google.credentials import AccessToken
from tracking_pipeline.delivery.destinations.google.enhanced_conversions import (
    GoogleAccount,
    GoogleEc,
)
from tracking_pipeline.delivery.destinations.google.outcomes import (
    GoogleOutcomes,
    read_google_outcomes,
)
from tracking_pipeline.delivery.destinations.google.request_status import (
    RequestStatus,
    read_request_status,
)
from tracking_pipeline.delivery.engine.destination import Destination
from tracking_pipeline.delivery.engine.retry import RetryRequest, retry_failed_events
from tracking_pipeline.delivery.engine.totals import DestinationTotals
from tracking_pipeline.http_client import Answer, http_client
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.database import AsyncPool, connection_pool
from tracking_pipeline.store.google_requests import MOST_CHECKS, count_duplicates
from tracking_pipeline_tests.delivery.failed_event_queue import Added, Queue, payload
from tracking_pipeline_tests.delivery.runs import in_requests_of

TOKEN = "ya29.canaryTOKENcanary0123456789"


class Renewing:
    """Credentials that have a second token once the first is refused."""

    async def headers(self, refused: Any = None) -> dict[str, str]:
        return {"authorization": "Bearer second" if refused else "Bearer first"}


class GoogleRuns:
    """Runs over ``google_ec`` at the stand-in, and readings of what Google found."""

    def __init__(self, database_url: str, sandbox: Sandbox) -> None:
        self._database_url = database_url
        self._sandbox = sandbox
        self.credentials: Any = AccessToken(TOKEN)
        self.account = GoogleAccount("123-456-7890", "987654321", url=sandbox.google_url)
        self.limits = GoogleEc.limits

    def run(self, **request: Any) -> DestinationTotals:
        """One retry run to its end."""
        totals = asyncio.run(
            retry_failed_events(self._database_url, self._make, RetryRequest(**request))
        )
        return totals.by_destination["google_ec"]

    def read(self) -> GoogleOutcomes:
        """One reading of the requests whose time has come."""

        async def reading() -> GoogleOutcomes:
            async with (
                connection_pool(self._database_url, size=2) as pool,
                http_client(max_connections=4) as client,
            ):
                return await read_google_outcomes(
                    pool, self._google(client, pool), run_id="run-of-a-test"
                )

        return asyncio.run(reading())

    def behave(self, **changes: Any) -> None:
        """Changes the stand-in's behaviour."""
        httpx.post(f"{self._sandbox.google_url}/_behaviour", json=changes).raise_for_status()

    def _make(self, client: httpx.AsyncClient, pool: AsyncPool) -> Sequence[Destination]:
        return [self._google(client, pool)]

    def _google(self, client: httpx.AsyncClient, pool: AsyncPool) -> GoogleEc:
        google = GoogleEc(self.account, self.credentials, client, pool)
        google.limits = self.limits
        return google


@pytest.fixture
def google(database_url: str, sandbox: Sandbox) -> GoogleRuns:
    return GoogleRuns(database_url, sandbox)


@pytest.fixture
def add(queue: Queue) -> Callable[..., list[Added]]:
    """Adds events for Google."""
    return lambda count=1, **columns: queue.add(count, destination="google_ec", **columns)


def half_an_hour_goes_by(queue: Queue) -> None:
    """Lets every kept request's time come."""
    queue.connection.execute(
        "update tracking_google_requests set next_check_at = now() where next_check_at is not null"
    )


def requests(queue: Queue) -> list[dict[str, Any]]:
    return queue.read(
        "select *, extract(epoch from next_check_at - now())::float8 as check_in_seconds"
        " from tracking_google_requests order by sent_at, request_id"
    )


def test_accepted_events_are_resolved_at_once_and_their_request_is_kept(
    queue: Queue, google: GoogleRuns, sandbox: Sandbox, add: Any
) -> None:
    rows = add(3)

    totals = google.run()

    assert (totals.resolved, totals.requests) == (3, 1)
    assert sandbox.memory.accepted_ids == {row.sent_as for row in rows}
    assert sandbox.memory.violations == []
    (request,) = requests(queue)
    assert set(request["failed_event_ids"]) == {row.id for row in rows}
    assert request["events"] == 3
    assert 1700 < request["check_in_seconds"] <= 1800


def test_named_culprits_are_dead_letters_and_the_others_go_at_once(
    queue: Queue, google: GoogleRuns, sandbox: Sandbox, add: Any
) -> None:
    rows = add(8)
    for poison in rows[2:4]:
        sandbox.scripts.set(
            poison.sent_as, [{"status": 400, "message": "INVALID_CURRENCY_CODE"}] * 9
        )

    totals = google.run()

    assert (totals.resolved, totals.dead_lettered, totals.requests) == (6, 2, 2)
    reason = "refused by Google: INVALID_CURRENCY_CODE"
    assert {queue.row(poison)["dead_letter_reason"] for poison in rows[2:4]} == {reason}


def test_named_duplicates_are_delivered_without_a_search(
    queue: Queue, google: GoogleRuns, sandbox: Sandbox, add: Any
) -> None:
    rows = add(400)
    there = {"status": 400, "message": "DUPLICATE_TRANSACTION_ID"}
    for row in rows[::4]:
        sandbox.scripts.set(row.sent_as, [there] * 9)

    totals = google.run()

    assert (totals.resolved, totals.duplicates, totals.requests) == (400, 100, 2)
    assert [request.answer for request in sandbox.memory.requests] == ["400", "200"]


def test_unnamed_culprits_are_found_by_halves(
    queue: Queue, google: GoogleRuns, sandbox: Sandbox, add: Any
) -> None:
    google.behave(name_culprits=False)
    rows = add(8)
    sandbox.scripts.set(rows[5].sent_as, ["bad"])

    totals = google.run()

    assert (totals.resolved, totals.dead_lettered) == (7, 1)
    assert queue.row(rows[5])["status"] == "dead_letter"


@pytest.mark.parametrize("step", [503, "reset", "html", "broken_json"])
def test_a_passing_fault_spends_one_retry(
    queue: Queue, google: GoogleRuns, sandbox: Sandbox, add: Any, step: Any
) -> None:
    (row,) = add()
    sandbox.scripts.set(row.sent_as, [step])

    totals = google.run()

    assert (totals.failed, totals.resolved) == (1, 0)
    assert queue.row(row)["retry_count"] == 1
    assert requests(queue) == []


def test_the_quota_of_a_minute_throttles_and_spends_nothing(
    queue: Queue, google: GoogleRuns, add: Any
) -> None:
    google.behave(requests_per_minute=1)
    google.limits = in_requests_of(2)
    add(6)

    totals = google.run()

    assert (totals.resolved, totals.throttled, totals.state) == (2, 4, "throttled")
    assert queue.one("select max(retry_count) from tracking_failed_events") == 0
    assert 50 < queue.state("google_ec")["throttled_seconds"] <= 60


def test_a_refused_token_pauses_with_nothing_spent_and_nothing_told(
    queue: Queue, google: GoogleRuns, add: Any
) -> None:
    google.behave(tokens=["another"])
    add(2)

    totals = google.run()

    assert (totals.paused, totals.state) == (2, "paused")
    assert "UNAUTHENTICATED" in totals.detail
    assert TOKEN not in repr((totals, queue.state("google_ec"), queue.alerts()))


def test_a_refused_token_is_renewed_once_and_the_request_sent_again(
    google: GoogleRuns, sandbox: Sandbox, add: Any
) -> None:
    google.behave(tokens=["second"])
    google.credentials = Renewing()
    add(2)

    totals = google.run()

    assert (totals.resolved, totals.requests) == (2, 1)
    assert [request.answer for request in sandbox.memory.requests] == ["401", "200"]


def test_an_account_that_may_not_pauses(queue: Queue, google: GoogleRuns, add: Any) -> None:
    google.account = GoogleAccount("no-number", "987654321", url=google.account.url)
    add(2)

    totals = google.run()

    assert (totals.paused, totals.dead_lettered) == (2, 0)
    assert queue.statuses() == {"pending": 2}


def test_an_event_in_doubt_is_sent_again_as_the_same_conversion(
    queue: Queue, google: GoogleRuns, sandbox: Sandbox, add: Any
) -> None:
    (row,) = add()
    sandbox.scripts.set(row.sent_as, ["late_reset"])
    google.run()
    queue.make_due()
    google.run()
    google.behave(processing=False)
    half_an_hour_goes_by(queue)

    outcomes = google.read()

    first, second = sandbox.memory.events(row.sent_as)
    assert first == second
    # Google knows it from the first try, and a duplicate is delivered.
    assert (outcomes.delivered, outcomes.dead_lettered) == (1, 0)
    assert queue.row(row)["status"] == "resolved"


def test_accepted_events_are_delivered_even_if_their_request_cannot_be_kept(
    queue: Queue, google: GoogleRuns, add: Any, caplog: pytest.LogCaptureFixture
) -> None:
    queue.connection.execute("drop table tracking_google_requests")
    add(2)

    with caplog.at_level(logging.WARNING):
        totals = google.run()

    assert totals.resolved == 2
    assert "cannot be kept (SQLSTATE 42P01)" in caplog.text


def test_nothing_is_asked_before_half_an_hour_has_gone_by(
    queue: Queue, google: GoogleRuns, add: Any
) -> None:
    google.behave(processing=False)
    add(2)
    google.run()

    assert google.read() == GoogleOutcomes()


def test_a_request_in_processing_is_asked_about_after_growing_waits(
    queue: Queue, google: GoogleRuns, add: Any
) -> None:
    add(2)
    google.run()
    waits = []
    for _ in range(8):
        half_an_hour_goes_by(queue)
        assert google.read() == GoogleOutcomes(checked=1, processing=1)
        (request,) = requests(queue)
        waits.append(round(request["check_in_seconds"] / 1800))

    assert waits == [1, 2, 4, 8, 16, 32, 48, 48]


def test_a_success_closes_the_request_and_forgets_its_members(
    queue: Queue, google: GoogleRuns, add: Any
) -> None:
    add(2)
    google.run()
    google.behave(processing=False)
    half_an_hour_goes_by(queue)

    assert google.read() == GoogleOutcomes(checked=1, delivered=1)

    (request,) = requests(queue)
    assert (request["outcome"], request["next_check_at"]) == ("delivered", None)
    assert request["failed_event_ids"] == []
    assert queue.statuses() == {"resolved": 2}
    assert google.read() == GoogleOutcomes()


def test_events_that_all_failed_later_become_dead_letters_with_the_reason(
    queue: Queue, google: GoogleRuns, add: Any
) -> None:
    rows = add(2)
    google.run()
    google.behave(processing=False, refused_later={row.sent_as: "DENIED_CONSENT" for row in rows})
    half_an_hour_goes_by(queue)

    assert google.read() == GoogleOutcomes(checked=1, refused=1, dead_lettered=2)

    row = queue.row(rows[0])
    assert row["status"] == "dead_letter"
    assert row["dead_letter_reason"] == "refused by Google: DENIED_CONSENT"
    assert (row["error_code"], row["resolved_at"], row["resolved_by"]) == (
        "DENIED_CONSENT",
        None,
        None,
    )
    sent, found = queue.attempts(rows[0])
    assert (sent["outcome"], sent["requests"]) == ("delivered", 1)
    assert (found["outcome"], found["requests"]) == ("rejected", 0)
    assert (found["attempt"], found["run_id"]) == (1, "run-of-a-test")


def test_a_retry_run_tells_what_was_refused_or_put_back_later(
    queue: Queue, google: GoogleRuns, add: Any
) -> None:
    bad, fresh, _ = add(3)
    google.limits = in_requests_of(1)
    google.run()
    google.behave(
        processing=False,
        refused_later={bad.sent_as: "DENIED_CONSENT", fresh.sent_as: "TOO_RECENT_CLICK"},
    )
    half_an_hour_goes_by(queue)

    totals = google.run()

    assert (totals.processed, totals.refused_later, totals.requeued_later) == (0, 1, 1)


def test_a_reason_that_may_pass_puts_events_back_for_six_hours_and_spends_a_retry(
    queue: Queue, google: GoogleRuns, add: Any
) -> None:
    (fresh,) = add()
    (worn,) = add(retry_count=4)
    google.limits = in_requests_of(1)
    google.run()
    later = {row.sent_as: "TOO_RECENT_CLICK" for row in (fresh, worn)}
    google.behave(processing=False, refused_later=later)
    half_an_hour_goes_by(queue)

    assert google.read() == GoogleOutcomes(checked=2, refused=2, dead_lettered=1, requeued=1)

    wait = queue.one(
        "select extract(epoch from next_retry_at - now())::float8 from tracking_failed_events"
        " where id = %s",
        fresh.id,
    )
    row = queue.row(fresh)
    assert (row["status"], row["retry_count"], row["resolved_at"]) == ("retrying", 1, None)
    assert 21_500 < wait <= 21_600 * 1.2
    assert queue.row(worn)["dead_letter_reason"] == "max_retries"


def test_an_event_that_was_put_back_is_delivered_by_its_next_request(
    queue: Queue, google: GoogleRuns, add: Any
) -> None:
    (row,) = add()
    google.run()
    google.behave(processing=False, refused_later={row.sent_as: "INTERNAL_ERROR"})
    half_an_hour_goes_by(queue)
    google.read()
    queue.make_due()
    google.behave(refused_later={row.sent_as: None})
    google.run()
    half_an_hour_goes_by(queue)

    assert google.read().delivered == 1

    assert queue.row(row)["status"] == "resolved"
    assert [each["outcome"] for each in queue.attempts(row)] == ["delivered", "retry", "delivered"]


def test_some_that_failed_among_many_are_found_and_the_others_stay_delivered(
    queue: Queue, google: GoogleRuns, sandbox: Sandbox, add: Any
) -> None:
    rows = add(40)
    google.run()
    bad = {rows[7].sent_as: "EVENT_TOO_OLD", rows[31].sent_as: "INVALID_GCLID"}
    google.behave(processing=False, refused_later=bad)
    rounds = 0
    while any(request["next_check_at"] for request in requests(queue)):
        half_an_hour_goes_by(queue)
        google.read()
        assert queue.statuses()["resolved"] >= 38
        rounds += 1
        assert rounds < 10

    assert queue.statuses() == {"resolved": 38, "dead_letter": 2}
    reasons = [queue.row(rows[index])["dead_letter_reason"] for index in (7, 31)]
    assert reasons == ["refused by Google: EVENT_TOO_OLD", "refused by Google: INVALID_GCLID"]
    # 40 in parts of 3, and the part or the two parts with a bad one in parts of one.
    assert rounds == 3
    assert len(sandbox.memory.requests) in (1 + 14 + 3, 1 + 14 + 6)
    assert sandbox.memory.violations == []


def test_duplicates_among_many_are_no_reason_to_look_closer(
    queue: Queue, google: GoogleRuns, sandbox: Sandbox, add: Any
) -> None:
    rows = add(3)
    google.run()
    google.behave(processing=False, refused_later={rows[0].sent_as: "DUPLICATE_TRANSACTION_ID"})
    half_an_hour_goes_by(queue)

    assert google.read() == GoogleOutcomes(checked=1, delivered=1)
    assert len(sandbox.memory.requests) == 1
    since = datetime.now(timezone.utc) - timedelta(hours=2)
    assert count_duplicates(queue.connection, since, since + timedelta(days=1)) == (3, 1)


def test_an_event_that_is_refused_at_once_when_it_comes_again_is_a_dead_letter(
    queue: Queue, google: GoogleRuns, sandbox: Sandbox, add: Any
) -> None:
    rows = add(4)
    google.run()
    google.behave(processing=False, refused_later={rows[1].sent_as: "INVALID_EVENT"})
    sandbox.scripts.set(rows[1].sent_as, ["bad"])
    half_an_hour_goes_by(queue)

    assert google.read().dead_lettered == 1

    assert queue.row(rows[1])["dead_letter_reason"] == "refused by Google: INVALID_FORMAT"
    assert queue.statuses() == {"resolved": 3, "dead_letter": 1}


def test_a_search_that_is_throttled_goes_on_with_the_one_that_is_left(
    queue: Queue, google: GoogleRuns, add: Any
) -> None:
    rows = sorted(add(4), key=lambda row: row.id)
    google.run()
    google.behave(
        processing=False,
        refused_later={rows[0].sent_as: "EVENT_TOO_OLD"},
        requests_per_minute=4,
    )
    half_an_hour_goes_by(queue)
    stopped = google.read()
    (first, *_) = requests(queue)

    assert (stopped.checked, stopped.narrowed) == (1, 1)
    # What Google said of four events is no answer about the last of them.
    assert (first["failed_event_ids"], first["outcome"]) == ([rows[3].id], None)
    # Nothing is read while the destination is throttled.
    half_an_hour_goes_by(queue)
    assert google.read() == GoogleOutcomes()

    queue.connection.execute("update tracking_destination_state set not_before = null")
    google.behave(requests_per_minute=None)
    while any(request["next_check_at"] for request in requests(queue)):
        half_an_hour_goes_by(queue)
        google.read()
    assert queue.statuses() == {"resolved": 3, "dead_letter": 1}
    assert queue.row(rows[0])["status"] == "dead_letter"


def test_an_event_that_went_its_own_way_meanwhile_is_left_alone(
    queue: Queue, google: GoogleRuns, add: Any
) -> None:
    replayed, claimed, delivered_anew, mine = add(4)
    google.run()
    for row, change in (
        (replayed, "status = 'pending', resolved_at = null"),
        (claimed, "lease_token = lease_token + 1"),
        (delivered_anew, "lease_token = lease_token + 2"),
    ):
        queue.connection.execute(
            f"update tracking_failed_events set {change} where id = %s".encode(), (row.id,)
        )
    reasons = {row.sent_as: "NO_CONSENT" for row in (replayed, claimed, delivered_anew, mine)}
    google.behave(processing=False, refused_later=reasons)
    half_an_hour_goes_by(queue)

    assert google.read().dead_lettered == 1

    statuses = [queue.row(row)["status"] for row in (replayed, claimed, delivered_anew, mine)]
    assert statuses == ["pending", "resolved", "resolved", "dead_letter"]


def test_an_event_whose_consent_was_withdrawn_is_not_sent_again_to_find_a_culprit(
    queue: Queue, google: GoogleRuns, sandbox: Sandbox, add: Any
) -> None:
    withdrawn, other = add(2)
    google.run()
    queue.connection.execute(
        "update tracking_failed_events set event_payload = event_payload || '{\"consent\": false}'"
        " where id = %s",
        (withdrawn.id,),
    )
    google.behave(processing=False, refused_later={other.sent_as: "NO_CONSENT"})
    for _ in range(2):
        half_an_hour_goes_by(queue)
        google.read()

    assert sandbox.memory.requests_with(withdrawn.sent_as) == 1
    statuses = [queue.row(row)["status"] for row in (withdrawn, other)]
    assert statuses == ["resolved", "dead_letter"]


@pytest.mark.parametrize("step", [404, 500, "reset", "html"])
def test_a_status_that_cannot_be_read_fails_nothing_and_is_read_later(
    queue: Queue, google: GoogleRuns, sandbox: Sandbox, add: Any, step: Any
) -> None:
    add(2)
    google.run()
    google.behave(processing=False)
    half_an_hour_goes_by(queue)
    sandbox.conditions["google_ec"].outage(step)

    assert google.read() == GoogleOutcomes(checked=1, unreadable=1)

    sandbox.conditions["google_ec"].outage(None)
    half_an_hour_goes_by(queue)
    assert google.read().delivered == 1


def test_an_outcome_that_google_never_tells_is_given_up(
    queue: Queue, google: GoogleRuns, add: Any
) -> None:
    add(2)
    google.run()
    queue.connection.execute(
        "update tracking_google_requests set request_id = 'forgotten', checks = %s",
        (MOST_CHECKS - 1,),
    )
    half_an_hour_goes_by(queue)

    assert google.read() == GoogleOutcomes(checked=1, unknown=1)

    assert requests(queue)[0]["outcome"] == "unknown"
    assert queue.statuses() == {"resolved": 2}


def test_two_readings_at_once_do_not_ask_twice(
    queue: Queue,
    google: GoogleRuns,
    add: Any,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    add(2)
    google.run()
    half_an_hour_goes_by(queue)
    # A reading that waits for the other's row fails here, and says so, instead of hanging.
    name = queue.one("select current_database()")
    queue.connection.execute(f"alter database {name} set lock_timeout = '5s'".encode())
    with psycopg.connect(database_url) as other:
        other.execute("select from tracking_google_requests for update")

        assert google.read() == GoogleOutcomes()

    assert "cannot be settled" not in caplog.text
    assert google.read().checked == 1


def test_a_database_that_refuses_the_settlement_does_not_fail_the_run(
    queue: Queue, google: GoogleRuns, add: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (row,) = add()
    google.run()
    google.behave(processing=False, refused_later={row.sent_as: "NO_CONSENT"})
    half_an_hour_goes_by(queue)
    queue.connection.execute(
        "alter table tracking_failed_events add check (status <> 'dead_letter')"
    )

    with caplog.at_level(logging.WARNING):
        assert google.read().dead_lettered == 0

    assert "SQLSTATE 23514" in caplog.text
    # Neither half is done: the request is asked about again.
    assert requests(queue)[0]["outcome"] is None


@pytest.mark.parametrize(
    ("told", "events", "expected"),
    [
        ({"requestStatus": "PROCESSING"}, 3, RequestStatus("processing")),
        ({"requestStatus": "REQUEST_STATUS_UNKNOWN"}, 3, RequestStatus("processing")),
        ({"requestStatus": "SUCCESS"}, 3, RequestStatus("delivered")),
        ({"requestStatus": "FAILED"}, 1, RequestStatus("later")),
        ({"requestStatus": "FAILED"}, 3, RequestStatus("later")),
        ({"requestStatus": "PARTIAL_SUCCESS"}, 3, RequestStatus("unclear")),
        (["EVENT_TOO_OLD"], 3, RequestStatus("refused", ("EVENT_TOO_OLD",))),
        (
            ["EVENT_TOO_OLD", "NO_CONSENT"],
            3,
            RequestStatus("refused", ("EVENT_TOO_OLD", "NO_CONSENT")),
        ),
        (["DUPLICATE_GCLID"], 3, RequestStatus("delivered", duplicates={"DUPLICATE_GCLID": 1})),
        (["DUPLICATE_GCLID", "NO_CONSENT"], 3, RequestStatus("unclear", ("NO_CONSENT",))),
        (
            ["EVENT_TOO_OLD", "INTERNAL_ERROR"],
            3,
            RequestStatus("unclear", ("EVENT_TOO_OLD", "INTERNAL_ERROR")),
        ),
        (["SOMETHING_NEW"], 1, RequestStatus("later", ("SOMETHING_NEW",))),
        (
            ["EVENT_TOO_OLD", "TERMS_AND_CONDITIONS_NOT_SIGNED"],
            3,
            RequestStatus("account", ("TERMS_AND_CONDITIONS_NOT_SIGNED", "EVENT_TOO_OLD")),
        ),
        # Some of them are there: whom the account's fault met is found like any other.
        (
            ["DUPLICATE_GCLID", "PERMISSION_DENIED"],
            3,
            RequestStatus("unclear", ("PERMISSION_DENIED",)),
        ),
        (["PERMISSION_DENIED"], 1, RequestStatus("account", ("PERMISSION_DENIED",))),
        ("nonsense", 1, RequestStatus("unreadable")),
    ],
)
def test_a_status_says_how_all_fared_or_that_it_is_unclear(
    told: Any, events: int, expected: RequestStatus
) -> None:
    if isinstance(told, list):
        counts = [
            {"reason": f"PROCESSING_ERROR_REASON_{reason}", "recordCount": "1"} for reason in told
        ]
        told = {"requestStatus": "FAILED", "errorInfo": {"errorCounts": counts}}
    body = httpx.Response(200, json={"requestStatusPerDestination": [told]}).content

    assert read_request_status(Answer(200, {}, body), events) == expected


@pytest.mark.parametrize("error_info", [None, [], {"errorCounts": 1}, {"errorCounts": [1, {}]}])
def test_counts_that_cannot_be_read_are_no_counts(error_info: Any) -> None:
    told = {"requestStatus": "FAILED", "errorInfo": error_info}
    body = httpx.Response(200, json={"requestStatusPerDestination": [told]}).content

    assert read_request_status(Answer(200, {}, body), 1) == RequestStatus("later")


def test_an_address_in_the_queue_reaches_google_as_its_hash_only(
    google: GoogleRuns, sandbox: Sandbox, add: Any
) -> None:
    (row,) = add(event_payload=payload("jane.roe@example.com", phone="+1 650 555 1212"))
    google.run()

    (event,) = sandbox.memory.events(row.sent_as)
    assert "jane" not in repr(event)
    assert len(event["userData"]["userIdentifiers"]) == 2


@pytest.mark.parametrize("name_culprits", [True, False])
def test_orders_that_are_refused_for_being_numbers_say_so_and_name_the_setting(
    queue: Queue, google: GoogleRuns, sandbox: Sandbox, add: Any, name_culprits: bool
) -> None:
    google.behave(refuse_numbers=True, name_culprits=name_culprits)
    numbers = [add(event_payload=payload(order_id=each))[0] for each in ("2", "10024")]
    others = add(4)

    totals = google.run()

    assert (totals.resolved, totals.dead_lettered) == (len(others), len(numbers))
    reasons = {queue.row(each)["dead_letter_reason"] for each in numbers}
    assert reasons == {
        f"Google refused the order id (events{'[]' if name_culprits else ''}.transactionId): "
        "INVALID_FORMAT; every refused id is a number: set GOOGLE_TRANSACTION_ID_PREFIX"
    }
    google.account = replace(google.account, transaction_id_prefix="shop-")
    google.behave(refuse_numbers=True)
    (again,) = add(event_payload=payload(order_id="2"))
    assert google.run().resolved == 1
    assert queue.row(again)["status"] == "resolved"
    assert "shop-2" in sandbox.memory.accepted_ids
