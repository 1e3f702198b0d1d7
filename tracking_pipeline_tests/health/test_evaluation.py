"""Which readings are worth a check at once, on made-up series."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.health.alerts.evaluation import find_triggers, trigger_of
from tracking_pipeline.health.alerts.rules import AlertState
from tracking_pipeline.health.config import AlertRules
from tracking_pipeline_tests.health.series import RESULTS, Watch

RULES = st.builds(AlertRules, st.integers(1, 4), st.integers(1, 4))
SERIES = st.text(alphabet=list(RESULTS), max_size=12)


@pytest.mark.parametrize(
    ("checked", "now", "edge"),
    [
        ("", ".", None),
        ("", "a", None),
        ("", "W", "breach"),
        ("", "C", "breach"),
        ("", "?", None),
        ("W", "W", None),
        ("W", "C", "worsening"),
        ("W", ".", "recovery"),
        ("W", "a", None),
        ("W.", ".", None),
        ("W.", "a", "relapse"),
        ("W..", "W", "breach"),
        ("C", "b", None),
        ("C", "W", "easing"),
        ("C", ".", "recovery"),
        ("CW", "W", None),
        ("CW", "C", "relapse"),
        ("CW", ".", "recovery"),
        ("C.", "W", "relapse"),
        ("C", "?", None),
    ],
)
def test_only_what_begins_something_is_an_edge(checked: str, now: str, edge: str | None) -> None:
    assert trigger_of(Watch().see(checked).state, RESULTS[now]) == edge


def test_an_alert_on_its_way_is_left_to_the_schedule() -> None:
    pending = Watch(AlertRules(after_checks=3)).see("W").state
    assert pending.phase == "pending"
    assert trigger_of(pending, RESULTS["C"]) is None


@given(RULES, SERIES, st.sampled_from(list(RESULTS)))
def test_the_check_that_an_edge_launches_takes_it_away(
    rules: AlertRules, checked: str, now: str
) -> None:
    watch = Watch(rules).see(checked)
    watch.see(now)
    assert trigger_of(watch.state, RESULTS[now]) is None


@given(RULES, SERIES, st.sampled_from(list(RESULTS)))
def test_whatever_a_check_would_begin_is_an_edge(rules: AlertRules, checked: str, now: str) -> None:
    watch = Watch(rules).see(checked)
    before, changes = watch.state, len(watch.transitions)
    watch.see(now)
    begun = {each.kind for each in watch.transitions[changes:]}
    counted = before.bad_checks or before.healthy_checks or before.calmer_checks
    # An end, an easing or a start that only completes a count is the schedule's.
    if "worsened" in begun or (begun and not counted):
        assert trigger_of(before, RESULTS[now]) is not None


def test_edges_are_named_by_the_alert_they_belong_to() -> None:
    states = {"dead_letters": Watch().see("W").state}
    results = {"queue_depth": RESULTS["C"], "dead_letters": RESULTS["."]}
    assert find_triggers(states, results) == {
        "failed_events_critical": "breach",
        "dead_letters": "recovery",
    }
    assert find_triggers({}, {"queue_depth": RESULTS["."]}) == {}
    assert trigger_of(AlertState(), RESULTS["W"]) == "breach"
