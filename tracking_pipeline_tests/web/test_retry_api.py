"""The button "Retry all", and the run behind it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from uuid import uuid4

import httpx
import pytest

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.web import run_desk
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, wait_until
from tracking_pipeline_tests.web.conftest import Serve
from tracking_pipeline_tests.web.serving import FUNCTIONS, Served, closed_queue

RETRY = "/admin-retry-failed-events"
TOMORROW = datetime.now(timezone.utc) + timedelta(days=1)


def test_retry_all_sends_what_waits_and_tells_the_numbers_under_both_names(
    with_meta: Sandbox, served: Served, queue: Queue
) -> None:
    good, bad, late = queue.add_one(), queue.add_one(), queue.add_one(next_retry_at=TOMORROW)
    with_meta.scripts.set(bad.sent_as, ["bad"])
    found = served.post(RETRY, {"retryAll": True})
    expected = {
        "success": True,
        "ok": True,
        "processed": 3,
        "resolved": 2,
        "failed": 0,
        "dead_lettered": 1,
        "deadLettered": 1,
        "joined": False,
        "message": "",
    }
    assert {key: found[key] for key in expected} == expected
    assert [queue.row(row)["status"] for row in (good, bad, late)] == [
        "resolved",
        "dead_letter",
        "resolved",
    ]


@pytest.mark.parametrize(
    "label",
    [
        {},
        {"Content-Type": "text/plain;charset=UTF-8"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ],
)
def test_a_body_is_read_whatever_it_is_labelled(
    with_meta: Sandbox, served: Served, queue: Queue, label: dict[str, str]
) -> None:
    row = queue.add_one(next_retry_at=TOMORROW)
    body = b'{"retryAll": true}'
    response = served.admin.post(FUNCTIONS + RETRY, content=body, headers=label)
    assert response.status_code == 200, response.text
    assert queue.row(row)["status"] == "resolved"


def test_without_a_body_only_what_is_due_is_sent(
    with_meta: Sandbox, served: Served, queue: Queue
) -> None:
    queue.add_one(), queue.add_one(next_retry_at=TOMORROW)
    assert served.post(RETRY)["processed"] == 1
    assert served.post(RETRY, {"retryAll": False})["processed"] == 0


def test_one_event_is_named_by_its_own_id_or_its_rows(
    with_meta: Sandbox, served: Served, queue: Queue
) -> None:
    first, second, third = queue.add(3, next_retry_at=TOMORROW)
    assert served.post(RETRY, event_id=str(first.id))["resolved"] == 1
    assert served.post(RETRY, {"retryAll": True}, event_id=str(second.event_id))["resolved"] == 1
    assert queue.row(third)["status"] == "pending"
    found = served.post(RETRY, event_id=str(uuid4()))
    assert found["processed"] == 0
    assert found["message"] == "no waiting event has this id, or another worker holds it"


@pytest.mark.parametrize("name", ["event_id", "eventId"])
def test_one_event_is_named_in_the_body(
    with_meta: Sandbox, served: Served, queue: Queue, name: str
) -> None:
    wanted, other = queue.add(2)
    found = served.post(RETRY, {name: str(wanted.event_id)}, event_id=str(wanted.event_id))
    assert (found["resolved"], found["message"]) == (1, "")
    assert queue.row(other)["status"] == "pending"
    found = served.post(RETRY, {name: str(uuid4())})
    assert found["message"] == "no waiting event has this id, or another worker holds it"


def test_what_a_retry_does_not_know_is_named_and_nothing_is_sent(
    with_meta: Sandbox, served: Served, queue: Queue
) -> None:
    first, second = queue.add(2)
    for body, word in (
        ({"evnet_id": str(first.id)}, "evnet_id"),
        ({"retryAll": True, "destination": "meta_capi"}, "destination"),
        ({"event_id": "1"}, "event_id"),
        ({"event_id": str(first.id), "eventId": str(second.id)}, "several events"),
    ):
        response = served.admin.post(FUNCTIONS + RETRY, json=body)
        assert response.status_code == 422, body
        assert word in response.json()["error"]
    assert queue.statuses() == {"pending": 2}


def test_an_accepted_event_is_named_too(with_meta: Sandbox, served: Served, queue: Queue) -> None:
    sent, not_set_up = queue.accept_one(), queue.accept_one(destination="google_ec")
    for event, number in ((sent, "accepted_delivered"), (not_set_up, "accepted_waiting")):
        found = served.post(RETRY, event_id=str(event.event_id))
        assert (found[number], found["processed"], found["message"]) == (1, 0, "")


def test_the_run_stands_beside_those_of_the_ui(served: Served) -> None:
    run_id = served.post(RETRY)["run_id"]
    (run,) = served.get("/runs")["runs"]
    assert (run["run_id"], run["job"], run["status"]) == (
        run_id,
        "retry_failed_events_job",
        "SUCCESS",
    )
    assert served.get(f"/runs/{run_id}")["result"]["processed"] == 0


def test_two_clicks_are_one_run(
    with_meta: Sandbox, served: Served, queue: Queue, database_url: str
) -> None:
    rows = queue.add(5)
    with ThreadPoolExecutor(4) as pool:
        with closed_queue(database_url):
            clicks = [pool.submit(served.post, RETRY, {"retryAll": True}) for _ in range(4)]
            wait_until(lambda: queue.one("select count(*) from tracking_admin_actions") == 4)
        answers = [click.result() for click in clicks]
    assert len({found["run_id"] for found in answers}) == 1
    assert sorted(found["joined"] for found in answers) == [False, True, True, True]
    assert {found["resolved"] for found in answers} == {5}
    assert [with_meta.memory.accepted(row.sent_as) for row in rows] == [1] * 5
    assert len(served.get("/runs")["runs"]) == 1


def test_a_click_after_the_end_is_a_run_of_its_own(served: Served) -> None:
    assert served.post(RETRY)["run_id"] != served.post(RETRY)["run_id"]


def test_a_run_that_takes_longer_is_followed_under_its_own_address(
    serve: Serve, with_meta: Sandbox, queue: Queue, database_url: str
) -> None:
    served = serve(wait_seconds=0.0)
    row = queue.add_one()
    with closed_queue(database_url):
        response = served.admin.post(FUNCTIONS + RETRY, json={"retryAll": True})
        assert response.status_code == 202
        begun = response.json()
        assert begun["success"] is True
        assert begun["status_url"] == response.headers["Location"]
        # Meanwhile the server serves others, and a second click begins nothing.
        assert served.get("/alerts") == {"alerts": []}
        again = served.admin.post(FUNCTIONS + RETRY, json={"retryAll": True})
        assert (again.status_code, again.json()["run_id"]) == (202, begun["run_id"])
        assert again.json()["joined"] is True
        assert served.admin.get(begun["status_url"]).json()["result"] is None
    wait_until(lambda: served.admin.get(begun["status_url"]).json()["result"])
    assert served.admin.get(begun["status_url"]).json()["result"]["resolved"] == 1
    assert queue.row(row)["status"] == "resolved"
    assert queue.connection.execute(
        "select action, outcome, detail ->> 'run_id' from tracking_admin_actions order by id"
    ).fetchall() == [("retry", "started", begun["run_id"]), ("retry", "joined", begun["run_id"])]


def test_so_many_runs_at_once_and_no_more(
    serve: Serve, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_desk, "MOST_RUNS_AT_ONCE", 1)
    served = serve(wait_seconds=0.0)
    with closed_queue(database_url):
        first = served.admin.post(FUNCTIONS + RETRY)
        second = served.admin.post(FUNCTIONS + RETRY, json={"retryAll": True})
    assert (first.status_code, second.status_code) == (202, 429)
    assert second.headers["Retry-After"]


def test_a_run_that_cannot_be_done_says_why_in_one_line(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The next run reads its settings anew.
    monkeypatch.setenv("TRACKING_DATABASE_URL", "postgresql://127.0.0.1:1/nowhere?password=hidden")
    response = served.admin.post(FUNCTIONS + RETRY)
    assert response.status_code == 503
    assert response.json()["error"].startswith("cannot connect to database nowhere")
    assert "hidden" not in response.text
    (run,) = served.get("/runs")["runs"]
    assert run["status"] == "FAILURE"
    assert served.get(f"/runs/{run['run_id']}")["error"] == response.json()["error"]


@pytest.mark.parametrize("run_id", ["nonsense", "..%2f..%2fetc%2fpasswd", "1' or '1'='1"])
def test_a_run_is_asked_for_by_its_id_alone(served: Served, run_id: str) -> None:
    response: httpx.Response = served.admin.get(f"{FUNCTIONS}/runs/{run_id}")
    assert response.status_code in (404, 422)
    assert served.admin.get(f"{FUNCTIONS}/runs/{uuid4()}").status_code == 404
