"""From breach to message and back, with a real daemon and a real receiver.

The schedule is turned off: what is seen here is the sensor's doing.
"""

from __future__ import annotations

from pathlib import Path

import psycopg

from tracking_pipeline_tests.dev_process import Dev, running_dev
from tracking_pipeline_tests.health.sinks import webhook
from tracking_pipeline_tests.health.site import Site
from tracking_pipeline_tests.servers import reachable_folder

SCHEDULE = """query { scheduleOrError(scheduleSelector: {
  scheduleName: "check_tracking_health_schedule", repositoryName: "__repository__",
  repositoryLocationName: "tracking_pipeline"}) { ... on Schedule { scheduleState { id } } } }"""
STOP = """mutation($id: String!) { stopRunningSchedule(id: $id) {
  ... on ScheduleStateResult { scheduleState { status } } } }"""


def stop_the_schedule(dev: Dev) -> None:
    state = dev.ask(SCHEDULE)["scheduleOrError"]["scheduleState"]
    stopped = dev.ask(STOP, id=state["id"])["stopRunningSchedule"]
    assert stopped["scheduleState"]["status"] == "STOPPED"


def test_a_breach_is_told_within_its_minute_and_so_is_its_end(
    connection: psycopg.Connection, database_url: str, tmp_path: Path
) -> None:
    site = Site(connection)
    settings = {"TRACKING_DATABASE_URL": database_url, "ALERT_CLEAR_AFTER_CHECKS": "1"}
    log = tmp_path / "dev.log"
    with (
        webhook() as receiver,
        running_dev(reachable_folder(), log, ALERT_CHANNELS=receiver.url, **settings) as dev,
    ):
        dev.wait_until_loaded()
        stop_the_schedule(dev)
        site.add_failed(12)
        dev.wait_for("the breach is an alert", site.alerts)
        dev.wait_for("the receiver is told", lambda: receiver.titles)
        site.empty_queue()
        dev.wait_for("the alert ends", lambda: not site.open_types())
        dev.wait_for("the receiver is told of the end", lambda: len(receiver.titles) > 1)
    (alert,) = site.alerts()
    assert (alert["alert_type"], alert["severity"]) == ("failed_events_critical", "critical")
    assert receiver.titles == [
        "Critical: failed events waiting to be sent again: 12, more than 10",
        "Resolved: failed events waiting to be sent again: 0",
    ]
