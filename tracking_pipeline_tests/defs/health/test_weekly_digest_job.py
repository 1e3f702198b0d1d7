"""The digest of a week as Dagster makes it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import psycopg
import pytest

from tracking_pipeline.definitions import build_defs
from tracking_pipeline.defs.health.weekly_digest import weekly_digest_schedule
from tracking_pipeline.defs.resources import TrackingResource


def tick() -> object:
    return weekly_digest_schedule(dg.build_schedule_context(), tracking=TrackingResource())


def test_the_schedule_asks_for_a_run_where_the_digest_is_wanted(
    served_database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    skipped = tick()
    assert isinstance(skipped, dg.SkipReason)
    assert skipped.skip_message == "WEEKLY_DIGEST is off"
    monkeypatch.setenv("WEEKLY_DIGEST", "true")
    assert isinstance(tick(), dg.RunRequest)


def test_a_run_owes_it_to_each_channel_once_and_writes_it_as_a_page(
    connection: psycopg.Connection, served_database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_CHANNELS", "json://127.0.0.1:1/a,json://127.0.0.1:1/b")
    job = build_defs().resolve_job_def("weekly_digest_job")
    owed = []
    for _ in range(2):
        events = job.execute_in_process().events_for_node("make_weekly_digest")
        (event,) = (each for each in events if each.is_successful_output)
        metadata = event.event_specific_data.metadata
        owed.append(metadata["channels_owed"].value)
    assert owed == [2, 0]
    page = Path(str(metadata["page"].value))
    assert page.name == f"weekly-{metadata['week'].value}.html"
    (title,) = connection.execute(
        "select distinct title from tracking_alert_notifications"
    ).fetchall()
    assert title[0] in page.read_text()
