"""Which schedules and sensors are said not to work."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tracking_pipeline.health.readings.automation import Automation, AutomationReading

NOW = datetime(2026, 3, 9, 12, tzinfo=timezone.utc)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def sensor(name: str, *ages: float, every: float = 30, failed: int = 0) -> Automation:
    """It last ticked so many seconds ago, the newest first."""
    ticks = [ago(age) for age in ages]
    return Automation(name, ticks, ticks[0] + timedelta(seconds=every), failed, "DatabaseError")


LIVELY = sensor("lively", 10, 40, 70, 100, 130, 160)
ALIVE = {"SENSOR": ago(20), "SCHEDULER": ago(40)}


def found(*automations: Automation, **daemons: datetime) -> tuple[float | None, str]:
    measured = AutomationReading(NOW, automations, daemons or ALIVE).measured
    return measured.value, "; ".join(measured.causes)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (sensor("s", 10), None),
        (sensor("s", 10, failed=2), None),
        (sensor("s", 10, failed=3), "s: the last 3 ticks failed (DatabaseError)"),
        (sensor("daily", 3600, every=86_400), None),
        (sensor("daily", 60, every=86_400, failed=1), "daily: the last 1 tick failed"),
        (sensor("s", 320), None),
        (sensor("s", 3600), "s: no tick for 1 h"),
        (sensor("daily", 86_400 + 200, every=86_400), None),
        (sensor("daily", 2 * 86_400, every=86_400), "daily: no tick for 2 d"),
    ],
)
def test_what_fails_or_does_not_tick_is_named(one: Automation, said: str | None) -> None:
    value, causes = found(one, LIVELY)
    assert value == (1 if said else 0)
    assert causes.startswith(said or "")
    assert bool(causes) is bool(said)


def test_after_an_outage_the_first_check_alarms_nobody() -> None:
    """The daemon begins again: the schedule of the check ticks first, the sensors in a moment."""
    overdue = [sensor(f"s{number}", 7200, 7230, 7260) for number in range(5)]
    assert found(*overdue, sensor("check", 1, 8000, every=900)) == (0, "")


def test_a_daemon_that_is_silent_is_one_cause_and_not_one_a_sensor() -> None:
    late = [sensor(f"s{number}", 900 + number) for number in range(5)]
    value, causes = found(*late, SENSOR=ago(900), SCHEDULER=ago(10))
    assert value == 5
    assert causes == "no sign of life of the Dagster daemon (SENSOR) for 15 min"


def test_where_no_daemon_has_ever_run_or_one_was_given_up_nothing_is_missed() -> None:
    assert AutomationReading(NOW).measured.value is None
    assert AutomationReading(NOW, daemons={"SENSOR": ago(8 * 86_400)}).measured.value is None


def test_many_troubles_are_counted_and_not_all_told() -> None:
    failing = [sensor(f"s{number}", 5, failed=3) for number in range(7)]
    value, causes = found(*failing)
    assert value == 7
    assert causes.endswith("and 4 more")
