"""The alert's state machine on made-up series, as one tests a Prometheus rule."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.health.alerts.rules import (
    AlertState,
    Recovery,
    acknowledged,
    adopt,
    closed,
    recovery_of,
    rules_for,
    silenced,
    step,
)
from tracking_pipeline.health.config import AlertRules
from tracking_pipeline_tests.health.series import EVERY, RESULTS, START, Watch

SLOW = AlertRules(after_checks=3, clear_after_checks=3)


@pytest.mark.parametrize(
    ("series", "kinds"),
    [
        ("", []),
        ("....", []),
        ("W", ["started"]),
        ("C", ["started"]),
        ("WWWW", ["started"]),
        ("W.", ["started"]),
        ("W..", ["started", "ended"]),
        ("W....", ["started", "ended"]),
        ("WC", ["started", "worsened"]),
        ("WCCC", ["started", "worsened"]),
        ("CWW", ["started", "eased"]),
        ("CW", ["started"]),
        ("CWWC", ["started", "eased", "worsened"]),
        ("CbW", ["started"]),
        ("CW.", ["started"]),
        ("CW..", ["started", "ended"]),
        ("C..W", ["started", "ended", "started"]),
    ],
)
def test_an_alert_fires_at_once_and_clears_after_two_healthy_checks(
    series: str, kinds: list[str]
) -> None:
    assert Watch().see(series).kinds == kinds


@pytest.mark.parametrize(
    ("series", "kinds"),
    [
        ("WW", []),
        ("WW.WW.WW", []),
        ("WWW", ["started"]),
        ("WWa", []),
        ("WWaWW", []),
        ("WWCC", ["started"]),
        ("WWWC", ["started", "worsened"]),
        ("WCW", ["started"]),
        ("WWW..", ["started"]),
        ("WWW...", ["started", "ended"]),
        ("WWW..W...", ["started", "ended"]),
    ],
)
def test_slower_rules_wait_for_three_in_a_row(series: str, kinds: list[str]) -> None:
    assert Watch(SLOW).see(series).kinds == kinds


@pytest.mark.parametrize("series", ["W.W.W.W.W.W", "WaWaWaWa", "WaaaaaW", "W.a.a.a.a"])
def test_a_flapping_metric_is_one_alert(series: str) -> None:
    watch = Watch().see(series)
    assert watch.kinds == ["started"]
    assert watch.state.phase == "firing"


def test_a_value_between_threshold_and_clear_threshold_raises_nothing() -> None:
    assert Watch().see("aaaa").state.phase == "ok"
    assert Watch().see("W..aaaa").kinds == ["started", "ended"]


def test_critical_is_held_until_its_own_clear_threshold() -> None:
    watch = Watch().see("CbbbbC")
    assert watch.kinds == ["started"]
    assert watch.state.severity == "critical"


@pytest.mark.parametrize(
    ("series", "severity", "value", "threshold"),
    [
        ("C.", "critical", 9.0, 4.0),
        ("Ca", "critical", 7.1, 4.0),
        ("CW", "critical", 6.0, 4.0),
        ("Cb", "critical", 4.1, 4.0),
        ("C..", "critical", 9.0, 4.0),
        ("WC.", "critical", 9.0, 4.0),
        ("CWW", "warning", 6.0, 7.0),
        ("Caa", "warning", 7.1, 7.0),
        ("CWW.", "warning", 9.0, 7.0),
        ("C..W", "warning", 6.0, 7.0),
    ],
)
def test_while_the_value_gets_better_the_threshold_is_that_of_the_severity(
    series: str, severity: str, value: float, threshold: float
) -> None:
    state = Watch().see(series).state
    assert (state.severity, state.value, state.threshold) == (severity, value, threshold)


@pytest.mark.parametrize(
    ("series", "recovery"),
    [
        ("", None),
        ("C", None),
        ("CC", None),
        ("WWW", None),
        ("CWW", None),
        ("C.", Recovery("ok", 2)),
        ("C..", Recovery("ok", 1)),
        ("C..a", Recovery("ok", 3)),
        ("C..?", Recovery("ok", 1)),
        ("CW", Recovery("warning", 1)),
        ("CWb", Recovery("warning", 2)),
        ("W.", Recovery("ok", 2)),
        ("W.W", None),
    ],
)
def test_a_recovery_says_how_many_checks_are_left(series: str, recovery: Recovery | None) -> None:
    rules = AlertRules(clear_after_checks=3 if "." in series else 2)
    assert recovery_of(Watch(rules).see(series).state, rules) == recovery


def test_the_episode_keeps_its_birth_and_tells_its_newest_value() -> None:
    watch = Watch(SLOW).see("WWWC")
    started, worsened = watch.transitions
    assert started.since == worsened.since == START + EVERY
    assert started.fired_at == worsened.fired_at == START + 3 * EVERY
    assert (started.severity, started.value, started.threshold) == ("warning", 6.0, 7.0)
    assert (worsened.severity, worsened.value, worsened.threshold) == ("critical", 3.0, 4.0)
    assert worsened.at == START + 4 * EVERY


class TestMissingData:
    @pytest.mark.parametrize("series", ["????", "W????", "WW??", "C?????", "W..????"])
    def test_it_neither_raises_nor_ends(self, series: str) -> None:
        before = Watch().see(series.rstrip("?"))
        after = Watch().see(series)
        assert after.kinds == before.kinds
        assert after.state.phase == before.state.phase
        assert after.state.severity == before.state.severity

    def test_it_does_not_break_a_row_of_checks(self) -> None:
        assert Watch(SLOW).see("WW?W").kinds == ["started"]
        assert Watch().see("W.?.").kinds == ["started", "ended"]

    def test_the_last_value_stays_known(self) -> None:
        state = Watch().see("W?").state
        assert (state.value, state.threshold) == (6.0, 7.0)


class TestTwoChecksAtOnce:
    def test_they_make_one_alert(self) -> None:
        watch = Watch()
        watch.check("W")
        watch.check("W", taken_at=watch.now)
        assert watch.kinds == ["started"]

    def test_the_second_adds_to_no_count(self) -> None:
        watch = Watch().see("W")
        began = watch.now + EVERY
        for seconds in (1, 2):
            watch.now = began + timedelta(seconds=seconds)
            watch.check(".", taken_at=began)
        assert watch.kinds == ["started"]
        watch.see(".")
        assert watch.kinds == ["started", "ended"]

    def test_a_slow_check_does_not_undo_what_a_later_one_saw(self) -> None:
        watch = Watch()
        began = watch.now
        watch.see("C")
        watch.check(".", taken_at=began)
        assert watch.state.healthy_checks == 0


class TestClockJumps:
    @pytest.mark.parametrize("jump", [timedelta(days=400), timedelta(days=-400), timedelta(0)])
    def test_no_phase_depends_on_the_time_between_checks(self, jump: timedelta) -> None:
        watch = Watch().see("W")
        watch.now += jump
        watch.see("..")
        assert watch.kinds == ["started", "ended"]

    def test_checks_count_again_right_after_the_clock_went_back(self) -> None:
        watch = Watch().see("W")
        watch.now -= timedelta(hours=3)
        watch.check(".")
        watch.now += EVERY
        watch.check(".")
        assert watch.kinds == ["started", "ended"]


class TestOperators:
    def test_acknowledging_holds_until_it_worsens_or_ends(self) -> None:
        watch = Watch().see("W")
        watch.state = acknowledged(watch.state, watch.now)
        assert watch.see("W").state.acknowledged_at == START + EVERY
        assert watch.see("C").state.acknowledged_at is None
        watch.state = acknowledged(watch.state, watch.now)
        assert watch.see("..").state.acknowledged_at is None

    @pytest.mark.parametrize("series", ["", "W.."])
    def test_there_is_nothing_to_acknowledge_before_and_after(self, series: str) -> None:
        watch = Watch().see(series)
        assert acknowledged(watch.state, watch.now) == watch.state

    def test_silence_does_not_stop_the_machine(self) -> None:
        watch = Watch()
        watch.state = silenced(watch.state, START + timedelta(days=1))
        assert watch.see("WC..W").kinds == ["started", "worsened", "ended", "started"]
        assert watch.state.is_silenced(watch.now)
        assert not silenced(watch.state, None).is_silenced(watch.now)

    def test_resolving_by_hand_ends_the_episode_and_a_bad_metric_begins_another(self) -> None:
        watch = Watch().see("C")
        watch.state, changed = closed(watch.state, watch.now)
        assert [each.kind for each in changed] == ["ended"]
        assert watch.state.phase == "resolved"
        watch.see("C")
        assert watch.kinds == ["started", "started"]
        assert watch.transitions[0].fired_at != watch.transitions[1].fired_at

    def test_resolving_what_is_pending_forgets_it(self) -> None:
        watch = Watch(SLOW).see("WW")
        watch.state, changed = closed(watch.state, watch.now)
        assert changed == []
        assert watch.state.phase == "ok"
        assert watch.see("W").state.bad_checks == 1

    def test_resolving_nothing_changes_nothing(self) -> None:
        assert closed(AlertState(), START) == (AlertState(), [])


def test_an_alert_that_was_there_before_is_carried_on() -> None:
    healthy = Watch(state=adopt("warning", START)).see("..")
    assert healthy.kinds == ["ended"]
    assert healthy.transitions[0].fired_at == START
    assert Watch(state=adopt("warning", START)).see("WC").kinds == ["worsened"]


def test_a_pause_is_known_and_not_measured() -> None:
    assert rules_for("destination_paused", SLOW) == AlertRules(1, 1)
    assert rules_for("pipeline_stalled", SLOW) == AlertRules(1, 1)
    assert rules_for("emq_critical", SLOW) == SLOW


SERIES = st.text(alphabet=st.sampled_from(sorted(RESULTS)), max_size=60)
RULES = st.builds(AlertRules, st.integers(1, 4), st.integers(1, 4))


@given(SERIES, RULES)
def test_episodes_never_overlap_and_each_ends_at_most_once(series: str, rules: AlertRules) -> None:
    watch = Watch(rules).see(series)
    is_open = False
    severity = None
    for each in watch.transitions:
        assert (each.kind == "started") is not is_open
        if each.kind in ("worsened", "eased"):
            assert each.severity != severity
        is_open = each.kind != "ended"
        severity = each.severity
    assert is_open is (watch.state.phase == "firing")
    births = [each.fired_at for each in watch.transitions if each.kind == "started"]
    assert len(set(births)) == len(births)


@given(SERIES, SERIES, RULES)
def test_a_restart_in_the_middle_changes_nothing(
    before: str, after: str, rules: AlertRules
) -> None:
    whole = Watch(rules).see(before + after)
    halved = Watch(rules).see(before)
    halved.state = AlertState.from_json(json.loads(json.dumps(halved.state.as_json())))
    halved.see(after)
    assert halved.state == whole.state
    assert halved.transitions == whole.transitions
    assert halved.messages == whole.messages


@given(SERIES, RULES)
def test_every_check_taken_twice_gives_what_it_gives_once(series: str, rules: AlertRules) -> None:
    once = Watch(rules).see(series)
    twice = Watch(rules)
    for letter in series:
        twice.now += EVERY
        twice.check(letter)
        twice.check(letter, taken_at=twice.now)
    assert twice.transitions == once.transitions
    assert twice.state == once.state


@given(SERIES, st.lists(st.integers(-(10**7), 10**7), min_size=60, max_size=60))
def test_whatever_the_clock_does_the_phases_are_the_same(series: str, jumps: list[int]) -> None:
    steady, jumping = Watch(), Watch()
    for letter, seconds in zip(series, jumps, strict=False):
        steady.see(letter)
        jumping.now += timedelta(seconds=seconds or 1)
        jumping.state, changed = step(
            jumping.state, RESULTS[letter], jumping.now, jumping.rules, taken_at=jumping.now
        )
        jumping.transitions += changed
    assert jumping.kinds == steady.kinds
    assert jumping.state.phase == steady.state.phase


@given(SERIES, RULES)
def test_what_a_recovery_announces_comes_true(series: str, rules: AlertRules) -> None:
    watch = Watch(rules).see(series)
    recovery = recovery_of(watch.state, rules)
    if watch.state.phase != "firing" or recovery is None:
        return
    before = len(watch.transitions)
    watch.see(("." if recovery.level == "ok" else "W") * (recovery.checks_left - 1))
    assert watch.state.phase == "firing"
    watch.see("." if recovery.level == "ok" else "W")
    expected = "ended" if recovery.level == "ok" else "eased"
    assert watch.transitions[before:][-1].kind == expected


def test_a_state_of_another_version_is_read_as_far_as_it_is_known() -> None:
    stored = {**Watch().see("C").state.as_json(), "name_of_tomorrow": 1}
    assert AlertState.from_json(stored).phase == "firing"
    assert AlertState.from_json({}) == AlertState()
