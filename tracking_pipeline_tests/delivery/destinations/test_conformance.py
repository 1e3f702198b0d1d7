"""What every destination promises, held against each in real runs: one case a test, by name.

``stand`` is each destination in turn, the ledger among them; ``http`` each that is sent to by HTTP.
The ledger is left out where a case is about an answer: it is asked in the run's own database, whose
answers cannot redirect, throttle or be unreadable. When that database is away the whole run waits,
which ``test_outages`` is about.
"""

from __future__ import annotations

import json
import logging
import re
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tracking_pipeline.delivery.engine.totals import DestinationTotals
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery import conformance
from tracking_pipeline_tests.delivery.conformance import (
    ADDRESS,
    AGENT,
    CANARIES,
    CONTESTANTS,
    EMAIL,
    GOOD,
    PHONE,
    SECRET,
    TOKEN,
    Contestant,
    Fault,
    Front,
    HttpStand,
    LedgerStand,
    Stand,
    answers,
    takes_and_answers,
)
from tracking_pipeline_tests.delivery.failed_event_queue import Added, Queue
from tracking_pipeline_tests.delivery.hostile_payloads import PAYLOADS

HOUR = 3_600
DAY = 24 * HOUR
# Far more than a local answer takes, far less than the 20 seconds of a real request.
SHORT_TIMEOUT_SECONDS = 0.5
SECONDS_NOW = int(datetime.now(timezone.utc).timestamp())

IDS = [contestant.id for contestant in CONTESTANTS]


@contextmanager
def _behind_http(contestant: Contestant, database_url: str) -> Iterator[HttpStand]:
    """A stand whose sandbox saw no promise broken, whatever the test was about."""
    with Sandbox() as sandbox, Front(sandbox.port) as front:
        yield HttpStand(contestant, database_url, sandbox, front)
        assert sandbox.memory.violations == []


@pytest.fixture(params=CONTESTANTS, ids=IDS)
def http(request: pytest.FixtureRequest, database_url: str) -> Iterator[HttpStand]:
    with _behind_http(request.param, database_url) as made:
        yield made


@pytest.fixture(params=[*CONTESTANTS, None], ids=[*IDS, "supabase"])
def stand(request: pytest.FixtureRequest, database_url: str, queue: Queue) -> Iterator[Stand]:
    if request.param is None:
        yield LedgerStand(database_url, queue)
        return
    with _behind_http(request.param, database_url) as made:
        yield made


def add(queue: Queue, stand: Stand, count: int = 1, **columns: Any) -> list[Added]:
    return queue.add(count, **{"destination": stand.name, "event_payload": GOOD, **columns})


def run(stand: Stand, **request: Any) -> DestinationTotals:
    """One run, and what it did for this destination."""
    return stand.run(**request).by_destination[stand.name]


def _open_again(queue: Queue) -> None:
    """As if nothing had ever befallen the destination."""
    queue.connection.execute("delete from tracking_destination_state")


def one_alert_is_open(queue: Queue) -> bool:
    open_alerts = [alert for alert in queue.alerts() if alert["resolved_at"] is None]
    return [alert["alert_type"] for alert in open_alerts] == ["destination_paused"]


def assert_unspent(queue: Queue, rows: list[Added]) -> None:
    """Not one of them lost a retry or its place, and nobody holds it."""
    for row in map(queue.row, rows):
        spent = (row["status"], row["retry_count"], row["next_retry_at"], row["lease_expires_at"])
        assert spent == ("pending", 0, None, None)


# --- accepted, duplicate --------------------------------------------------------------------------


def test_what_is_accepted_is_resolved_and_was_taken_once(queue: Queue, stand: Stand) -> None:
    rows = add(queue, stand, 3)

    totals = run(stand)

    assert (totals.state, totals.processed, totals.resolved) == ("ok", 3, 3)
    assert [stand.times_taken(row.sent_as) for row in rows] == [1, 1, 1]
    assert {queue.row(row)["status"] for row in rows} == {"resolved"}
    assert [queue.attempts(row)[0]["outcome"] for row in rows] == ["delivered"] * 3


def test_where_nothing_is_due_nobody_is_asked(queue: Queue, stand: Stand) -> None:
    rows = add(queue, stand, 2)
    queue.connection.execute(
        "update tracking_failed_events set next_retry_at = now() + interval '1 hour'"
    )

    totals = run(stand)

    assert (totals.processed, totals.requests) == (0, 0)
    assert [stand.times_taken(row.sent_as) for row in rows] == [0, 0]
    assert queue.attempts(rows[0]) == []
    if isinstance(stand, HttpStand):
        assert stand.front.connections == 0


def test_the_events_own_id_and_time_arrive_and_its_visitor_is_not_the_worker(
    queue: Queue, stand: Stand
) -> None:
    pixel_id, at = "pixel.1.a-b", SECONDS_NOW - HOUR
    add(queue, stand, event_payload={**GOOD, "event_id": pixel_id, "event_time": at})

    run(stand)

    visitor = (ADDRESS, AGENT) if stand.knows_visitors else (None, None)
    assert stand.seen(pixel_id) == conformance.Seen(pixel_id, at, *visitor)


def test_where_the_visitor_is_unknown_the_worker_does_not_stand_in_for_him(
    queue: Queue, http: HttpStand
) -> None:
    nobody = {
        name: value
        for name, value in GOOD.items()
        if name not in ("client_ip_address", "client_user_agent")
    }
    add(queue, http, event_payload=nobody)

    run(http)

    (request,) = http.front.received
    assert b"127.0.0.1" not in request.body
    assert not re.search(rb"(?i)httpx|aiohttp|python", request.body)
    if http.name == "gtm_server":
        # A container reads the request's own headers for what the event does not say.
        assert "\r\nuser-agent: tracking-pipeline\r\n" in request.head.lower()


@pytest.mark.parametrize("fault", [conformance.takes_and_resets, conformance.breaks_off])
def test_an_event_in_doubt_goes_again_under_the_same_id_and_at_the_same_time(
    queue: Queue, http: HttpStand, fault: Fault
) -> None:
    (row,) = add(queue, http)
    http.front.meets(fault)
    run(http)
    http.mend()
    queue.make_due()

    totals = run(http)

    assert [attempt["outcome"] for attempt in queue.attempts(row)] == ["retry", "delivered"]
    first, second = map(http.contestant.seen, http.sandbox.memory.events(row.sent_as))
    assert first == second
    assert (totals.resolved, queue.row(row)["status"]) == (1, "resolved")


@pytest.mark.parametrize(
    "http", [each for each in CONTESTANTS if each.says_duplicate], indirect=True
)
def test_a_duplicate_that_the_platform_names_is_delivered(queue: Queue, http: HttpStand) -> None:
    assert http.contestant.says_duplicate
    there, new = add(queue, http, 2)
    http.sandbox.scripts.set(there.sent_as, [http.contestant.says_duplicate])

    totals = run(http)

    assert (totals.resolved, totals.duplicates) == (2, 1)
    assert queue.row(there)["status"] == queue.row(new)["status"] == "resolved"


def test_an_event_that_was_taken_before_is_delivered_and_not_taken_for_another(
    queue: Queue, stand: Stand
) -> None:
    (row,) = add(queue, stand)
    run(stand)
    queue.connection.execute("update tracking_failed_events set status = 'pending'")

    totals = run(stand)

    assert (totals.resolved, queue.row(row)["status"]) == (1, "resolved")
    if isinstance(stand, HttpStand):
        # Sent twice under one id: that is what the platform tells duplicates by.
        assert stand.times_taken(row.sent_as) == 2
    else:
        assert (stand.times_taken(row.sent_as), totals.duplicates) == (1, 1)


# --- faults that pass -----------------------------------------------------------------------------

PAGE = b"<!doctype html><html><body><h1>Welcome to our hotel</h1></body></html>"
PASSING: dict[str, Fault] = {
    "HTTP 500": answers(500),
    "HTTP 502 with a page": answers(502, PAGE, {"content-type": "text/html"}),
    "HTTP 408": answers(408),
    "a page instead of success": takes_and_answers(PAGE, "text/html"),
    "an answer in another protocol": conformance.speaks_no_http,
    "a reset before the request was taken": conformance.resets,
}


def test_a_passing_fault_costs_one_retry_and_the_next_run_delivers(
    queue: Queue, http: HttpStand
) -> None:
    for name, fault in PASSING.items():
        (row,) = add(queue, http)
        http.front.received.clear()
        http.front.meets(fault)

        totals = run(http)

        assert (totals.failed, totals.processed, len(http.front.received)) == (1, 1, 1), name
        waiting = queue.row(row)
        assert (waiting["status"], waiting["retry_count"]) == ("retrying", 1), name
        assert queue.attempts(row)[0]["error_message"], name
        http.mend()
        queue.make_due()
        assert run(http).resolved == 1, name
        _open_again(queue)


def test_a_destination_that_fails_costs_each_event_one_retry(queue: Queue, stand: Stand) -> None:
    rows = add(queue, stand, 3)
    stand.fail()

    totals = run(stand)

    assert (totals.failed, totals.processed) == (3, 3)
    assert [queue.row(row)["retry_count"] for row in rows] == [1, 1, 1]
    stand.mend()
    queue.make_due()
    assert run(stand).resolved == 3


@pytest.mark.parametrize(
    ("body", "understood_by"),
    [
        (b'{"events_received": 1, "requestId": ', ("any",)),
        (b"", ("any", "JSON or silence")),
    ],
    ids=["broken JSON", "nothing"],
)
def test_a_success_is_believed_only_in_the_platforms_words(
    queue: Queue, http: HttpStand, body: bytes, understood_by: tuple[str, ...]
) -> None:
    (row,) = add(queue, http)
    http.front.meets(takes_and_answers(body))

    run(http)

    understood = http.contestant.success in understood_by
    assert queue.row(row)["status"] == ("resolved" if understood else "retrying")


@pytest.mark.parametrize("fault", [conformance.hangs, conformance.takes_and_hangs])
def test_a_request_without_an_answer_in_time_is_given_up(
    queue: Queue, http: HttpStand, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracking_pipeline.http_client.TIMEOUT_SECONDS", SHORT_TIMEOUT_SECONDS)
    (row,) = add(queue, http)
    http.front.meets(fault)

    totals = run(http)

    assert (totals.failed, queue.row(row)["retry_count"]) == (1, 1)
    assert queue.attempts(row)[0]["error_code"] == "timeout"


@pytest.mark.parametrize("fault", [conformance.resets, conformance.hangs_up])
def test_a_connection_that_was_cut_is_not_called_slow(
    queue: Queue, http: HttpStand, fault: Fault
) -> None:
    (row,) = add(queue, http)
    http.front.meets(fault)

    run(http)

    assert queue.attempts(row)[0]["error_code"] == "connection"


@pytest.mark.parametrize("fault", [conformance.never_ends, conformance.inflates])
def test_an_answer_without_end_does_not_fill_the_memory(
    queue: Queue, http: HttpStand, fault: Fault
) -> None:
    (row,) = add(queue, http)
    http.front.meets(fault)
    tracemalloc.start()

    run(http)

    assert (queue.row(row)["retry_count"], queue.attempts(row)[0]["error_code"]) == (1, "oversized")
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < 40_000_000


def test_a_wait_that_is_asked_with_a_fault_is_kept_within_a_day(
    queue: Queue, http: HttpStand
) -> None:
    for retry_after, least, most in (
        ("7200", 2 * HOUR, 2.5 * HOUR),
        ("1000000000", DAY, 1.2 * DAY),
        ("soon", 0, HOUR),
    ):
        (row,) = add(queue, http)
        http.front.meets(answers(503, headers={"retry-after": retry_after}))

        run(http)

        wait = queue.one(
            "select extract(epoch from next_retry_at - now())::float8 from tracking_failed_events"
            " where id = %s",
            row.id,
        )
        assert least - 60 < wait <= most, retry_after
        _open_again(queue)


# --- throttled, paused ----------------------------------------------------------------------------


def _in_two_hours() -> str:
    return format_datetime(datetime.now(timezone.utc) + timedelta(hours=2), usegmt=True)


def test_a_throttle_spends_nothing_and_the_whole_destination_waits(
    queue: Queue, http: HttpStand
) -> None:
    rows = add(queue, http, 3)
    for retry_after, least, most in (
        ("7200", 2 * HOUR, 2 * HOUR),
        (_in_two_hours(), HOUR, 2 * HOUR + 60),
        ("1000000000", 60, DAY),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 60, DAY),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1, 60),
        ("soon", 60, 60),
        ("-5", 60, 60),
        (None, 60, 60),
    ):
        http.front.received.clear()
        http.front.meets(answers(429, headers={"retry-after": retry_after} if retry_after else {}))

        totals = run(http)
        again = run(http, all_events=True)

        seen = (totals.state, totals.throttled, totals.processed, again.state)
        assert seen == ("throttled", 3, 0, "throttled"), retry_after
        assert len(http.front.received) == 1, retry_after
        waits = queue.state(http.name)["throttled_seconds"]
        assert least - 10 < waits <= most, retry_after
        assert_unspent(queue, rows)
        assert queue.alerts() == []
        _open_again(queue)


def test_who_is_shut_out_spends_nothing_raises_one_alert_and_goes_on_when_it_is_mended(
    queue: Queue, stand: Stand
) -> None:
    rows = add(queue, stand, 3)
    stand.shut_out()

    totals = run(stand)
    probed = run(stand, all_events=True)

    assert (totals.state, totals.paused, totals.processed) == ("paused", 3, 0)
    assert (probed.state, probed.processed, probed.requests) == ("paused", 0, 1)
    assert totals.detail
    assert_unspent(queue, rows)
    assert one_alert_is_open(queue)
    stand.mend()
    assert run(stand, all_events=True).resolved == 3
    assert [alert["resolved_at"] is not None for alert in queue.alerts()] == [True]


@pytest.mark.parametrize("at_once", [1, 4])
def test_one_event_that_draws_a_403_pays_alone_and_keeps_nobody_out(
    queue: Queue, http: HttpStand, at_once: int
) -> None:
    rows = sorted(add(queue, http, 12), key=lambda row: row.id)
    culprit = rows[9]
    # A container may take one event a request only.
    http.request_events = 1 if http.name == "gtm_server" else at_once

    async def forbids_one(exchange: conformance.Exchange) -> None:
        if culprit.sent_as.encode() in exchange.request:
            await answers(403)(exchange)
        else:
            await exchange.answer(await exchange.pass_on())

    http.front.meets(forbids_one)

    totals = run(http)

    assert (totals.state, totals.resolved) == ("ok", 11)
    assert (queue.row(culprit)["status"], queue.row(culprit)["retry_count"]) == ("retrying", 1)
    assert queue.alerts() == []


def test_a_403_that_comes_to_all_after_others_were_accepted_pauses(
    queue: Queue, http: HttpStand
) -> None:
    add(queue, http, 12)
    http.request_events = 1 if http.name == "gtm_server" else 4
    taken = []

    async def forbids_after_one(exchange: conformance.Exchange) -> None:
        if taken:
            await answers(403)(exchange)
        else:
            taken.append(await exchange.pass_on())
            await exchange.answer(taken[0])

    http.front.meets(forbids_after_one)

    totals = run(http)

    assert totals.state == "paused"
    assert len(http.front.received) <= 4
    spent = queue.one("select sum(retry_count)::int from tracking_failed_events")
    assert spent <= 2
    assert one_alert_is_open(queue)


@pytest.mark.parametrize("status", [401, 429])
def test_what_is_in_flight_when_a_destination_closes_spends_nothing_either(
    queue: Queue, http: HttpStand, status: int
) -> None:
    rows = add(queue, http, 12)
    http.request_events, http.in_flight = 1, 4
    http.front.meets(answers(status))

    totals = run(http)

    assert (totals.processed, totals.waiting) == (0, 12)
    assert 1 <= len(http.front.received) <= 4
    assert_unspent(queue, rows)
    assert len(queue.alerts()) == (status == 401)


@pytest.mark.parametrize("status", [302, 308])
def test_a_redirect_is_not_followed_to_another_host(
    queue: Queue, http: HttpStand, status: int
) -> None:
    rows = add(queue, http, 2)
    with Front(http.sandbox.port) as elsewhere:
        http.front.meets(answers(status, headers={"location": f"{elsewhere.url}/collect"}))

        totals = run(http)

    assert elsewhere.connections == 0
    assert (totals.state, len(http.front.received)) == ("paused", 1)
    assert_unspent(queue, rows)


# --- refused for ever -----------------------------------------------------------------------------


def test_an_event_that_can_never_be_accepted_is_a_dead_letter_with_a_reason(
    queue: Queue, stand: Stand
) -> None:
    (row,) = add(queue, stand)
    stand.refuse(row)

    totals = run(stand)

    assert (totals.dead_lettered, totals.processed, totals.state) == (1, 1, "ok")
    dead = queue.row(row)
    assert (dead["status"], dead["retry_count"]) == ("dead_letter", 0)
    assert dead["dead_letter_reason"].startswith("refused by ")


def test_the_mates_of_a_refused_event_are_delivered(queue: Queue, stand: Stand) -> None:
    *mates, culprit = add(queue, stand, 5)
    stand.refuse(culprit)

    totals = run(stand)

    assert (totals.resolved, totals.dead_lettered) == (4, 1)
    assert queue.row(culprit)["status"] == "dead_letter"
    assert [stand.times_taken(mate.sent_as) for mate in mates] == [1, 1, 1, 1]


# --- payloads that nobody meant to send -----------------------------------------------------------

# jsonb holds neither.
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def as_jsonb(payload: Any) -> str:
    """The payload as the column can hold it."""
    text = json.dumps(payload, ensure_ascii=False)
    return _LONE_SURROGATE.sub("", _NUL.sub(r"\1", text))


def deeply(value: str, depth: int) -> str:
    return '{"user_data": ' * depth + value + "}" * depth


MEGABYTE = "x" * 1_000_000
HOSTILE: dict[str, str] = {
    **{
        f"event_time {name}": json.dumps({**GOOD, "event_time": value})
        for name, value in {
            "in seconds": SECONDS_NOW - 60,
            "in milliseconds": (SECONDS_NOW - 60) * 1000,
            "as text": "2026-01-01T00:00:00Z",
            "as seconds in text": str(SECONDS_NOW - 60),
            "negative": -1,
            "in the future": SECONDS_NOW + DAY - HOUR,
            "far in the future": SECONDS_NOW + 2 * DAY,
            "8 days old": SECONDS_NOW - 8 * DAY,
            "null": None,
            "huge": 10**400,
            "a list": [SECONDS_NOW],
            "true": True,
        }.items()
    },
    "a number beyond all numbers": as_jsonb(GOOD).replace("19.9", "1e4000"),
    "a number of 5,000 digits": as_jsonb(GOOD).replace("19.9", "9" * 5_000),
    "one text of a megabyte": json.dumps({**GOOD, "note": MEGABYTE}),
    "an e-mail of a megabyte": json.dumps({**GOOD, "email": MEGABYTE}),
    "an address of a page of a megabyte": json.dumps(
        {**GOOD, "event_source_url": f"https://shop.example/{MEGABYTE}"}
    ),
    "a name of a megabyte": json.dumps({**GOOD, "event_name": MEGABYTE}),
    "an id of a megabyte": json.dumps({**GOOD, "event_id": MEGABYTE}),
    "a hundred thousand fields": json.dumps({**GOOD, **{f"f{n}": n for n in range(100_000)}}),
    "a hundred thousand e-mails": json.dumps(
        {**GOOD, "user_data": {"em": [f"a{n}@example.com" for n in range(100_000)]}}
    ),
    "a thousand levels": deeply(as_jsonb(GOOD), 1_000),
    "five thousand lists": "[" * 5_000 + "]" * 5_000,
    "deep custom data": json.dumps(GOOD)[:-1] + ', "custom_data": ' + deeply("1", 900) + "}",
    "wrong types": json.dumps({name: [{"a": [None, True, -0.0]}] for name in GOOD}),
    "control characters": json.dumps(dict.fromkeys(GOOD, "\x01\x1f\x7f\u2028")),
    "a text": '"text"',
    "a number": "0",
    "null": "null",
    "an empty object": "{}",
    "an empty list": "[]",
}


def run_with_a_neighbour(queue: Queue, stand: Stand, payloads: dict[str, str]) -> None:
    """Each ends resolved, or waits for its own time, or is a dead letter that was not even sent,
    with a reason; and the good neighbour is delivered in the same run."""
    rows = {
        name: add(queue, stand, event_payload=stored, event_name=f"Lead{number}")[0]
        for number, (name, stored) in enumerate(payloads.items())
    }
    (neighbour,) = add(queue, stand)

    totals = run(stand)

    # Not the payload, which Python may not be able to read.
    ends = {
        end["id"]: end
        for end in queue.read("select id, status, dead_letter_reason from tracking_failed_events")
    }
    for name, row in rows.items():
        end = ends[row.id]
        (attempt,) = queue.attempts(row)
        if attempt["outcome"] == "postponed":
            assert end["status"] == "pending", name
        elif end["status"] != "resolved":
            assert (end["status"], bool(end["dead_letter_reason"])) == ("dead_letter", True), name
            assert "cannot be prepared" not in end["dead_letter_reason"], name
        if attempt["outcome"] != "delivered":
            assert attempt["requests"] == 0, (name, end["dead_letter_reason"])
    assert ends[neighbour.id]["status"] == "resolved"
    not_processed = totals.withheld + totals.postponed
    assert (totals.state, totals.processed + not_processed) == ("ok", len(payloads) + 1)


def test_a_payload_that_nobody_meant_to_send_does_not_hold_up_its_neighbour(
    queue: Queue, stand: Stand
) -> None:
    run_with_a_neighbour(queue, stand, HOSTILE)


@settings(
    deadline=None,
    max_examples=5,
    database=None,
    # A failure names its payload itself; to shrink it would take a run for each step.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(payloads=st.lists(PAYLOADS.map(as_jsonb), min_size=20, max_size=20))
def test_any_payloads_at_all_do_not_hold_up_their_neighbour(
    queue: Queue, stand: Stand, payloads: list[str]
) -> None:
    queue.connection.execute("delete from tracking_failed_events")
    run_with_a_neighbour(
        queue, stand, {f"{number}: {stored}": stored for number, stored in enumerate(payloads)}
    )


# --- what must not come out -----------------------------------------------------------------------

QUOTING = f"invalid {EMAIL} ({PHONE}), token={TOKEN}, api_secret={SECRET}, header Bearer {TOKEN}"


def assert_no_canary(*texts: object) -> None:
    whole = "\n".join(map(str, texts)).lower()
    assert [canary for canary in CANARIES if canary.lower() in whole] == []


def quoting_answers() -> Iterator[Fault]:
    """Every kind of failure, each quoting the request in each of the platforms' ways."""
    violation = {"field": f"events[0].{EMAIL}", "description": QUOTING, "reason": QUOTING}
    details = [{"reason": QUOTING, "metadata": {"quota_limit": QUOTING}}]
    error = {"message": QUOTING, "error_user_title": QUOTING, "code": 1, "status": QUOTING}
    bodies = (
        json.dumps({"error": {**error, "details": [*details, {"fieldViolations": [violation]}]}}),
        json.dumps({"error": {**error, "code": 100, "status": "INVALID_ARGUMENT"}}),
        QUOTING,
    )
    for status in (200, 400, 401, 403, 429, 500):
        for body in bodies:
            yield answers(status, body.encode(), {"retry-after": PHONE, "x-quote": QUOTING})


def test_no_personal_data_and_no_secret_comes_out(
    queue: Queue, stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpx_aiohttp", "aiohttp", "psycopg", "psycopg.pool", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    add(queue, stand, 2)
    add(queue, stand, event_payload={**GOOD, "event_time": EMAIL, "event_name": PHONE})
    faults = [*quoting_answers(), conformance.resets] if isinstance(stand, HttpStand) else []

    stand.fail()
    run(stand)
    stand.mend()
    for fault in faults:
        assert isinstance(stand, HttpStand)
        stand.front.meets(fault)
        _make_all_due(queue)
        totals = stand.run()
        assert_no_canary(totals, totals.as_json())
    stand.mend()
    _make_all_due(queue)
    run(stand)

    assert queue.one("select count(*) from tracking_delivery_attempts") > len(faults)
    columns = "error_message, error_code, dead_letter_reason, resolved_by, status"
    assert_no_canary(
        queue.read(f"select {columns} from tracking_failed_events"),
        queue.read("select * from tracking_delivery_attempts"),
        queue.read("select * from tracking_destination_state"),
        queue.alerts(),
    )
    assert_no_canary(*(record.getMessage() for record in caplog.records))
    assert_no_canary(*(record.exc_text for record in caplog.records))
    assert any(record.levelno == logging.DEBUG for record in caplog.records)


def _make_all_due(queue: Queue) -> None:
    """As if every wait were over and every fault mended."""
    _open_again(queue)
    queue.connection.execute(
        "update tracking_failed_events set status = 'pending', next_retry_at = null,"
        " retry_count = 0"
    )


def test_no_secret_stands_in_a_url_but_where_the_protocol_wants_it(
    queue: Queue, http: HttpStand
) -> None:
    add(queue, http)

    run(http)

    (request,) = http.front.received
    if http.contestant is conformance.MEASUREMENT_PROTOCOL:
        assert f"api_secret={conformance.SECRET}" in request.path
    else:
        assert_no_canary(request.path)


def test_a_cookie_of_one_answer_does_not_go_with_the_next_visitors_event(
    queue: Queue, http: HttpStand
) -> None:
    # A container's tags take the visitor's browser ids from the cookies of the request.
    cookie = "_fbp=fb.1.1700000000000.1; Path=/; Max-Age=86400"
    add(queue, http, event_payload={**GOOD, "client_id": "1.1"})
    add(queue, http, event_payload={**GOOD, "client_id": "2.2"})
    http.front.meets(answers(500, headers={"set-cookie": cookie}))
    http.request_events = 1

    run(http)

    assert len(http.front.received) == 2
    assert all("cookie" not in request.header_names for request in http.front.received)
