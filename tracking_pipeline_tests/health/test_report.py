"""What the report says about made-up records."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tracking_pipeline.health.view.report import make_report
from tracking_pipeline.health.view.report_data import ReportData
from tracking_pipeline.health.view.summary import HealthSummary
from tracking_pipeline.store.health_history import RecordedCheck
from tracking_pipeline.store.health_snapshots import Snapshot
from tracking_pipeline_tests.health.recorded import NOW, last_check, new_site, sick_site
from tracking_pipeline_tests.health.site import policy


def with_check(data: ReportData, *snapshots: Snapshot, minutes_ago: float = 3) -> ReportData:
    taken_at = NOW - timedelta(minutes=minutes_ago)
    return replace(data, summary=HealthSummary(NOW, RecordedCheck(taken_at, list(snapshots))))


def quiet(**changes: object) -> ReportData:
    """A site with one good check and nothing else."""
    good = Snapshot("queue_depth", None, 0, "ok", 5, 10, {"due": 0, "dead_letters": 0})
    return replace(with_check(new_site(), good), **changes)


def test_an_alert_is_told_with_its_next_step_apart() -> None:
    problem = make_report(sick_site()).problems[0]
    assert problem.alert_type == "failed_events_critical"
    assert problem.what.endswith("10 of 12 events are for meta_capi.")
    assert problem.next_step.startswith("Run `tracking-pipeline status`")


def test_critical_alerts_come_first_and_notes_say_what_was_done() -> None:
    problems = make_report(sick_site()).problems
    assert [problem.severity for problem in problems] == ["critical", "warning"]
    assert problems[1].handled == "Acknowledged 24 h ago"


def test_an_alert_of_somebody_else_s_is_told_as_it_is() -> None:
    alert = sick_site().summary.alerts[0]
    foreign = replace(alert, message="The queue is long", alert_type="failed_events_critical")
    site = quiet()
    problem = make_report(replace(site, summary=replace(site.summary, alerts=[foreign]))).problems[
        0
    ]
    assert problem.what == "The queue is long"
    assert problem.next_step.startswith("Run `tracking-pipeline status`")


def test_before_the_first_check_nobody_knows() -> None:
    report = make_report(new_site())
    assert report.status == "unknown"
    assert "No health check has run yet" in report.headline
    assert any("tracking-pipeline check" in sentence for sentence in report.advice)
    assert report.metrics == []


def test_a_quiet_site_is_healthy() -> None:
    report = make_report(quiet())
    assert (report.status, report.problems, report.advice) == ("healthy", [], [])


def test_an_old_check_is_critical_and_never_healthy() -> None:
    good = Snapshot("queue_depth", None, 0, "ok", 5, 10, {})
    report = make_report(with_check(new_site(), good, minutes_ago=46))
    assert report.status == "critical"
    assert "Health checks missed" in report.headline
    assert any("daemon" in sentence for sentence in report.advice)


def test_a_metric_beyond_its_threshold_without_an_alert_is_named() -> None:
    report = make_report(sick_site())
    assert report.headline == (
        "2 alerts open, 1 of them critical; beyond a threshold without an alert yet: "
        "Error rate, New dead letters."
    )


def test_every_value_stands_beside_its_thresholds() -> None:
    lines = {line.metric: line for line in make_report(sick_site()).metrics}
    queue, emq, errors = lines["queue_depth"], lines["emq_score"], lines["error_rate"]
    assert (queue.value, queue.warning, queue.critical) == ("12", "above 5", "above 10")
    assert (emq.value, emq.warning, emq.critical) == ("6.6", "below 7.0", "below 4.0")
    assert (errors.value, errors.warning) == ("4.1 %", "above 2.0 %")
    assert queue.note == "9 due; the oldest 2 h 2 min old; +12 an hour; meta_capi 10, google_ec 2"
    assert "uncalibrated" in emq.note
    assert "−0.7 against the equal time before" in emq.note


def test_a_metric_without_data_is_said_to_have_none() -> None:
    empty = Snapshot("emq_score", None, None, "no_data", 7.0, 4.0, {"events": 0})
    lines = {line.metric: line for line in make_report(with_check(new_site(), empty)).metrics}
    assert (lines["emq_score"].value, lines["emq_score"].level) == ("no data", "no_data")


def test_then_and_now_compares_with_what_people_and_hands_did() -> None:
    lines = {line.label: line for line in make_report(sick_site()).then_and_now}
    recovery = lines["Failed events delivered after all"]
    assert (recovery.then, recovery.now) == ("5.0 %", "85.8 %")
    assert recovery.now_note == "of 120 failed events in 7 days"
    assert (lines["Leads with a city"].then, lines["Leads with a city"].now) == ("11.9 %", "91.2 %")
    zip_code = lines["Events with zip code (zp)"]
    assert (zip_code.then, zip_code.now) == ("7.6 %", "66.9 %")
    assert (lines["EMQ score (estimate)"].then, lines["EMQ score (estimate)"].now) == ("6.2", "6.6")
    assert lines["From breach to alert"].now == "31 s"


def test_without_data_then_and_now_claims_nothing() -> None:
    lines = make_report(new_site()).then_and_now
    assert {line.now for line in lines} == {"no data"}


def test_how_fast_an_alert_was_is_not_known_where_its_events_are_gone() -> None:
    (line,) = (
        line
        for line in make_report(sick_site(breach_to_alert_seconds=[])).then_and_now
        if line.label == "From breach to alert"
    )
    assert line.now == "not known"
    assert "no queue alert" not in line.now_note


def test_match_keys_stand_by_what_they_would_gain() -> None:
    lines = make_report(sick_site()).match_keys
    gains = [line.gain or 0.0 for line in lines]
    assert gains == sorted(gains, reverse=True)
    (city,) = (line for line in lines if line.key == "ct")
    assert city.coverage_percent == pytest.approx(100 * 790 / 1180)
    assert city.from_ip_percent == pytest.approx(100 * 700 / 1180)


def test_the_weighted_model_has_a_line_for_keys_without_a_weight() -> None:
    lines = {
        line.key: line
        for line in make_report(sick_site(config=policy(emq_model="weighted"))).match_keys
    }
    assert lines["ct"].gain is None
    assert lines["em"].gain is not None


def test_ages_come_in_their_order_and_those_without_failed_events_are_left_out() -> None:
    ages = [line.age for line in make_report(sick_site()).recovery]
    assert ages == ["under 1 h", "1 to 6 h", "1 to 7 d"]


def test_the_advice_names_the_key_that_would_help_most() -> None:
    advice = " ".join(make_report(sick_site()).advice)
    assert "external id (external_id)" in advice
    assert "39 dead letters" in advice
    assert "4 leads of the last days still without a location" in advice


def test_a_detail_of_another_version_does_no_harm() -> None:
    bare = [replace(snapshot, detail=None) for snapshot in last_check()]
    report = make_report(sick_site(snapshots=bare))
    assert report.recovery == []
    assert report.dead_letters == []
