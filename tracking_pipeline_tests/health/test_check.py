"""Health checks on a real database: what is recorded, raised, told and ended."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tracking_pipeline.health.alerts import alerting
from tracking_pipeline.health.check import CheckResult
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.metrics import Metric
from tracking_pipeline.store.alert_notifications import Notification
from tracking_pipeline.store.database import DatabaseError
from tracking_pipeline.store.destination_state import close_breaker, open_breaker
from tracking_pipeline_tests.delivery.failed_event_queue import wait_until
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import ENOUGH, EVERYTHING, Site, policy
from tracking_pipeline_tests.store.statements import run_statement

POLICY = policy(alert_channels="json://alerts.example.com")
# One bad event more than the default threshold takes.
BAD_QUEUE = 11


@pytest.fixture
def site(connection: psycopg.Connection) -> Site:
    return Site(connection)


@pytest.fixture
def check(database_url: str) -> Any:
    def run(policy: HealthConfig = POLICY, **budget: float) -> CheckResult:
        return check_tracking_health(database_url, policy, run_id="a-run", **budget)

    return run


def levels(result: CheckResult) -> dict[Metric, str]:
    return dict(result.recorded.levels)


def healthy(site: Site) -> None:
    """Enough good events that nothing is wrong."""
    site.add_events(200, at=site.ago(hours=2), keys=EVERYTHING)


def test_a_fresh_installation_raises_nothing(site: Site, check: Any) -> None:
    result = check()

    assert levels(result)["emq_score"] == "no_data"
    assert levels(result)["error_rate"] == "no_data"
    assert set(levels(result).values()) == {"ok", "no_data"}
    assert site.alerts() == []
    assert site.messages() == []


def test_failed_events_that_the_ledger_got_behind_the_mark_fail_no_check(
    site: Site, check: Any
) -> None:
    check()
    for number, event_id in enumerate(site.add_events(60, at=site.ago(hours=2))):
        if number % 2:
            site.add_failed(event_id=event_id)

    assert check().readings.error_rate.percent == 50.0


def test_a_check_that_cannot_be_recorded_recounts_all_the_same(site: Site, check: Any) -> None:
    check()
    site.add_events(3, at=site.ago(hours=2))
    site.connection.execute(
        "update tracking_rollup_progress set recount_begun_at = now() - interval '2 days'"
    )
    site.connection.execute(
        "alter table tracking_health_snapshots add constraint full_disk check (value < -1)"
        " not valid"
    )
    with pytest.raises(DatabaseError):
        check()
    assert site.rolled_up() == 3


def test_an_alert_that_nobody_could_be_told_of_is_told_when_there_is_a_channel(
    site: Site, check: Any
) -> None:
    site.add_failed(BAD_QUEUE, created_at=site.ago(days=2))
    nobody = policy()
    check(nobody)
    check(nobody)
    assert site.messages() == []

    check()
    check()
    assert site.messages() == [("failed_events_critical", "started")]


def test_the_end_of_an_alert_that_nobody_was_told_of_is_told_to_nobody(
    site: Site, check: Any
) -> None:
    site.add_failed(BAD_QUEUE, created_at=site.ago(days=2))
    check(policy())
    site.empty_queue()
    check()
    check()

    assert site.open_types() == set()
    assert site.messages() == []


def test_an_alert_that_ends_while_there_is_no_channel_leaves_nothing_to_tell(
    site: Site, check: Any
) -> None:
    site.add_failed(BAD_QUEUE, created_at=site.ago(days=2))
    check()
    site.empty_queue()
    check(policy())
    check(policy())
    check()

    assert site.messages() == [("failed_events_critical", "started")]


def test_a_breach_is_an_alert_with_its_value_its_cause_and_one_message(
    site: Site, check: Any
) -> None:
    healthy(site)
    site.add_failed(BAD_QUEUE, created_at=site.ago(days=2))

    result = check()

    assert result.recorded.alerts_created == ("failed_events_critical",)
    (alert,) = site.alerts()
    assert (alert["severity"], alert["metric_value"], alert["threshold"]) == ("critical", 11, 10)
    assert "11 of 11 events are for meta_capi" in alert["message"]
    assert [each.alert_type for each in result.recorded.active_alerts] == ["failed_events_critical"]
    assert site.messages() == [("failed_events_critical", "started")]
    (message,) = site.read("select * from tracking_alert_notifications")
    assert message["alert_id"] == alert["id"]
    assert message["channel"].startswith("json-")


def test_a_breach_that_goes_on_is_one_alert_that_tells_the_present_value(
    site: Site, check: Any
) -> None:
    healthy(site)
    site.add_failed(6, created_at=site.ago(days=2))
    check()
    site.add_failed(3, created_at=site.ago(days=2))
    result = check()

    assert result.recorded.alerts_created == ()
    (alert,) = site.alerts()
    assert (alert["severity"], alert["metric_value"]) == ("warning", 9)
    site.add_failed(3, created_at=site.ago(days=2))
    check()
    (alert,) = site.alerts()
    assert (alert["severity"], alert["metric_value"]) == ("critical", 12)
    assert [kind for _, kind in site.messages()] == ["started", "worsened"]


def test_an_alert_ends_after_two_healthy_checks_and_says_so_once(site: Site, check: Any) -> None:
    healthy(site)
    site.add_failed(BAD_QUEUE, created_at=site.ago(days=2))
    check()
    site.empty_queue()

    assert check().recorded.alerts_resolved == ()
    result = check()
    check()

    assert result.recorded.alerts_resolved == ("failed_events_critical",)
    assert result.recorded.active_alerts == ()
    (alert,) = site.alerts()
    assert alert["resolved_at"] is not None
    assert alert["resolved_by"] is None
    assert [kind for _, kind in site.messages()] == ["started", "ended"]


def test_a_row_that_recovers_keeps_its_threshold_and_says_nothing_false(
    site: Site, check: Any
) -> None:
    healthy(site)
    site.add_failed(BAD_QUEUE, created_at=site.ago(days=2))
    check()
    site.empty_queue()
    check()

    (alert,) = site.alerts()
    assert (alert["severity"], alert["metric_value"], alert["threshold"]) == ("critical", 0, 10)
    assert "0 now, was more than 10 (critical)" in alert["message"]
    assert "ends after 1 more healthy check." in alert["message"]
    site.add_failed(BAD_QUEUE + 1, created_at=site.ago(days=2))
    check()
    (alert,) = site.alerts()
    assert alert["message"].startswith("Failed events waiting to be sent again: 12, more than 10")


def test_an_alert_that_gets_better_but_not_well_becomes_a_warning(site: Site, check: Any) -> None:
    healthy(site)
    site.add_failed(BAD_QUEUE, created_at=site.ago(days=2))
    check()
    site.empty_queue()
    site.add_failed(7, created_at=site.ago(days=2))
    rows = []
    for _ in range(2):
        check()
        rows += site.alerts()

    better, eased = rows
    assert (better["severity"], better["threshold"]) == ("critical", 10)
    assert "7 now, was more than 10 (critical)" in better["message"]
    assert (eased["severity"], eased["threshold"]) == ("warning", 5)
    assert ": 7, more than 5 (warning)" in eased["message"]


def test_a_score_that_falls_names_the_key_that_fell(site: Site, check: Any) -> None:
    site.add_events(50, at=site.ago(days=9), keys={**EVERYTHING})
    site.add_events(50, at=site.ago(days=1), keys={"ph": ENOUGH["em"]})
    result = check()

    assert levels(result)["emq_score"] == "critical"
    (alert,) = site.alerts()
    assert alert["alert_type"] == "emq_critical"
    assert "e-mail (em) fell from 100 % to 0 %" in alert["message"].replace("E-mail", "e-mail")


def test_events_that_stop_coming_are_missed(site: Site, check: Any) -> None:
    events = site.add_events(30, at=site.ago(days=1), keys=EVERYTHING)
    check()
    # They leave the window; the ledger itself takes no deletion.
    site.connection.execute("alter table wm_event_log disable trigger user")
    site.connection.execute("delete from wm_event_log where event_id = any(%s)", (events,))
    site.connection.execute("delete from tracking_match_key_hourly")
    check()

    assert site.open_types() == {"no_data"}
    assert site.messages() == [("no_data", "started")]


def test_a_history_that_is_being_counted_is_not_missing(site: Site, check: Any) -> None:
    for hours in range(1, 4):
        site.add_events(30, at=site.ago(hours=hours))
    check()
    site.connection.execute("update tracking_rollup_progress set rule = 'another'")
    before = site.open_types()
    result = check(roll_up_budget_seconds=0.0)

    assert not result.rolled_up.caught_up
    assert result.recorded.evaluations["emq_score"].result.level == "no_data"
    assert "being counted" in result.recorded.evaluations["emq_score"].result.detail
    assert site.open_types() == before


def test_two_checks_at_once_make_one_alert_and_one_message(
    site: Site, check: Any, database_url: str
) -> None:
    healthy(site)
    site.add_failed(BAD_QUEUE, created_at=site.ago(days=2))
    with ThreadPoolExecutor(4) as pool:
        results = [each.result() for each in [pool.submit(check) for _ in range(4)]]

    created = [name for result in results for name in result.recorded.alerts_created]
    assert created == ["failed_events_critical"]
    assert len(site.alerts()) == 1
    assert site.messages() == [("failed_events_critical", "started")]
    assert site.one("select count(distinct check_id) from tracking_health_snapshots") == 4


def test_a_check_that_waited_for_another_adds_to_no_count(
    site: Site, check: Any, database_url: str
) -> None:
    """Three checks before N = 3 fire; two of them that read at one moment do not make three."""
    patient = policy(alert_after_checks=3)
    healthy(site)
    site.add_failed(BAD_QUEUE, created_at=site.ago(days=2))
    check(patient)
    with ThreadPoolExecutor(2) as pool, psycopg.connect(database_url) as other:
        other.execute("select pg_advisory_xact_lock(%s)", (int.from_bytes(b"trackalt", "big"),))
        pending = [pool.submit(check, patient) for _ in range(2)]
        wait_until(
            lambda: site.one("select count(*) from pg_locks where not granted") == len(pending)
        )
        other.rollback()
        for each in pending:
            each.result()

    assert site.alerts() == []
    check(patient)
    assert site.open_types() == {"failed_events_critical"}


def test_a_check_that_is_killed_before_its_end_has_told_nobody(
    site: Site, check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy(site)
    site.add_failed(BAD_QUEUE, created_at=site.ago(days=2))

    with monkeypatch.context() as patched:
        patched.setattr(
            "tracking_pipeline.health.alerts.alerting.AlertBook.tell_dead_letters", _die
        )
        with pytest.raises(KeyboardInterrupt):
            check()
    assert site.alerts() == []
    assert site.messages() == []
    assert site.one("select count(*) from tracking_health_snapshots") == 0

    check()
    assert site.messages() == [("failed_events_critical", "started")]


def _die(*arguments: Any) -> None:
    raise KeyboardInterrupt


def test_a_pause_that_delivery_raised_is_taken_over_and_told_once(
    site: Site, check: Any, database_url: str
) -> None:
    for destination in ("meta_capi", "google_ec"):
        opening = partial(
            open_breaker, destination=destination, reason="190: token", message="paused"
        )
        run_statement(database_url, opening)
    (raised,) = site.alerts()
    check()
    check()

    (alert,) = site.alerts()
    assert alert["id"] == raised["id"]
    assert (alert["metric_value"], alert["severity"]) == (2, "critical")
    assert "google_ec: 190: token; meta_capi: 190: token" in alert["message"]
    assert site.messages() == [("destination_paused", "started")]


def test_a_pause_that_delivery_ended_is_told_to_be_over(
    site: Site, check: Any, database_url: str
) -> None:
    run_statement(
        database_url, lambda it: open_breaker(it, "meta_capi", "190: token", message="paused")
    )
    check()
    run_statement(database_url, lambda it: close_breaker(it, "meta_capi"))
    check()

    assert site.open_types() == set()
    assert site.messages() == [("destination_paused", "started"), ("destination_paused", "ended")]
    (over,) = site.read("select title from tracking_alert_notifications where kind = 'ended'")
    assert "hand" not in over["title"]


def test_an_ending_token_is_one_alert_that_is_told_at_sixty_fourteen_and_two_days(
    site: Site, check: Any
) -> None:
    def ends_in(days: float | None) -> None:
        endings = {} if days is None else {"META_ACCESS_TOKEN": site.ago(days=-days).isoformat()}
        site.connection.execute(
            "insert into tracking_destination_checks"
            " (destination, state, detail, duration_ms, endings, checked_at)"
            " values ('meta_capi', 'ok', '', 1, %s, now())"
            " on conflict (destination) do update set endings = excluded.endings",
            (Jsonb(endings),),
        )

    told = []
    for days in (61, 59, 58, 20, 13.9, 12, 3, 1.9, 1, -1, None):
        ends_in(days)
        check()
        told.append(len(site.messages()))

    assert told == [0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4]
    assert [kind for _, kind in site.messages()] == ["started", "reminder", "worsened", "ended"]
    (alert,) = site.alerts()
    assert alert["alert_type"] == "destination_expiring"
    assert alert["severity"] == "critical"


def test_an_ending_token_is_named_with_its_destination_and_what_to_do(
    site: Site, check: Any
) -> None:
    site.connection.execute(
        "insert into tracking_destination_checks"
        " (destination, state, detail, duration_ms, endings, checked_at) values"
        " ('meta_capi', 'ok', '', 1, %s, now())",
        (Jsonb({"META_API_VERSION v20.0": "2026-09-24T00:00:00+00:00"}),),
    )
    check()
    (alert,) = site.alerts()
    assert "meta_capi: META_API_VERSION v20.0 ended on 2026-09-24 00:00 UTC" in alert["message"]
    assert "test-destinations" in alert["message"]


def test_a_pause_that_nobody_alerted_is_alerted_by_the_check(site: Site, check: Any) -> None:
    site.connection.execute(
        "insert into tracking_destination_state (destination, state) values ('meta_capi', 'open')"
    )
    check()
    assert site.open_types() == {"destination_paused"}


def test_an_alert_that_came_with_the_tables_is_carried_on(site: Site, check: Any) -> None:
    healthy(site)
    site.connection.execute(
        "insert into tracking_health_alerts (alert_type, severity, message, created_at)"
        " values ('emq_critical', 'critical', 'EMQ 3.2', now() - interval '3 days'),"
        " ('failed_events_critical', 'warning', '7 failed', now() - interval '1 day')"
    )
    site.add_failed(BAD_QUEUE, created_at=site.ago(days=2))
    check()
    result = check()

    assert result.recorded.alerts_resolved == ("emq_critical",)
    assert len(site.alerts()) == 2
    (alert,) = site.alerts(open_only=True)
    assert (alert["severity"], alert["metric_value"]) == ("critical", 11)
    # What ended before anybody was told of it is not told.
    assert {name for name, _ in site.messages()} == {"failed_events_critical"}


def test_an_alert_that_a_dashboard_resolved_begins_anew_where_it_is_still_bad(
    site: Site, check: Any
) -> None:
    healthy(site)
    site.add_failed(BAD_QUEUE, created_at=site.ago(days=2))
    check()
    site.connection.execute("update tracking_health_alerts set resolved_at = now()")
    result = check()

    assert result.recorded.alerts_created == ("failed_events_critical",)
    assert [alert["resolved_at"] is None for alert in site.alerts()] == [False, True]
    assert [kind for _, kind in site.messages()] == ["started", "ended", "started"]


def test_a_type_of_the_sites_own_is_left_alone(site: Site, check: Any) -> None:
    site.connection.execute(
        "alter table tracking_health_alerts drop constraint tracking_health_alerts_alert_type_check"
    )
    site.connection.execute(
        "insert into tracking_health_alerts (alert_type, severity, message)"
        " values ('pixel_missing', 'warning', 'no pixel')"
    )
    check()
    check()

    (alert,) = site.alerts(open_only=True)
    assert (alert["alert_type"], alert["message"]) == ("pixel_missing", "no pixel")


def test_new_dead_letters_are_one_alert_and_then_one_message_an_hour(
    site: Site, check: Any
) -> None:
    healthy(site)
    dead = {"status": "dead_letter", "created_at": site.ago(days=2)}
    site.add_failed(37, **dead, dead_letter_reason="token expired")
    check()
    (alert,) = site.alerts()
    assert "37 events to meta_capi: token expired" in alert["message"]
    assert site.messages() == [("dead_letters", "started")]

    site.add_failed(4, **dead, destination="google_ec", dead_letter_reason="expired")
    check()
    assert site.messages() == [("dead_letters", "started")]
    _let_an_hour_pass(site)
    check()
    check()

    assert site.messages() == [("dead_letters", "started"), ("dead_letters", "digest")]
    (digest,) = site.read("select title from tracking_alert_notifications where kind = 'digest'")
    assert digest["title"] == "4 events to google_ec: expired (EVENT_EXPIRED)"


def test_refusals_raise_nothing_and_are_on_record(site: Site, check: Any) -> None:
    healthy(site)
    site.add_failed(
        12,
        status="resolved",
        resolved_by="withheld",
        withheld_reason="consent denied",
        resolved_at=site.now(),
    )

    result = check()

    assert site.alerts() == []
    assert site.messages() == []
    assert result.readings.error_rate.percent == 0
    (whole, part) = site.read(
        "select dimension, value, state, detail from tracking_health_snapshots"
        " where metric = 'withheld' order by id"
    )
    assert (whole["dimension"], whole["value"], whole["state"]) == (None, 12, None)
    assert whole["detail"]["by_reason"] == [
        {
            "destination": "meta_capi",
            "reason": "consent denied",
            "last_day": 12,
            "last_week": 12,
        }
    ]
    assert (part["dimension"], part["value"], part["detail"]) == ("meta_capi", 12, None)


def _let_an_hour_pass(site: Site) -> None:
    """The last message about dead letters becomes an hour older, and so do those that it told."""
    site.connection.execute(
        "update tracking_alert_state set state = jsonb_build_object('told_until',"
        " (state ->> 'told_until')::timestamptz - interval '61 minutes')"
        " where alert_type = 'dead_letters/digest'"
    )
    site.connection.execute(
        "update tracking_failed_events set updated_at = updated_at - interval '2 hours'"
        " where dead_letter_reason = 'token expired'"
    )


def test_each_reading_is_a_row_with_its_verdict_and_its_thresholds(site: Site, check: Any) -> None:
    healthy(site)
    site.add_failed(12)
    result = check()

    rows = {
        (row["metric"], row["dimension"]): row
        for row in site.read("select * from tracking_health_snapshots")
    }
    queue = rows["queue_depth", None]
    assert (queue["value"], queue["state"]) == (12, "critical")
    assert (queue["warning"], queue["critical"], queue["run_id"]) == (5, 10, "a-run")
    assert queue["check_id"] == result.recorded.check_id
    assert queue["detail"]["due"] == 12
    assert rows["queue_depth", "meta_capi"]["value"] == 12
    assert rows["emq_coverage", "em"]["value"] == 100
    assert rows["emq_coverage", "ttclid"]["value"] == 0
    assert rows["matchable", "meta_capi"]["value"] == 100
    assert ("matchable", "google_ec") not in rows
    assert ("matchable", None) not in rows
    assert rows["emq_score", "Lead"]["value"] == rows["emq_score", None]["value"] > 9
    assert rows["error_rate", None]["value"] == pytest.approx(100 * 12 / 212)
    assert rows["recovery_rate", None]["value"] == 0


def test_a_queue_that_grew_says_so_against_an_earlier_check(site: Site, check: Any) -> None:
    site.add_failed(2)
    check()
    site.let_pass(minutes=30)
    site.add_failed(3)

    assert check().readings.queue.growth_per_hour == pytest.approx(6, rel=0.05)


def test_no_personal_data_reaches_a_message_or_a_snapshot(site: Site, check: Any) -> None:
    secret = "emily.shaw@example.com"
    run = "update tracking_destination_state set reason = %s"
    site.connection.execute(
        "insert into tracking_destination_state (destination, state) values ('meta_capi', 'open')"
    )
    site.connection.execute(run, (f"refused for {secret}, +1 212 555 0123",))
    site.add_failed(
        3, status="dead_letter", dead_letter_reason=f"no account for {secret}", error_message=secret
    )
    site.add_events(1, keys={"email": secret})
    check()

    told = json.dumps(
        [
            site.read("select message from tracking_health_alerts"),
            site.read("select title, body from tracking_alert_notifications"),
            site.read("select dimension, detail from tracking_health_snapshots"),
        ]
    )
    assert "shaw" not in told
    assert "555" not in told


def test_a_database_that_is_away_is_one_line(site: Site) -> None:
    url = "postgresql://somebody:secret-word@127.0.0.1:1/nowhere"
    with pytest.raises(DatabaseError) as failed:
        check_tracking_health(url, POLICY)
    assert "secret-word" not in str(failed.value)
    assert "\n" not in str(failed.value)


def test_a_database_that_fails_in_the_middle_is_one_line_without_values(
    site: Site, check: Any
) -> None:
    site.connection.execute("drop table tracking_destination_state")
    with pytest.raises(DatabaseError, match="SQLSTATE 42P01") as failed:
        check()
    assert "\n" not in str(failed.value)


def test_no_alert_is_committed_without_its_message(
    site: Site, check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(connection: psycopg.Connection, notifications: list[Notification], _: Any) -> int:
        raise psycopg.OperationalError("the server went away")

    healthy(site)
    site.add_failed(BAD_QUEUE, created_at=site.ago(days=2))
    monkeypatch.setattr(alerting, "enqueue", fail)
    with pytest.raises(DatabaseError):
        check()

    assert site.alerts() == []
    assert site.one("select count(*) from tracking_alert_state") == 0
