"""Every threshold and rule of health is a setting, in words that an environment can hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tracking_pipeline.cli.run import run_check, run_heal
from tracking_pipeline.cli.serve import serve
from tracking_pipeline.health.config import AlertRules
from tracking_pipeline.health.emq.score import SATURATING_WEIGHTS, WEIGHTED_WEIGHTS
from tracking_pipeline.health.metrics import Measured, Metric, alert_specs
from tracking_pipeline.health.thresholds import evaluate
from tracking_pipeline.settings import SettingsError, read_settings
from tracking_pipeline.wiring.health import (
    USUAL_CONVERSION_NAMES,
    conversion_rule_from,
    emq_from,
    health_config,
    thresholds_from,
)


def test_every_metric_has_thresholds_and_the_defaults_are_those_of_the_design() -> None:
    found = thresholds_from(read_settings())
    assert set(found) == {spec.name for spec, _ in alert_specs()}
    assert (found["emq_score"].warning, found["emq_score"].critical) == (7.0, 4.0)
    assert (found["queue_depth"].warning, found["queue_depth"].critical) == (5, 10)
    assert (found["error_rate"].warning, found["error_rate"].critical) == (2.0, 5.0)
    assert found["emq_score"].minimum_events == found["error_rate"].minimum_events == 20
    assert found["emq_score"].direction == "below"


@pytest.mark.parametrize(
    ("metric", "value", "level"),
    [
        ("paused_destinations", 0, "ok"),
        ("paused_destinations", 1, "critical"),
        ("geo_providers_down", 2, "warning"),
        ("missed_checks", 2, "ok"),
        ("missed_checks", 3, "critical"),
        ("dead_letters", 1, "warning"),
        ("dead_letters", 11, "critical"),
    ],
)
def test_what_is_counted_has_fixed_or_set_limits(metric: Metric, value: int, level: str) -> None:
    assert evaluate(thresholds_from(read_settings())[metric], Measured(value)).level == level


def test_thresholds_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMQ_CRITICAL", "5.5")
    monkeypatch.setenv("FAILED_EVENTS_WARNING", "8")
    monkeypatch.setenv("HEALTH_MINIMUM_EVENTS", "3")
    monkeypatch.setenv("ALERT_CLEAR_MARGIN_PERCENT", "10")
    monkeypatch.setenv("ALERT_AFTER_CHECKS", "4")
    monkeypatch.setenv("ALERT_REMINDER_HOURS", "1.5")
    settings = read_settings()
    found = thresholds_from(settings)
    assert found["emq_score"].critical == 5.5
    assert found["queue_depth"].warning == 8
    assert found["error_rate"].minimum_events == 3
    assert found["error_rate"].clear("critical") == pytest.approx(4.5)
    assert health_config(settings).alerts == AlertRules(after_checks=4, clear_after_checks=2)
    assert health_config(settings).notifications.reminder_hours == 1.5


def test_the_model_and_its_weights_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert emq_from(read_settings()) == ("saturating", SATURATING_WEIGHTS)
    monkeypatch.setenv("EMQ_MODEL", "weighted")
    assert emq_from(read_settings()) == ("weighted", WEIGHTED_WEIGHTS)


@pytest.mark.parametrize("text", ["em=0.5, ph = 0.2", '{"em": 0.5, "ph": 0.2}'])
def test_weights_are_pairs_or_json(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("EMQ_WEIGHTS", text)
    _, weights = emq_from(read_settings())
    assert weights == {**SATURATING_WEIGHTS, "em": 0.5, "ph": 0.2}


@pytest.mark.parametrize("text", ["em", "em=high", "em=nan", "em=-1", '{"em"', "[1]", "em=1e999"])
def test_weights_of_the_wrong_form_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("EMQ_WEIGHTS", text)
    with pytest.raises(SettingsError, match=r"^EMQ_WEIGHTS cannot be used: "):
        read_settings()


@pytest.mark.parametrize("text", ["email=0.5", "em=1.5"])
def test_weights_that_the_model_cannot_use_stop_the_check_alone(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("EMQ_WEIGHTS", text)
    settings = read_settings()
    with pytest.raises(SettingsError, match=r"^EMQ_WEIGHTS cannot be used: "):
        emq_from(settings)


@pytest.mark.parametrize(
    ("name", "warning", "critical"),
    [
        ("EMQ", "3", "8"),
        ("FAILED_EVENTS", "11", "10"),
        ("ERROR_RATE", "5.1", "5"),
        ("DEAD_LETTERS", "1", "0"),
    ],
)
def test_a_critical_threshold_that_is_milder_than_its_warning_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, warning: str, critical: str
) -> None:
    monkeypatch.setenv(f"{name}_WARNING", warning)
    monkeypatch.setenv(f"{name}_CRITICAL", critical)
    with pytest.raises(SettingsError, match=f"^{name}_CRITICAL cannot be used: .*{name}_WARNING"):
        thresholds_from(read_settings())
    monkeypatch.setenv(f"{name}_WARNING", critical)
    assert thresholds_from(read_settings())


@pytest.mark.parametrize(
    ("setting", "value", "metric", "warning_and_critical"),
    [
        ("FAILED_EVENTS_CRITICAL", "2", "queue_depth", (2, 2)),
        ("FAILED_EVENTS_WARNING", "50", "queue_depth", (50, 50)),
        ("EMQ_CRITICAL", "9", "emq_score", (9, 9)),
        ("EMQ_WARNING", "3", "emq_score", (3, 3)),
        ("ERROR_RATE_CRITICAL", "20", "error_rate", (2, 20)),
    ],
)
def test_a_default_gives_way_to_the_threshold_that_was_set(
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    value: str,
    metric: Metric,
    warning_and_critical: tuple[float, float],
) -> None:
    monkeypatch.setenv(setting, value)
    found = thresholds_from(read_settings())[metric]
    assert (found.warning, found.critical) == warning_and_critical


@pytest.mark.parametrize(
    "verb", [lambda: run_check(False), lambda: run_heal(False, quiet=True), serve]
)
def test_what_the_check_cannot_use_is_named_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, verb: Callable[[], Any]
) -> None:
    monkeypatch.setenv("EMQ_WEIGHTS", "email=0.5")
    with pytest.raises(SettingsError, match=r"^EMQ_WEIGHTS cannot be used: "):
        verb()


def test_conversions_are_the_usual_ones_or_those_that_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = conversion_rule_from(read_settings())
    assert (usual.names, usual.by_type) == (USUAL_CONVERSION_NAMES, True)
    monkeypatch.setenv("CONVERSION_EVENT_NAMES", "Lead, trial_started ,")
    named = conversion_rule_from(read_settings())
    assert (named.names, named.by_type) == (("Lead", "trial_started"), False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EMQ_MODEL", "s3cret"),
        ("EMQ_WARNING", "11"),
        ("ERROR_RATE_CRITICAL", "101"),
        ("FAILED_EVENTS_CRITICAL", "-1"),
        ("EMQ_WINDOW_DAYS", "0"),
        ("ALERT_AFTER_CHECKS", "0"),
        ("ALERT_REMINDER_HOURS", "0"),
        ("SNAPSHOT_RETENTION_DAYS", "0"),
        ("RUN_RETENTION_DAYS", "s3cret"),
        ("NOTIFICATION_RETENTION_DAYS", "6"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name} cannot be used: ") as caught:
        read_settings()
    assert "s3cret" not in str(caught.value)


def test_channels_are_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERT_CHANNELS", "slack://s3cret, mailto://u:s3cret@example.com")
    assert "s3cret" not in repr(read_settings())
