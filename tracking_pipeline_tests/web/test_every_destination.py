"""Every destination of the registry is taken in for, delivered to, shown, explained, replayed."""

from __future__ import annotations

from uuid import uuid4

import dagster as dg
import pytest

from tracking_pipeline.definitions import build_defs
from tracking_pipeline.delivery.destinations.registry import DESTINATIONS, REGISTRY
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.conformance import GOOD
from tracking_pipeline_tests.delivery.failed_event_queue import Queue
from tracking_pipeline_tests.web.conftest import Serve
from tracking_pipeline_tests.web.serving import FUNCTIONS, Served, answer

PLATFORMS = [spec for spec in REGISTRY if spec.stand_in]


@pytest.fixture
def served(serve: Serve, sandbox: Sandbox) -> Served:
    """A server on which each destination is its stand-in."""
    settings = {"LOG_EVENT_FORWARD_TO": ",".join(spec.name for spec in PLATFORMS)}
    for spec in PLATFORMS:
        settings[spec.url_setting.upper()] = sandbox.address_of(spec.name)
        settings |= {name.upper(): value for name, value in spec.rehearsal.items()}
    return serve(**settings)


def test_what_is_taken_in_reaches_each_and_a_dead_letter_of_each_is_shown_and_replayed(
    served: Served, sandbox: Sandbox, queue: Queue
) -> None:
    event = {**GOOD, "event_id": str(uuid4()), "event_type": "conversion"}
    answer(served.client.post(FUNCTIONS + "/log-event", json=event))
    served.post("/admin-retry-failed-events", {"retryAll": True})
    took = [each.destination for each in sandbox.memory.requests if each.accepted]
    assert sorted(took) == sorted(spec.name for spec in PLATFORMS)

    dead = {
        name: queue.add_one(
            destination=name,
            event_payload=GOOD,
            status="dead_letter",
            dead_letter_reason="max_retries",
        )
        for name in DESTINATIONS
    }
    page, metrics = served.admin.get("/").text, served.admin.get("/metrics").text
    for spec in REGISTRY:
        assert spec.title in page
        assert f'tracking_dead_letter_events{{destination="{spec.name}"}} 1.0' in metrics
        assert f'tracking_destination_up{{destination="{spec.name}"}} 1.0' in metrics
        found = served.get("/admin-explain", id=str(dead[spec.name].id))
        others = {each["name"]: each for each in found["events"][0]["destinations"]}
        assert set(others) == set(DESTINATIONS)
        assert others[spec.name]["own"]
        assert others[spec.name]["outcome"] == "would_be_sent"
        forecast = served.post("/admin-replay-dead-letters", {"destination": spec.name})
        assert (forecast["matched"], forecast["sent"]) == (1, 1)
    replayed = served.post("/admin-replay-dead-letters", {"dry_run": False})
    assert replayed["replayed"] == len(DESTINATIONS)


def test_each_may_be_chosen_in_the_launchpad() -> None:
    defs = build_defs()
    for op, job in (
        ("plan_retry", "retry_failed_events_job"),
        ("replay_dead_letters", "replay_dead_letters_job"),
        ("backfill_destination", "backfill_destination_job"),
    ):
        for name in DESTINATIONS:
            config = {"ops": {op: {"config": {"destination": name}}}}
            dg.validate_run_config(defs.resolve_job_def(job), config)
