"""Before a batch dies of a passing fault it is sent in parts: one event that upsets the other side
takes nobody with it."""

from __future__ import annotations

import pytest

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.sandbox.steps import RawStep
from tracking_pipeline_tests.delivery.failed_event_queue import Added, Queue, sent_as
from tracking_pipeline_tests.delivery.runs import Runs

UPSET: RawStep = {"status": 500, "code": 1, "subcode": 99}


def upset_by(sandbox: Sandbox, *rows: Added) -> None:
    """Every request with one of them is answered as if the platform were in trouble."""
    for row in rows:
        sandbox.scripts.set(row.sent_as, [UPSET] * 200)


def test_an_event_that_upsets_the_platform_pays_alone_in_the_end(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    rows = queue.add(6)
    upset_by(sandbox, rows[4])
    processed = requests = 0
    for _ in range(5):
        totals = runs.run()
        processed += totals.total("processed")
        requests += totals.total("requests")
        each = totals.by_destination["meta_capi"]
        assert each.processed == each.resolved + each.failed + each.dead_lettered
        queue.make_due()

    assert queue.statuses() == {"resolved": 5, "dead_letter": 1}
    assert queue.row(rows[4])["dead_letter_reason"] == "max_retries"
    assert sandbox.memory.accepted_ids == sent_as([*rows[:4], rows[5]])
    # Four times the batch and nothing else, then the search, which is shorter where the culprit is
    # the one that halving three leaves alone: rows due at one moment come in any order.
    assert processed == 30
    assert requests in (4 + 1 + 2 * 2, 4 + 1 + 2 * 3)
    assert queue.state()["state"] == "closed"


@pytest.mark.parametrize("culprits", [1, 4])
def test_a_few_among_many_are_found_and_do_not_pause_the_destination(
    queue: Queue, runs: Runs, sandbox: Sandbox, culprits: int
) -> None:
    rows = queue.add(100, retry_count=4, status="retrying")
    upset_by(sandbox, *rows[:: 100 // culprits][:culprits])

    totals = runs.run().by_destination["meta_capi"]

    assert (totals.resolved, totals.dead_lettered) == (100 - culprits, culprits)
    assert totals.state == "ok"
    assert queue.alerts() == []


def test_one_at_its_last_try_is_enough_for_a_search_and_the_culprit_spends_one_of_its_own(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    (worn,) = queue.add(retry_count=4, status="retrying")
    rows = queue.add(5)
    upset_by(sandbox, rows[2])

    totals = runs.run().by_destination["meta_capi"]

    assert (totals.resolved, totals.failed, totals.dead_lettered) == (5, 1, 0)
    assert queue.row(worn)["status"] == "resolved"
    assert (queue.row(rows[2])["status"], queue.row(rows[2])["retry_count"]) == ("retrying", 1)


def test_an_outage_costs_each_event_one_try_and_a_bounded_number_of_requests(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    rows = queue.add(6, retry_count=3, status="retrying")
    worn = queue.add_one(retry_count=4, status="retrying")
    upset_by(sandbox, *rows, worn)

    totals = runs.run().by_destination["meta_capi"]

    assert (totals.resolved, totals.failed, totals.dead_lettered) == (0, 6, 1)
    assert {queue.row(row)["retry_count"] for row in rows} == {4}
    assert totals.requests <= 1 + 2 * 3
