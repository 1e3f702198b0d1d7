"""The code location loads with nothing there, and an operator finds it running."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import dagster as dg
import pytest
import yaml

from tracking_pipeline.definitions import build_defs, defs
from tracking_pipeline.defs.instance.runs import Job, resolve_job
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.settings import project_folder


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


def test_schedules_and_sensors_run_by_default() -> None:
    repository = defs.get_repository_def()
    schedules = {each.name: each for each in repository.schedule_defs}
    sensors = {each.name: each for each in repository.sensor_defs}
    stopped = [
        each.name
        for each in schedules.values()
        if each.default_status != dg.DefaultScheduleStatus.RUNNING
    ]
    # It downloads 60 MB, which is the operator's to decide.
    assert stopped == ["update_geo_database_schedule"]
    assert {each.default_status for each in sensors.values()} == {dg.DefaultSensorStatus.RUNNING}
    assert schedules["retry_failed_events_schedule"].cron_schedule == "*/5 * * * *"
    assert schedules["check_tracking_health_schedule"].cron_schedule == "*/15 * * * *"
    assert {"queue_growth_sensor", "threshold_breach_sensor"} < sensors.keys()


def test_every_asset_can_be_found_in_the_catalog() -> None:
    specs = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
    assert {
        "emq_score",
        "queue_depth",
        "error_rate",
        "geo_coverage",
        "tracking_health_alerts",
        "tracking_health_report",
    } <= specs.keys()
    for spec in specs.values():
        assert spec.description
        assert spec.owners
        assert spec.kinds
        assert spec.group_name == "tracking_health"
    alerts = {dep.asset_key.to_user_string() for dep in specs["tracking_health_alerts"].deps}
    assert alerts == {
        "emq_score",
        "queue_depth",
        "error_rate",
        "delivery_accounting",
        "geo_coverage",
    }


def test_every_asset_check_says_what_it_asks() -> None:
    repository = defs.get_repository_def()
    checks = repository.asset_graph.asset_check_keys
    assert len(checks) >= 10
    for key in checks:
        assert repository.asset_graph.get_check_spec(key).description, key


def test_long_runs_leave_slots_for_health_checks() -> None:
    """The limits of dagster.yaml go by these tags."""
    limits = yaml.safe_load((project_folder() / "dagster.yaml").read_text())["concurrency"]["runs"]
    (long_runs,) = (
        each["limit"]
        for each in limits["tag_concurrency_limits"]
        if (each["key"], each["value"]) == ("tracking/slot", "long")
    )
    assert limits["max_concurrent_runs"] - long_runs == 2
    jobs = {job.name: job.tags for job in defs.get_repository_def().get_all_jobs()}
    urgent = {"check_tracking_health_job", "send_notifications_job", "resolve_alerts_job"}
    assert {n for n, tags in jobs.items() if tags.get("dagster/priority") == "1"} == urgent
    assert not any("tracking/slot" in jobs[name] for name in urgent)
    for name in ("retry_failed_events_job", "enrich_leads_job", "replay_dead_letters_job"):
        assert jobs[name]["tracking/slot"] == "long"


def test_everything_an_operator_meets_has_a_description() -> None:
    repository = defs.get_repository_def()
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    # An asset, or its check, is described where it is listed: in the catalog.
    op_jobs = [job for job in jobs if not job.asset_layer.selected_asset_keys]
    assert op_jobs
    described: list[Any] = [
        *jobs,
        *(node for job in op_jobs for node in job.nodes),
        *repository.schedule_defs,
        *repository.sensor_defs,
    ]
    for each in described:
        assert getattr(each, "description", None) or each.definition.description, each.name


def test_the_launchpad_opens_filled_in_and_every_field_says_what_it_does() -> None:
    job: Any = build_defs().get_job_def("retry_failed_events_job")
    filled = job.run_config_schema.config_type.fields["ops"].default_value
    assert filled["plan_retry"]["config"] == {
        "destination": "all",
        "event_id": "",
        "selection": "due",
        "time_budget_seconds": 240,
        "dry_run": False,
    }


@pytest.mark.parametrize(
    ("job_name", "op"),
    [
        ("retry_failed_events_job", "plan_retry"),
        ("replay_dead_letters_job", "replay_dead_letters"),
        ("backfill_destination_job", "backfill_destination"),
        ("enrich_leads_job", "enrich_leads"),
        ("resolve_alerts_job", "act_on_open_alerts"),
    ],
)
def test_every_field_of_a_launchpad_says_what_it_does(job_name: str, op: str) -> None:
    schema: Any = build_defs().get_job_def(job_name).run_config_schema
    ops = schema.config_type.fields["ops"]
    filled = ops.default_value[op]["config"]
    fields = ops.config_type.fields[op].config_type.fields["config"].config_type.fields
    assert filled.keys() == fields.keys()
    assert all(field.description for field in fields.values())


def test_a_job_that_is_run_without_the_other_definitions_is_the_one_that_the_ui_shows() -> None:
    overrides = {"tracking": TrackingResource(rehearsal="auto")}
    jobs = [job for job in defs.jobs or () if isinstance(job, Job)]
    assert {type(job) for job in jobs} == set(get_args(Job))
    for job in jobs:
        alone, among_all = resolve_job(job, overrides), resolve_job(job.name, overrides)
        assert alone.get_job_snapshot_id() == among_all.get_job_snapshot_id()
