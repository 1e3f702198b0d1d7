"""What an operator does about alerts, and what the next checks make of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tracking_pipeline.health.alerts.actions import AlertActions, act_on_alerts
from tracking_pipeline.store.destination_state import open_breaker
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import EVERYTHING, Site, policy
from tracking_pipeline_tests.store.statements import run_statement

POLICY = policy(alert_channels="json://alerts.example.com")


@pytest.fixture
def site(connection: psycopg.Connection, database_url: str) -> Site:
    """A site with one critical alert, of which its receivers know."""
    site = Site(connection)
    site.add_events(200, at=site.ago(hours=2), keys=EVERYTHING)
    site.add_failed(11, created_at=site.ago(days=2))
    check_tracking_health(database_url, POLICY)
    assert site.messages() == [("failed_events_critical", "started")]
    return site


def act(site: Site, action: Any, **arguments: Any) -> AlertActions:
    return act_on_alerts(site.connection, action, POLICY, by="ann", **arguments)


def let_hours_pass(site: Site, hours: int) -> None:
    """What was told and done is so much longer ago."""
    for name in ("told_at", "acknowledged_at", "silenced_until", "checked_at"):
        site.connection.execute(
            "update tracking_alert_state set state = jsonb_set(state, array[%(name)s::text],"
            " to_jsonb((state ->> %(name)s)::timestamptz - make_interval(hours => %(hours)s)))"
            " where state ->> %(name)s is not null",
            {"name": name, "hours": hours},
        )


def test_a_critical_alert_is_told_again_after_four_hours(site: Site, database_url: str) -> None:
    let_hours_pass(site, 3)
    check_tracking_health(database_url, POLICY)
    let_hours_pass(site, 1)
    check_tracking_health(database_url, POLICY)

    assert [kind for _, kind in site.messages()] == ["started", "reminder"]


def test_an_acknowledged_alert_is_not_told_again(site: Site, database_url: str) -> None:
    done = act(site, "acknowledge", types=["failed_events_critical"], note="token is renewed")
    let_hours_pass(site, 5)
    check_tracking_health(database_url, POLICY)

    assert done == AlertActions(changed=("failed_events_critical",))
    (alert,) = site.alerts()
    assert (alert["acknowledged_by"], alert["note"]) == ("ann", "token is renewed")
    assert alert["acknowledged_at"] is not None
    assert [kind for _, kind in site.messages()] == ["started"]


def test_while_silenced_nothing_is_told_and_the_alert_goes_on(
    site: Site, database_url: str
) -> None:
    act(site, "silence", types=["failed_events_critical"], silence_hours=8)
    site.add_failed(5, created_at=site.ago(days=2))
    let_hours_pass(site, 5)
    check_tracking_health(database_url, POLICY)

    (alert,) = site.alerts()
    assert alert["metric_value"] == 16
    assert alert["silenced_until"] is not None
    assert [kind for _, kind in site.messages()] == ["started"]
    let_hours_pass(site, 4)
    check_tracking_health(database_url, POLICY)
    assert [kind for _, kind in site.messages()] == ["started", "reminder"]


def test_a_silence_can_be_ended(site: Site, database_url: str) -> None:
    act(site, "silence", types=["failed_events_critical"], silence_hours=8)
    act(site, "silence", types=["failed_events_critical"], silence_hours=0)
    let_hours_pass(site, 5)
    check_tracking_health(database_url, POLICY)

    assert site.alerts()[0]["silenced_until"] is None
    assert [kind for _, kind in site.messages()] == ["started", "reminder"]


def test_a_silence_is_seen_on_the_next_episode_too(site: Site, database_url: str) -> None:
    act(site, "silence", types=["failed_events_critical"], silence_hours=8)
    (until,) = (alert["silenced_until"] for alert in site.alerts())
    act(site, "resolve", types=["failed_events_critical"])
    check_tracking_health(database_url, POLICY)

    assert until is not None
    assert [alert["silenced_until"] for alert in site.alerts()] == [until, until]


def test_a_silence_that_is_over_is_not_seen_on_the_next_episode(
    site: Site, database_url: str
) -> None:
    act(site, "silence", types=["failed_events_critical"], silence_hours=8)
    act(site, "resolve", types=["failed_events_critical"])
    let_hours_pass(site, 9)
    check_tracking_health(database_url, POLICY)

    assert site.alerts()[-1]["silenced_until"] is None


def test_an_alert_that_is_over_says_so_in_its_row(site: Site, database_url: str) -> None:
    site.empty_queue()
    check_tracking_health(database_url, POLICY)
    assert "ends after 1 more healthy check" in site.alerts()[0]["message"]
    check_tracking_health(database_url, POLICY)

    (alert,) = site.alerts()
    assert alert["message"].startswith(
        "Failed events waiting to be sent again: 0 now, was more than 10 (critical). Resolved "
        "after "
    )


@pytest.mark.parametrize("better", [True, False])
def test_an_alert_that_was_resolved_by_hand_makes_no_promise(
    site: Site, database_url: str, better: bool
) -> None:
    if better:
        site.empty_queue()
    check_tracking_health(database_url, POLICY)
    act(site, "resolve", types=["failed_events_critical"])

    (alert,) = site.alerts()
    assert "more healthy check" not in alert["message"]
    assert ("Resolved by hand after" in alert["message"]) == better
    assert ("Likely cause: 11 of 11" in alert["message"]) != better


def test_a_type_can_be_silenced_before_it_has_an_alert(site: Site, database_url: str) -> None:
    done = act(site, "silence", types=["dead_letters"], silence_hours=1)
    site.add_failed(1, status="dead_letter", created_at=site.ago(days=2))
    check_tracking_health(database_url, POLICY)

    assert done.changed == ("dead_letters",)
    assert site.open_types() == {"failed_events_critical", "dead_letters"}
    assert [name for name, _ in site.messages()] == ["failed_events_critical"]


def test_resolving_by_hand_ends_the_episode_and_says_who(site: Site, database_url: str) -> None:
    site.empty_queue()
    act(site, "resolve", types=["failed_events_critical"], note="mended")
    check_tracking_health(database_url, POLICY)

    (alert,) = site.alerts()
    assert alert["resolved_at"] is not None
    assert (alert["resolved_by"], alert["note"]) == ("ann", "mended")
    assert [kind for _, kind in site.messages()] == ["started", "ended"]
    (over,) = site.read("select title from tracking_alert_notifications where kind = 'ended'")
    assert over["title"].startswith("Resolved by hand")


def test_what_is_resolved_by_hand_and_still_bad_begins_anew(site: Site, database_url: str) -> None:
    act(site, "resolve", types=["failed_events_critical"])
    check_tracking_health(database_url, POLICY)

    assert [alert["resolved_at"] is None for alert in site.alerts()] == [False, True]
    assert [kind for _, kind in site.messages()] == ["started", "ended", "started"]


def test_an_alert_can_be_named_by_its_id(site: Site) -> None:
    (alert,) = site.alerts()
    stranger = uuid4()
    done = act(site, "acknowledge", ids=[alert["id"], stranger], types=["emq_critical"])

    assert done.changed == ("failed_events_critical",)
    assert set(done.not_open) == {str(stranger), "emq_critical"}


def test_without_a_name_all_open_alerts_are_meant(site: Site, database_url: str) -> None:
    run_statement(
        database_url, lambda it: open_breaker(it, "meta_capi", "190: token", message="paused")
    )
    done = act(site, "resolve")

    assert set(done.changed) == {"failed_events_critical", "destination_paused"}
    assert site.open_types() == set()
    # Nobody had been told of the pause.
    assert site.messages() == [
        ("failed_events_critical", "started"),
        ("failed_events_critical", "ended"),
    ]


@pytest.fixture
def own_alert(site: Site) -> UUID:
    """The id of an open alert whose type is the site's own."""
    site.connection.execute(
        "alter table tracking_health_alerts drop constraint tracking_health_alerts_alert_type_check"
    )
    alert_id: UUID = site.one(
        "insert into tracking_health_alerts (alert_type, severity, message)"
        " values ('pixel_missing', 'warning', 'no pixel') returning id"
    )
    return alert_id


def test_an_alert_of_the_sites_own_is_acted_on_by_its_id(
    site: Site, own_alert: UUID, database_url: str
) -> None:
    for action in ("acknowledge", "silence", "resolve"):
        done = act(site, action, ids=[own_alert], silence_hours=2, note=action)
        assert done == AlertActions(changed=("pixel_missing",))
    check_tracking_health(database_url, POLICY)

    (row,) = site.read("select * from tracking_health_alerts where id = %s", own_alert)
    assert row["acknowledged_by"] == row["resolved_by"] == "ann"
    assert None not in (row["acknowledged_at"], row["silenced_until"], row["resolved_at"])
    assert row["note"] == "resolve"
    assert site.open_types() == {"failed_events_critical"}
    assert site.read("select 1 from tracking_alert_state where alert_type = 'pixel_missing'") == []
    assert act(site, "resolve", ids=[own_alert]).not_open == (str(own_alert),)


def test_without_a_name_an_alert_of_the_sites_own_is_meant_too(site: Site, own_alert: UUID) -> None:
    assert set(act(site, "resolve").changed) == {"failed_events_critical", "pixel_missing"}
    assert site.alerts(open_only=True) == []


def test_what_is_acknowledged_and_gets_worse_is_told(site: Site, database_url: str) -> None:
    site.empty_queue()
    for _ in range(2):
        check_tracking_health(database_url, POLICY)
    site.add_failed(6, created_at=site.ago(days=2))
    check_tracking_health(database_url, POLICY)
    act(site, "acknowledge")
    site.add_failed(6, created_at=site.ago(days=2))
    check_tracking_health(database_url, POLICY)

    assert [kind for _, kind in site.messages()][-2:] == ["started", "worsened"]
