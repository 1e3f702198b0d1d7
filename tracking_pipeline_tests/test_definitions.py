"""The code location loads with nothing there, and an operator finds it running."""

from __future__ import annotations

import subprocess
import sys

import dagster as dg

from tracking_pipeline.definitions import build_defs, defs


def test_the_definitions_load_without_environment_database_or_network() -> None:
    script = (
        "import socket\n"
        "def refuse(*arguments): raise AssertionError('a connection while importing')\n"
        "socket.socket.connect = refuse\n"
        "import tracking_pipeline.definitions\n"
        "import threading\n"
        "assert threading.active_count() == 1\n"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], env={}, capture_output=True, text=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr


def test_the_schedule_and_the_sensor_run_by_default() -> None:
    repository = defs.get_repository_def()
    schedule = repository.get_schedule_def("retry_failed_events_schedule")
    sensor = repository.get_sensor_def("queue_growth_sensor")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    assert schedule.cron_schedule == "*/5 * * * *"
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING


def test_everything_an_operator_meets_has_a_description() -> None:
    repository = defs.get_repository_def()
    job = repository.get_job("retry_failed_events_job")
    described = [
        job,
        *job.nodes,
        *repository.schedule_defs,
        *repository.sensor_defs,
    ]
    for each in described:
        assert getattr(each, "description", None) or each.definition.description, each.name


def test_the_launchpad_opens_filled_in_and_every_field_says_what_it_does() -> None:
    job = build_defs().get_job_def("retry_failed_events_job")
    filled = job.run_config_schema.config_type.fields["ops"].default_value
    assert filled["plan_retry"]["config"] == {
        "destination": "all",
        "event_id": "",
        "selection": "due",
        "time_budget_seconds": 240,
        "dry_run": False,
    }
    ops = job.run_config_schema.config_type.fields["ops"].config_type
    fields = ops.fields["plan_retry"].config_type.fields["config"].config_type.fields
    assert all(field.description for field in fields.values())
