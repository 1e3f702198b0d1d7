"""The readings against tables whose numbers are known."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.health.emq.keys import mask_of
from tracking_pipeline.health.emq.score import SATURATING_WEIGHTS, score_event
from tracking_pipeline.health.readings.causes import DeadLetterBatch
from tracking_pipeline.health.readings.events import (
    MOST_LEDGER_ROWS,
    EmqReading,
    ErrorRateReading,
    read_emq,
    read_error_rate,
)
from tracking_pipeline.health.readings.queue import (
    growth_per_hour,
    read_dead_letter_batches,
    read_queue,
    read_recovery,
    read_withheld,
)
from tracking_pipeline.health.readings.readings import read_geo_down, read_health, read_paused
from tracking_pipeline.health.readings.rollup import full_hour, roll_up
from tracking_pipeline.store.database import one_moment
from tracking_pipeline.store.health_readings import count_waiting
from tracking_pipeline.store.withheld_events import WithheldEvents, count_withheld
from tracking_pipeline_tests.health.site import EVERYTHING, Site, policy

POLICY = policy()


@pytest.fixture
def site(connection: psycopg.Connection) -> Site:
    return Site(connection)


def emq(site: Site) -> EmqReading:
    roll_up(site.connection, POLICY.counting)
    with one_moment(site.connection) as now:
        return read_emq(site.connection, POLICY, now)


def error_rate(
    site: Site, *, rolled_up: bool = True, most_ledger_rows: int = MOST_LEDGER_ROWS
) -> ErrorRateReading:
    if rolled_up:
        roll_up(site.connection, POLICY.counting)
    with one_moment(site.connection) as now:
        return read_error_rate(site.connection, POLICY, now, most_ledger_rows=most_ledger_rows)


def test_the_score_is_that_of_the_window_and_the_trend_that_of_the_one_before(site: Site) -> None:
    site.add_events(2, at=site.ago(days=1), keys=EVERYTHING)
    site.add_events(2, at=site.ago(days=6))
    site.add_events(4, at=site.ago(days=8))
    site.add_events(9, at=site.ago(days=15), keys=EVERYTHING)

    reading = emq(site)

    best = score_event(mask_of(EVERYTHING), "saturating", SATURATING_WEIGHTS)
    assert reading.score.events == 4
    assert reading.score.overall == pytest.approx((best + 4.5) / 2)
    assert reading.before.events == 4
    assert reading.trend == pytest.approx((best - 4.5) / 2)


def test_a_site_without_events_has_no_score_and_no_trend(site: Site) -> None:
    reading = emq(site)

    assert reading.score.state == "no_data"
    assert reading.score.overall is None
    assert reading.trend is None


def test_two_windows_that_meet_share_no_event(site: Site) -> None:
    border = full_hour(site.ago(days=7))
    site.add_events(1, at=border)
    site.add_events(2, at=border - timedelta(microseconds=1))
    reading = emq(site)

    assert (reading.score.events, reading.before.events) == (1, 2)


def test_while_the_history_is_being_counted_there_is_no_score(site: Site) -> None:
    for hours in range(1, 4):
        site.add_events(30, at=site.ago(hours=hours))
    rolled = roll_up(site.connection, POLICY.counting, time_budget_seconds=0)
    reading = read_health(site.connection, POLICY, caught_up=rolled.caught_up).emq

    assert reading.score.state == "no_data"
    assert reading.counted_until == rolled.rolled_until


def test_an_event_that_failed_and_reached_the_ledger_is_one_event(site: Site) -> None:
    delivered = site.add_events(8, at=site.ago(hours=2))
    for event_id in delivered[:2]:
        site.add_failed(event_id=event_id, created_at=site.ago(hours=2))
    site.add_failed(1)

    reading = error_rate(site)

    assert (reading.failed, reading.events) == (3, 9)
    assert reading.percent == pytest.approx(100 * 3 / 9)


def test_an_event_that_failed_at_two_destinations_is_one_event_and_counts_at_each(
    site: Site,
) -> None:
    site.add_events(9, at=site.ago(hours=2))
    (event_id,) = site.add_failed(1)
    site.add_failed(1, event_id=event_id, destination="google_ec")
    site.add_failed(1, event_id=event_id, destination="google_ec")

    reading = error_rate(site)

    assert (reading.failed, reading.events) == (1, 10)
    assert reading.percent_by_destination == {"google_ec": 10.0, "meta_capi": 10.0}


def test_the_error_rate_is_that_of_its_window(site: Site) -> None:
    site.add_events(3, at=site.ago(hours=26))
    site.add_failed(1, created_at=site.ago(hours=26))
    site.add_events(3, at=site.ago(hours=23))
    site.add_failed(1, created_at=site.ago(hours=23))

    assert (error_rate(site).failed, error_rate(site).events) == (1, 4)


def test_a_failed_event_whose_ledger_row_is_older_is_an_event_of_this_window(site: Site) -> None:
    (event_id,) = site.add_events(1, at=site.ago(hours=30))
    site.add_failed(1, event_id=event_id)

    assert error_rate(site).percent == 100.0


def test_what_is_no_conversion_is_no_event_of_the_error_rate(site: Site) -> None:
    (page_view,) = site.add_events(1, event_name="page_view")
    site.add_events(3)
    site.add_failed(1, event_id=page_view)

    assert (error_rate(site).failed, error_rate(site).events) == (1, 4)


def test_without_any_event_there_is_no_error_rate(site: Site) -> None:
    assert error_rate(site).percent is None


# Few enough to be counted one by one, or of a ledger that is too long for that.
@pytest.mark.parametrize("most_ledger_rows", [MOST_LEDGER_ROWS, 1])
def test_the_window_of_the_error_rate_is_exact(site: Site, most_ledger_rows: int) -> None:
    site.add_events(80)
    site.add_events(20, at=site.ago(hours=24, minutes=1))
    site.add_failed(5, created_at=site.ago(hours=1))
    site.add_failed(1, created_at=site.ago(hours=24, minutes=6))

    reading = error_rate(site, most_ledger_rows=most_ledger_rows)

    assert (reading.failed, reading.events) == (5, 85)


@pytest.mark.parametrize("hours", [1, 5, 23.9])
@pytest.mark.parametrize("rolled_up", [True, False])
def test_a_long_ledger_is_counted_by_the_hour_without_a_gap_or_an_overlap(
    site: Site, rolled_up: bool, hours: float
) -> None:
    border = full_hour(site.ago(hours=hours))
    for at in (border, border - timedelta(microseconds=1), border + timedelta(minutes=59)):
        site.add_events(1, at=at)
    counted_one_by_one = error_rate(site, rolled_up=rolled_up)
    assert error_rate(site, rolled_up=rolled_up, most_ledger_rows=1) == counted_one_by_one


def test_rows_that_come_behind_the_mark_of_the_roll_up_are_events_at_once(site: Site) -> None:
    roll_up(site.connection, POLICY.counting)
    site.add_events(30)
    for event_id in site.add_events(60, at=site.ago(hours=2)):
        site.add_failed(event_id=event_id)

    assert error_rate(site).percent == pytest.approx(100 * 60 / 90)


@pytest.mark.parametrize("fresh", [0, 30])
def test_no_more_than_all_events_fail_however_late_the_ledger_is_written(
    site: Site, fresh: int
) -> None:
    roll_up(site.connection, POLICY.counting)
    site.add_events(fresh)
    for event_id in site.add_events(60, at=site.ago(hours=2)):
        site.add_failed(event_id=event_id)

    assert error_rate(site, most_ledger_rows=1).percent == 100.0


def test_a_ledger_row_without_an_event_id_is_an_event(site: Site) -> None:
    site.connection.execute("alter table wm_event_log alter event_id drop not null")
    site.add_events(2)
    site.connection.execute("insert into wm_event_log (event_name) values ('Lead'), ('Lead')")
    site.add_failed(1)

    assert error_rate(site).events == 5


def test_an_id_that_the_ledger_holds_twice_is_one_event(site: Site) -> None:
    site.connection.execute(
        "alter table wm_event_log drop constraint if exists wm_event_log_event_id_key"
    )
    (event_id,) = site.add_events(1)
    site.connection.execute(
        "insert into wm_event_log (event_id, event_name) values (%s, 'Lead')", (event_id,)
    )
    assert error_rate(site).events == 1


@pytest.mark.parametrize("rolled_up", [True, False])
def test_the_error_rate_waits_for_no_roll_up(site: Site, rolled_up: bool) -> None:
    site.add_events(4, at=site.ago(hours=3))
    site.add_events(5)
    site.add_failed(1)

    assert error_rate(site, rolled_up=rolled_up).percent == 10.0


def test_the_queue_is_counted_by_destination_and_by_reason(site: Site) -> None:
    site.add_failed(3)
    site.add_failed(2, destination="google_ec", status="retrying", next_retry_at="2100-01-01")
    site.add_failed(1, created_at=site.ago(hours=5), lease_expires_at="2100-01-01")
    site.add_failed(4, status="dead_letter", dead_letter_reason="expired")
    site.add_failed(1, status="dead_letter", error_code="190")
    site.add_failed(5, status="resolved")

    queue = read_queue(site.connection)

    assert (queue.waiting, queue.due, queue.leased, queue.dead_letters) == (6, 3, 1, 5)
    assert queue.oldest_age_seconds == pytest.approx(5 * 3600, abs=60)
    assert {name: each.waiting for name, each in queue.by_destination.items()} == {
        "google_ec": 2,
        "meta_capi": 4,
    }
    assert queue.dead_letters_by_reason == [
        DeadLetterBatch("meta_capi", "expired", 4, "EVENT_EXPIRED"),
        DeadLetterBatch("meta_capi", "190", 1),
    ]


def test_what_no_run_can_claim_is_in_no_count_of_the_queue(site: Site) -> None:
    # As a site's own table may be.
    site.connection.execute(
        "alter table tracking_failed_events"
        " alter status drop not null, alter destination drop not null"
    )
    site.add_failed(1)
    site.add_failed(2, destination=None)
    site.add_failed(2, status=None)
    site.add_failed(2, destination=None, status="dead_letter", dead_letter_reason="expired")

    queue = read_queue(site.connection)

    assert (queue.waiting, queue.dead_letters) == (1, 0)
    assert queue.dead_letters_by_reason == []
    assert read_dead_letter_batches(site.connection, site.now()).events == 0
    assert count_waiting(site.connection) == 1


def test_an_empty_queue_has_no_age_and_no_growth(site: Site) -> None:
    queue = read_queue(site.connection)
    assert (queue.waiting, queue.oldest_age_seconds, queue.growth_per_hour) == (0, None, None)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(600, 4500))
def test_growth_over_its_time_leads_from_one_count_to_the_other(
    then: int, now: int, age: float
) -> None:
    growth = growth_per_hour(now, (then, age))
    assert growth is not None
    assert then + growth * age / 3600 == pytest.approx(now, abs=1e-3)


def test_recovery_is_told_by_age_and_by_who_did_it(site: Site) -> None:
    ours = {"status": "resolved", "resolved_by": "tracking_pipeline"}
    site.add_failed(3, **ours)
    site.add_failed(1)
    site.add_failed(2, **ours, created_at=site.ago(hours=3))
    site.add_failed(1, status="resolved", resolved_by="admin", created_at=site.ago(hours=3))
    site.add_failed(1, status="dead_letter", created_at=site.ago(hours=7))
    site.add_failed(1, status="resolved", created_at=site.ago(days=6))
    site.add_failed(5, created_at=site.ago(days=8))

    recovery = read_recovery(site.connection)

    counted = {
        age: (each.failed, each.resolved, each.dead_letters, each.by_hand)
        for age, each in recovery.by_age.items()
    }
    assert counted == {
        "under 1 h": (4, 3, 0, 0),
        "1 to 6 h": (3, 3, 0, 1),
        "6 to 24 h": (1, 0, 1, 0),
        "1 to 7 d": (1, 1, 0, 1),
    }
    assert recovery.percent == pytest.approx(100 * 7 / 9)
    assert recovery.total.by_hand == 2


def test_without_failures_there_is_no_recovery_rate(site: Site) -> None:
    assert read_recovery(site.connection).percent is None


def test_dead_letters_are_news_for_a_day(site: Site) -> None:
    dead = {"status": "dead_letter", "dead_letter_reason": "expired"}
    site.add_failed(2, **dead, created_at=site.ago(days=9))
    site.add_failed(1, **dead, destination="gtm_server")
    site.add_failed(7, **dead, updated_at=site.ago(hours=25))

    reading = read_dead_letter_batches(site.connection, site.now())

    assert reading.events == 3
    assert reading.batches == [
        DeadLetterBatch("meta_capi", "expired", 2, "EVENT_EXPIRED"),
        DeadLetterBatch("gtm_server", "expired", 1, "EVENT_EXPIRED"),
    ]


@pytest.mark.parametrize(
    ("delivered_hours_ago", "saved"),
    [
        ((), 0),
        ((10,), 2),  # twelve hours after they died
        ((22.5, 10), 0),  # and half an hour before: it did not fail for everybody
        ((26, 10), 2),
        ((-3,), 0),  # more than a day after
    ],
)
def test_what_died_less_than_a_day_before_its_destination_took_events_again_is_counted(
    site: Site, delivered_hours_ago: tuple[float, ...], saved: int
) -> None:
    dead = {"status": "dead_letter", "updated_at": site.ago(hours=22)}
    site.add_failed(2, **dead, dead_letter_reason="max_retries")
    site.add_failed(1, **dead, dead_letter_reason="max_retries", max_retries=7)
    site.add_failed(1, **dead, dead_letter_reason="expired")
    site.add_failed(1, **dead, dead_letter_reason="max_retries", destination="google_ec")
    for hours in delivered_hours_ago:
        delivered = {"status": "resolved", "resolved_at": site.ago(hours=hours)}
        site.add_failed(1, **delivered, resolved_by="tracking_pipeline")
        site.add_failed(1, **delivered, resolved_by="somebody", destination="google_ec")

    reading = read_dead_letter_batches(site.connection, site.now())

    assert reading.outlived == ({"meta_capi": saved} if saved else {})


WITHHELD = {
    "status": "resolved",
    "resolved_by": "withheld",
    "withheld_reason": "consent denied",
    "dead_letter_reason": None,
}


def test_what_was_withheld_is_no_failure_no_recovery_and_no_dead_letter(site: Site) -> None:
    site.add_events(90)
    site.add_failed(10, status="resolved", resolved_by="tracking_pipeline")
    site.add_failed(50, **WITHHELD, resolved_at=site.now())

    rate = error_rate(site)
    assert (rate.failed, rate.events, rate.percent) == (10, 100, 10.0)
    assert rate.failed_by_destination == {"meta_capi": 10}
    recovery = read_recovery(site.connection)
    assert (recovery.total.failed, recovery.total.resolved, recovery.total.by_hand) == (10, 10, 0)
    assert recovery.percent == 100
    queue = read_queue(site.connection)
    assert (queue.waiting, queue.dead_letters, queue.dead_letters_by_reason) == (0, 0, [])
    assert read_dead_letter_batches(site.connection, site.now()).events == 0


def test_an_event_that_one_destination_withheld_and_another_refused_failed_at_the_other(
    site: Site,
) -> None:
    (event_id,) = site.add_events(1)
    for columns in (WITHHELD, {"destination": "google_ec", "status": "dead_letter"}):
        site.add_failed(1, **columns)
    site.connection.execute("update tracking_failed_events set event_id = %s", (event_id,))

    rate = error_rate(site)
    assert (rate.failed, rate.events) == (1, 1)
    assert rate.failed_by_destination == {"google_ec": 1}


def test_a_withheld_event_of_the_ledger_is_an_event_of_it_and_no_failure(site: Site) -> None:
    (event_id,) = site.add_events(1)
    site.add_failed(1, **WITHHELD)
    site.connection.execute("update tracking_failed_events set event_id = %s", (event_id,))

    for most_ledger_rows in (MOST_LEDGER_ROWS, 1):
        rate = error_rate(site, most_ledger_rows=most_ledger_rows)
        assert (rate.failed, rate.events, rate.percent) == (0, 1, 0.0)


def test_an_accepted_event_that_waits_for_its_own_time_has_not_failed(site: Site) -> None:
    site.add_failed(3, error_code="postponed", next_retry_at="2100-01-01")
    site.add_failed(1, error_code="postponed", status="resolved", resolved_by="tracking_pipeline")
    # What fails then writes its own code.
    site.add_failed(1, error_code="131", status="retrying")

    assert error_rate(site).failed == 1
    assert read_recovery(site.connection).total.failed == 1
    assert read_queue(site.connection).waiting == 4


def test_what_was_withheld_is_told_by_destination_and_reason_of_a_day_and_a_week(
    site: Site,
) -> None:
    site.add_failed(3, **WITHHELD, resolved_at=site.ago(hours=1))
    site.add_failed(2, **WITHHELD, resolved_at=site.ago(hours=25))
    site.add_failed(9, **WITHHELD, resolved_at=site.ago(days=8))
    google = {**WITHHELD, "destination": "google_ec", "withheld_reason": "asked by e@example.com"}
    site.add_failed(1, **google, resolved_at=site.now())
    site.add_failed(4, **{**WITHHELD, "status": "pending"}, resolved_at=site.now())
    site.add_failed(4, status="resolved", resolved_at=site.now())

    reading = read_withheld(site.connection)

    assert (reading.last_day, reading.last_week) == (4, 6)
    meta, google_ec = reading.by_reason
    assert meta == WithheldEvents("meta_capi", "consent denied", 3, 5)
    assert (google_ec.destination, google_ec.last_day, google_ec.last_week) == ("google_ec", 1, 1)
    assert "example.com" not in google_ec.reason
    assert reading.measured.parts["meta_capi"] == 3


def test_rare_reasons_of_what_was_withheld_are_counted_together(site: Site) -> None:
    site.add_failed(2, **WITHHELD, resolved_at=site.now())
    for number in range(3):
        rare = {**WITHHELD, "withheld_reason": f"rule {number}"}
        site.add_failed(1, **rare, resolved_at=site.now())

    assert count_withheld(site.connection, reasons=1) == [
        WithheldEvents("meta_capi", "consent denied", 2, 2),
        WithheldEvents("meta_capi", "other reasons", 3, 3),
    ]


def test_a_destination_is_paused_until_its_breaker_is_closed(site: Site) -> None:
    for destination, state in (("meta_capi", "open"), ("google_ec", "half_open")):
        site.connection.execute(
            "insert into tracking_destination_state (destination, state, reason)"
            " values (%s, %s, 'bad token')",
            (destination, state),
        )
    site.connection.execute(
        "insert into tracking_destination_state (destination, state) values ('supabase', 'closed')"
    )
    assert read_paused(site.connection) == {"meta_capi": "bad token", "google_ec": "bad token"}


def test_a_source_of_places_is_down_after_several_failures_in_a_row(site: Site) -> None:
    for provider, failures in (("ip_api", 2), ("ipinfo", 3)):
        site.connection.execute(
            "insert into tracking_geo_providers (provider, failures, reason)"
            " values (%s, %s, 'timeout')",
            (provider, failures),
        )
    assert read_geo_down(site.connection) == {"ipinfo": "timeout"}
