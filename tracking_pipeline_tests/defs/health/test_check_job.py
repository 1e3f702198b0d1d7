"""The health check as Dagster runs it: assets, their numbers, and the checks beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from tracking_pipeline.definitions import build_defs
from tracking_pipeline.defs.health.check import CHECKED, answer_of
from tracking_pipeline.defs.instance.runs import RunError, run_job
from tracking_pipeline.health.emq.keys import KEYS
from tracking_pipeline_tests.dagster_instance import fresh_instance
from tracking_pipeline_tests.health.site import Site

pytestmark = pytest.mark.usefixtures("served_database")

NAMES = [key.to_user_string() for key in CHECKED]


@pytest.fixture
def site(connection: psycopg.Connection) -> Site:
    return Site(connection)


def check(*names: str) -> dg.ExecuteInProcessResult:
    """One run of the job, of these assets alone where any are named."""
    job = build_defs().resolve_job_def("check_tracking_health_job")
    selection = [dg.AssetKey(name) for name in names or NAMES]
    return job.execute_in_process(asset_selection=selection)


def metadata(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    made = (
        each.step_materialization_data.materialization
        for each in result.get_asset_materialization_events()
    )
    (of_asset,) = (each for each in made if each.asset_key == dg.AssetKey(name))
    return dict(of_asset.metadata)


def value(result: dg.ExecuteInProcessResult, name: str, key: str) -> Any:
    return metadata(result, name)[key].value


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def test_a_check_shows_what_it_records(site: Site) -> None:
    site.add_events(25)
    site.add_failed(7)
    result = check()
    assert value(result, "emq_score", "emq_score") == pytest.approx(4.5)
    assert value(result, "emq_score", "coverage_em_percent") == 100.0
    assert value(result, "emq_score", "next_best_key") == "network"
    assert value(result, "queue_depth", "queue_depth") == 7
    assert value(result, "queue_depth", "meta_capi_waiting") == 7
    assert value(result, "error_rate", "error_rate") == pytest.approx(100 * 7 / 32, abs=0.001)
    assert value(result, "tracking_health_alerts", "open_failed_events_critical") == 1
    recorded = {
        row["metric"]: row["value"]
        for row in site.read("select * from tracking_health_snapshots where dimension is null")
    }
    assert recorded["emq_score"] == pytest.approx(4.5)
    assert recorded["queue_depth"] == 7
    run_ids = site.read("select distinct run_id, check_id from tracking_health_snapshots")
    assert [row["run_id"] for row in run_ids] == [result.run_id]
    assert str(run_ids[0]["check_id"]) == value(result, "tracking_health_alerts", "check_id")


def test_the_assets_of_one_run_show_one_moment(site: Site) -> None:
    site.add_failed(7)

    @dg.success_hook
    def more_arrive(context: dg.HookContext) -> None:
        site.add_failed(1)

    job = build_defs().resolve_job_def("check_tracking_health_job").with_hooks({more_arrive})
    result = job.execute_in_process(asset_selection=CHECKED)
    assert site.one("select count(*) from tracking_failed_events") > 7
    assert value(result, "queue_depth", "queue_depth") == 7
    assert answer_of(result)["metrics"]["queue_depth"] == 7


def test_a_reading_alone_shows_itself_and_records_nothing(site: Site) -> None:
    site.add_failed(12)
    result = check("queue_depth")
    assert value(result, "queue_depth", "queue_depth") == 12
    assert not checks(result)["queue_is_short"].passed
    assert site.alerts() == []
    assert site.one("select count(*) from tracking_health_snapshots") == 0


def test_the_alerts_alone_are_a_whole_check(site: Site) -> None:
    site.add_failed(12)
    result = check("tracking_health_alerts")
    assert value(result, "tracking_health_alerts", "critical_alerts") == 1
    assert site.open_types() == {"failed_events_critical"}


def test_checks_mirror_the_alerts_with_their_severity(site: Site) -> None:
    site.add_events(100)
    site.add_failed(6)
    site.connection.execute(
        "insert into tracking_destination_state (destination, state, reason)"
        " values ('meta_capi', 'open', 'token expired')"
    )
    found = checks(check())
    failed = {name: each.severity for name, each in found.items() if not each.passed}
    assert failed == {
        "score_is_good": dg.AssetCheckSeverity.WARN,
        "queue_is_short": dg.AssetCheckSeverity.WARN,
        "few_events_fail": dg.AssetCheckSeverity.ERROR,
        "destinations_take_events": dg.AssetCheckSeverity.ERROR,
    }
    assert site.open_types() == {
        "emq_critical",
        "failed_events_critical",
        "error_rate_critical",
        "destination_paused",
    }
    paused = found["destinations_take_events"].description or ""
    assert "meta_capi: token expired" in paused
    queue = found["queue_is_short"]
    assert queue.metadata["value"] == dg.FloatMetadataValue(6.0)
    assert queue.metadata["warning"] == dg.FloatMetadataValue(5.0)
    assert queue.metadata["critical"] == dg.FloatMetadataValue(10.0)


def test_without_events_there_is_no_score_and_no_verdict() -> None:
    result = check()
    shown = metadata(result, "emq_score")
    assert "emq_score" not in shown
    assert shown["level"].value == "no_data"
    assert shown["no_verdict"].value == "no events"
    found = checks(result)
    assert all(each.passed for each in found.values())
    assert found["score_is_good"].description == "No verdict: no events."
    assert answer_of(result)["metrics"]["emq_score"] is None


def test_numbers_keep_their_type_whatever_they_are(site: Site) -> None:
    """The UI plots a key for as long as its type does not change."""
    types: dict[tuple[str, str], type] = {}
    for step in range(3):
        if step == 1:
            site.add_events(30)
            site.add_lead(city="Miami")
            site.add_failed(3)
        if step == 2:
            site.let_pass(minutes=30)
            site.empty_queue()
        result = check()
        for name in NAMES:
            for key, entry in metadata(result, name).items():
                assert types.setdefault((name, key), type(entry)) is type(entry), (name, key)
    plotted = {
        key for key, kind in types.items() if kind in (dg.FloatMetadataValue, dg.IntMetadataValue)
    }
    assert {("emq_score", f"coverage_{key}_percent") for key in KEYS} < plotted
    assert ("queue_depth", "growth_per_hour") in plotted
    assert ("error_rate", "recovery_rate_percent") in plotted
    assert ("emq_score", "emq_trend") not in plotted  # there were no events in the week before


def test_every_threshold_stands_beside_its_value(site: Site) -> None:
    result = check()
    assert value(result, "emq_score", "warning_below") == 7.0
    assert value(result, "emq_score", "critical_below") == 4.0
    assert value(result, "queue_depth", "critical_above") == 10.0
    assert value(result, "queue_depth", "dead_letters_warning_above") == 0.0
    assert value(result, "error_rate", "warning_above") == 2.0


def test_the_answer_of_a_check_has_the_numbers_and_the_alerts(site: Site) -> None:
    site.add_events(30)
    site.add_failed(12)
    site.add_lead(city="Miami", state="Florida", zip="33130")
    answer = answer_of(check())
    assert answer["success"] is True
    assert answer["status"] == "critical"
    assert answer["metrics"] == {
        "emq_score": 4.5,
        "queue_depth": 12,
        "error_rate": pytest.approx(100 * 12 / 42, abs=0.001),
        "delivery_rate": None,
        "geo_coverage": 100.0,
        "dead_letters": 0,
        "recovery_rate": 0.0,
    }
    assert (answer["alerts_created"], answer["alerts_resolved"]) == (3, 0)
    assert {alert["alert_type"] for alert in answer["active_alerts"]} == set(answer["created"])
    again = answer_of(check())
    assert again["alerts_created"] == 0
    assert len(again["active_alerts"]) == 3


def test_the_job_ends_with_the_report(tmp_path: Path) -> None:
    job = build_defs().resolve_job_def("check_tracking_health_job")
    result = job.execute_in_process()
    assert result.success
    assert Path(value(result, "tracking_health_report", "page")).is_file()


def test_a_database_that_is_not_there_fails_the_run_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", "postgresql://u:s3cret@127.0.0.1:1/shop")
    with fresh_instance() as instance, pytest.raises(RunError) as caught:
        run_job(instance, "check_tracking_health_job", {}, resources={})
    assert "TRACKING_DATABASE_URL" in str(caught.value)
    assert "s3cret" not in str(caught.value)
