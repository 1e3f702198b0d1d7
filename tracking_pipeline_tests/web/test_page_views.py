"""What the page says, before any of it is HTML."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.delivery.worth import EventsWorth
from tracking_pipeline.health.formatting import moment_near, percent
from tracking_pipeline.health.metrics import METRICS
from tracking_pipeline.health.readings.accounting import AccountingReading, DestinationAccount, Line
from tracking_pipeline.health.thresholds import Thresholds
from tracking_pipeline.health.view.accounting import arrivals_view
from tracking_pipeline.health.view.alerts import open_alerts
from tracking_pipeline.health.view.status import DestinationStatus
from tracking_pipeline.health.view.summary import HealthSummary
from tracking_pipeline.store.alerts import AlertRow
from tracking_pipeline.store.dead_letters import Group
from tracking_pipeline.store.health_snapshots import Point, Snapshot
from tracking_pipeline.store.queue_counts import Waiting
from tracking_pipeline.web.admin.replay import ReplayBody
from tracking_pipeline.web.page.dead_letters import (
    SPAN_WORDS,
    DeadLetterFilter,
    dead_letter_filter,
    dead_letters_view,
    offers,
)
from tracking_pipeline.web.page.score_view import score_course
from tracking_pipeline.web.page.view import queue_view, status_view

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
SINCE = NOW - timedelta(days=30)
NAMES = ("destination", "reason", "error_code", "event_name", "hours")

queries = st.dictionaries(
    st.sampled_from(NAMES), st.text() | st.sampled_from((*DESTINATIONS, *SPAN_WORDS))
)


def _status(
    state: str = "ok", *, next_try: float | None = None, first_attempts: int = 0, **waiting: int
) -> DestinationStatus:
    counts = {"waiting": 0, "due": 0, "leased": 0, "dead_letters": 0, **waiting}
    queued = Waiting("x", oldest_age_seconds=None, next_due_seconds=None, **counts)
    return DestinationStatus(state, "", queued, next_try, None, first_attempts)


# --- the filter in the address ---


@given(queries)
def test_whatever_the_address_says_the_api_takes_the_filter_that_is_made_of_it(
    query: dict[str, str],
) -> None:
    chosen = dead_letter_filter(query)
    assert ReplayBody.model_validate(chosen.to_replay_request(NOW)).dry_run
    assert "\x00" not in chosen.to_query(NOW).reason


@given(queries)
def test_store_and_api_are_told_the_same(query: dict[str, str]) -> None:
    chosen = dead_letter_filter(query)
    letters, order = chosen.to_query(NOW), ReplayBody.model_validate(chosen.to_replay_request(NOW))
    assert (letters.reason, letters.error_code, letters.event_name, letters.since) == (
        order.reason,
        order.error_code,
        order.event_name,
        order.since,
    )
    assert letters.destinations == (() if order.destination == "all" else (order.destination,))


def test_an_address_without_a_filter_narrows_nothing() -> None:
    assert dead_letter_filter({}).is_empty
    assert dead_letter_filter({"destination": "nowhere", "hours": "-1", "reason": " \t"}).is_empty
    assert not dead_letter_filter({"hours": "24"}).is_empty


# --- dead letters ---


def test_a_group_is_replayed_by_its_exact_reason_within_the_filter() -> None:
    groups = [Group("meta_capi", "max_retries", 7, 2)]
    view = dead_letters_view(groups, {}, DeadLetterFilter(event_name="Lead"), NOW)
    assert view.groups[0].order == {
        "destination": "meta_capi",
        "reason": "max_retries",
        "reason_match": "exact",
        "event_name": "Lead",
    }
    assert view.order == {"event_name": "Lead"}
    assert view.groups[0].delivered == "2 arrived another way"


def test_a_reason_with_personal_data_goes_nowhere() -> None:
    groups = [Group("meta_capi", "invalid e-mail emily@example.com", 1, 0)]
    (group,) = dead_letters_view(groups, {}, DeadLetterFilter(), NOW).groups
    assert group.order is None
    assert "emily" not in str(group)


def test_a_count_that_was_cut_short_says_so() -> None:
    groups = [Group("meta_capi", "expired", 9_999, 0), Group("meta_capi", "max_retries", 1, 0)]
    assert dead_letters_view(groups, {}, DeadLetterFilter(), NOW).total == "10,000 events or more"


def test_what_arrived_another_way_is_not_offered() -> None:
    groups = [
        Group("meta_capi", "a", 3, 3),
        Group("google_ec", "a", 3, 1),
        Group("google_ec", "b", 2, 0),
    ]
    assert [each.order["destination"] for each in offers(groups)] == ["google_ec"]
    assert "4 events" in offers(groups)[0].message


# --- alerts ---


def _alert(alert_type: str, severity: str = "critical", **columns: object) -> AlertRow:
    empty = dict.fromkeys(field.name for field in fields(AlertRow))
    known = {"id": uuid4(), "alert_type": alert_type, "severity": severity, "message": ""}
    return AlertRow(**{**empty, **known, "created_at": NOW, **columns})


def test_what_needs_a_human_first_comes_first() -> None:
    alerts = [
        _alert("emq_critical", "warning"),
        _alert("dead_letters", acknowledged_at=NOW),
        _alert("failed_events_critical"),
        _alert("of_another_tool"),
        _alert("destination_paused"),
    ]
    assert [each.alert_type for each in open_alerts(alerts, NOW)] == [
        "destination_paused",
        "failed_events_critical",
        "of_another_tool",
        "emq_critical",
        "dead_letters",
    ]


def test_a_silence_that_has_ended_is_no_longer_told() -> None:
    past, coming = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
    quiet, loud = (
        open_alerts([_alert("no_data", silenced_until=until)], NOW)[0] for until in (coming, past)
    )
    assert (quiet.silenced, quiet.handled) == (True, "Silenced until 24 Nov 2026, 13:00 UTC")
    assert (loud.silenced, loud.handled) == (False, "")


# --- the queue ---


def test_the_first_lines_say_what_arrived_what_is_missing_why_and_what_to_do() -> None:
    found = DestinationAccount(
        "meta_capi",
        total=Line(100, {"delivered": 90, "waiting": 10}),
        before=Line(0, {}),
        lines={},
        reasons=[],
        at_risk=EventsWorth(500.0, "EUR"),
        saved=EventsWorth(),
        missing_since=NOW - timedelta(hours=5),
    )
    week = AccountingReading(NOW - timedelta(days=7), NOW, NOW, 0, {"meta_capi": found}, {})
    limits = Thresholds("below", 90.0, 80.0)
    arrivals = arrivals_view(week, limits)
    spec = METRICS["fallen_match_keys"].alert
    assert spec is not None
    message = f"Match keys that fell: 1. Likely cause: phone fell on Lead. {spec.next_step}."
    alert = AlertRow(uuid4(), spec.type, "warning", message, NOW)
    summary = HealthSummary(NOW, alerts=[alert])

    told = status_view(summary, arrivals, open_alerts([alert], NOW)).points

    assert told == {
        "Arrived": "Meta Conversions API 90.0 % in 7 days",
        "Missing": "10 at Meta Conversions API since 24 Nov 07:00 UTC, worth 500.00 EUR",
        "Why": "phone fell on Lead.",
        "To do": f"{spec.next_step}.",
    }
    waits = status_view(HealthSummary(NOW), arrivals, []).points["To do"]
    assert waits.startswith("What waits is sent again by itself")
    nothing = arrivals_view(replace(week, destinations={}), limits)
    assert status_view(HealthSummary(NOW), nothing, []).points == {}


def test_destinations_in_trouble_come_first() -> None:
    states = {"a": "not_configured", "b": "ok", "c": "throttled", "d": "paused"}
    view = queue_view({name: _status(state) for name, state in states.items()}, NOW)
    assert [each.name for each in view.destinations] == ["d", "c", "b", "a"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (_status(), "–"),
        (_status(next_try=0.0, waiting=2, due=2), "At the next run"),
        (_status(next_try=190.0, waiting=2), "In 3 min"),
        (_status(waiting=2, leased=2), "Being sent now"),
        (_status("not_configured", waiting=2), "Once it is set up"),
        (_status("not_configured", first_attempts=1), "Once it is set up"),
        (_status("not_configured"), "–"),
    ],
)
def test_the_next_try_is_said_in_words(status: DestinationStatus, expected: str) -> None:
    assert queue_view({"meta_capi": status}, NOW).destinations[0].next_try == expected


def test_events_that_were_never_sent_are_told_where_there_are_any() -> None:
    statuses = {"a": _status(first_attempts=1200), "b": _status()}
    shown = queue_view(statuses, NOW).destinations
    assert [each.first_attempts for each in shown] == ["1,200", ""]


# --- numbers and times ---


@given(st.floats(0, 100))
def test_a_share_that_is_neither_none_nor_all_is_never_shown_as_such(share: float) -> None:
    shown = percent(share)
    assert (shown == "0.0 %") == (share == 0)
    assert (shown == "100.0 %") == (share == 100)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "just now"),
        (-59, "just now"),
        (61, "1 min ago"),
        (3600, "1 h ago"),
        (47 * 3600, "47 h ago"),
        (48 * 3600, "2 days ago"),
        (-7200, "in 2 h"),
    ],
)
def test_a_moment_is_said_as_people_say_it(seconds: int, expected: str) -> None:
    assert moment_near(NOW - timedelta(seconds=seconds), NOW).near == expected


# --- the course ---


def test_the_course_is_broken_where_data_is_missing() -> None:
    points = [Point(SINCE + timedelta(hours=hour), 5.0) for hour in (-3, 6, 12, 48, 100)]
    chart = score_course(points, Snapshot("emq_score", None, 5.0, "warning", 7.0, 4.0), NOW)
    assert chart is not None
    (line,) = chart.lines
    assert [value for _, value in line.points] == [5.0, 5.0, 5.0, None, 5.0, None, 5.0]
    assert line.points[0][0] == SINCE
    assert [limit.value for limit in chart.limits] == [7.0, 4.0]
    assert score_course([], Snapshot("emq_score", None, None), NOW) is None
