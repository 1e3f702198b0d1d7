"""What Google says later of events that it accepted at their first attempt."""

from __future__ import annotations

import pytest

from tracking_pipeline.delivery.destinations.google.outcomes import GoogleOutcomes
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.destinations.google.test_google_runs import (
    GoogleRuns,
    half_an_hour_goes_by,
)
from tracking_pipeline_tests.delivery.failed_event_queue import Queue


@pytest.fixture
def google(database_url: str, sandbox: Sandbox) -> GoogleRuns:
    runs = GoogleRuns(database_url, sandbox)
    runs.behave(processing=False)
    return runs


def test_an_event_is_kept_until_google_has_judged_it_well(queue: Queue, google: GoogleRuns) -> None:
    (added,) = queue.accept(destination="google_ec")

    assert google.run().accepted_delivered == 1
    assert queue.accepted()[added.id]["delivered_at"] is not None
    # It is delivered: no run takes it, and none counts it.
    assert google.run(all_events=True).accepted_delivered == 0
    assert google.run(dry_run=True).accepted_waiting == 0
    half_an_hour_goes_by(queue)

    assert google.read() == GoogleOutcomes(checked=1, delivered=1)
    assert queue.accepted() == {}
    assert queue.statuses() == {}


def test_an_event_that_google_refuses_later_becomes_a_dead_letter(
    queue: Queue, google: GoogleRuns
) -> None:
    (added,) = queue.accept(destination="google_ec")
    google.behave(refused_later={added.sent_as: "INVALID_GCLID"})
    google.run()
    half_an_hour_goes_by(queue)

    outcomes = google.read()

    assert (outcomes.refused, outcomes.dead_lettered) == (1, 1)
    row = queue.row(added)
    assert (row["status"], row["error_code"]) == ("dead_letter", "INVALID_GCLID")
    assert row["dead_letter_reason"] == "refused by Google: INVALID_GCLID"
    assert queue.accepted() == {}
    assert [each["outcome"] for each in queue.attempts(added)] == ["delivered", "rejected"]


def test_an_event_that_google_wants_later_is_tried_again(queue: Queue, google: GoogleRuns) -> None:
    (added,) = queue.accept(destination="google_ec")
    google.behave(refused_later={added.sent_as: "TOO_RECENT_CLICK"})
    google.run()
    half_an_hour_goes_by(queue)

    assert google.read().requeued == 1
    assert (queue.row(added)["status"], queue.row(added)["retry_count"]) == ("retrying", 1)

    queue.make_due()
    assert google.run().resolved == 1


def test_the_one_that_google_refuses_among_many_is_found(queue: Queue, google: GoogleRuns) -> None:
    rows = queue.accept(40, destination="google_ec")
    google.behave(refused_later={rows[7].sent_as: "INVALID_GCLID"})
    google.run()
    for _ in range(4):
        half_an_hour_goes_by(queue)
        google.read()

    assert queue.accepted() == {}
    assert queue.statuses() == {"resolved": 39, "dead_letter": 1}
    assert queue.row(rows[7])["status"] == "dead_letter"
