"""The sensor and the schedule of enrichment launch when leads arrive, and say numbers if not."""

from __future__ import annotations

import dagster as dg
import psycopg
import pytest

from tracking_pipeline.definitions import defs
from tracking_pipeline.defs.geo.enrich import (
    enrich_leads_job,
    enrich_leads_schedule,
    new_leads_sensor,
)
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline_tests.geo.lead_table import LeadTable

pytestmark = pytest.mark.usefixtures("served_database")


@pytest.fixture
def leads(connection: psycopg.Connection) -> LeadTable:
    return LeadTable(connection)


class Ticks:
    """One tick after the other, each with the cursor that the last one left."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._cursor: str | None = None

    def __call__(self) -> str:
        """What a tick said; ``launched`` where it launched a run."""
        context = dg.build_sensor_context(self._instance, cursor=self._cursor)
        answer = new_leads_sensor(context, tracking=TrackingResource())
        if isinstance(answer, dg.SensorResult):
            self._cursor = answer.cursor
            return "launched"
        assert isinstance(answer, dg.SkipReason)
        return answer.skip_message or ""


@pytest.fixture
def tick(instance: dg.DagsterInstance) -> Ticks:
    return Ticks(instance)


def test_a_new_lead_launches_one_run(leads: LeadTable, tick: Ticks) -> None:
    assert tick() == "0 new, 0 waiting"
    leads.add(client_ip="8.8.8.8")
    assert tick() == "launched"
    assert tick() == "1 new, 0 waiting; a run was launched for them, the schedule asks again"
    leads.add(client_ip="8.8.8.8")
    assert tick() == "launched"


def test_leads_that_wait_launch_nothing(
    leads: LeadTable, tick: Ticks, connection: psycopg.Connection
) -> None:
    leads.add(client_ip="8.8.8.8", geo_status="error", geo_at="now", geo_next_at="now")
    # One that nobody could be asked about, and one whose address is being asked about.
    leads.add(client_ip="8.8.8.8", geo_at="now")
    leads.add(client_ip="8.8.8.8", geo_next_at="tomorrow")
    leads.add(client_ip="8.8.8.8", geo_status="ok", geo_at="now")
    assert tick() == "0 new, 3 waiting"


def test_no_second_run_is_launched_beside_one_under_way(
    leads: LeadTable, tick: Ticks, instance: dg.DagsterInstance
) -> None:
    leads.add()
    run = instance.create_run_for_job(enrich_leads_job, status=dg.DagsterRunStatus.STARTED)
    assert tick() == "1 new, 0 waiting; an enrichment run is under way"
    answer = enrich_leads_schedule(dg.build_schedule_context(instance=instance))
    assert isinstance(answer, dg.SkipReason)
    instance.delete_run(run.run_id)
    assert tick() == "launched"
    answer = enrich_leads_schedule(dg.build_schedule_context(instance=instance))
    assert isinstance(answer, dg.RunRequest)


@pytest.mark.parametrize(
    ("name", "cron", "status"),
    [
        ("enrich_leads_schedule", "*/10 * * * *", dg.DefaultScheduleStatus.RUNNING),
        ("ip_retention_schedule", "20 3 * * *", dg.DefaultScheduleStatus.RUNNING),
        ("update_geo_database_schedule", "0 4 4 * *", dg.DefaultScheduleStatus.STOPPED),
    ],
)
def test_schedules_run_by_default_but_for_the_one_that_downloads(
    name: str, cron: str, status: dg.DefaultScheduleStatus
) -> None:
    schedule = defs.get_repository_def().get_schedule_def(name)
    assert (schedule.cron_schedule, schedule.default_status) == (cron, status)
