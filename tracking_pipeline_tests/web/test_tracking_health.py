"""How tracking stands, as the admin dashboard is told."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import psycopg
import pytest

from tracking_pipeline.health.readings.rollup import count_events
from tracking_pipeline.store.database import one_moment
from tracking_pipeline.web.admin.health import trend
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import EVERYTHING, Site, policy
from tracking_pipeline_tests.web.conftest import Serve
from tracking_pipeline_tests.web.serving import FUNCTIONS, Served, answer

HEALTH = "/admin-tracking-health"


@pytest.fixture
def site(connection: psycopg.Connection) -> Site:
    return Site(connection)


def moment(text: str) -> datetime:
    # Python 3.10 reads no "Z".
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def check(database_url: str) -> None:
    check_tracking_health(database_url, policy())


def test_every_key_that_the_dashboard_reads_is_there(served: Served) -> None:
    found = served.get(HEALTH)
    assert set(found) >= {"systemStatus", "statusReason", "costImpact"}
    assert set(found["emqScore"]) == {
        "overall",
        "breakdown",
        "trend",
        "previousScore",
        "totalEvents",
    }
    assert set(found["fixQueue"]) == {
        "pendingCount",
        "deadLetterCount",
        "resolvedToday",
        "withheldToday",
        "oldestPending",
        "byDestination",
    }
    assert set(found["diagnostics"]) == {
        "orphanEvents",
        "duplicateEvents",
        "conversionIntegrity",
        "errorRate",
        "totalEvents",
    }
    assert set(found["diagnostics"]["conversionIntegrity"]) == {"ok", "missing"}


def test_without_a_check_nobody_says_that_all_is_well(served: Served) -> None:
    found = served.get(HEALTH)
    assert found["systemStatus"] == "degraded"
    assert found["statusReason"] == "No health check has run yet."
    assert found["emqScore"]["overall"] is None
    assert found["diagnostics"]["errorRate"] is None


def test_the_score_stands_beside_that_of_the_equal_window_before(
    served: Served, site: Site, database_url: str
) -> None:
    site.add_events(20, at=site.ago(days=10))
    site.add_events(30, at=site.ago(hours=1), keys=EVERYTHING)
    check(database_url)
    found = served.get(HEALTH)
    score = found["emqScore"]
    assert score["previousScore"] == 4.5
    assert score["overall"] > 9
    assert (score["trend"], score["totalEvents"]) == ("up", 30)
    assert score["breakdown"]["em"] == 100.0
    assert score["breakdown"]["fb_login_id"] == 0.0
    assert found["matchByDestination"]["linkedin_capi"]["matchable"] == 100.0
    assert found["matchByDestination"]["tiktok_events"]["breakdown"]["ttclid"] == 0.0


def test_the_window_is_the_one_that_is_asked_for_days_included(
    served: Served, site: Site, database_url: str
) -> None:
    day = site.ago(days=3).replace(hour=12)
    site.add_events(7, at=day)
    site.add_events(5, at=day - timedelta(days=1))
    check(database_url)
    one = served.get(HEALTH, start_date=f"{day:%Y-%m-%d}", end_date=f"{day:%Y-%m-%d}")
    assert one["emqScore"]["totalEvents"] == 7
    assert moment(one["endDate"]) - moment(one["startDate"]) == timedelta(days=1)
    since = (day - timedelta(days=1)).isoformat()
    assert served.get(HEALTH, start_date=since)["emqScore"]["totalEvents"] == 12


# C, D and E are three days of the site, one after another.
WINDOWS = (
    ("{D}", "{D}", 4),
    ("{D}T00:00:00", "{E}T00:00:00", 4),
    ("{D}T00:00:00", "{E}", 5),
    ("{C}", "{D}T00:00:00", 1),
    ("{D}T00:30:00", "{D}T23:45:00", 2),
    ("{D}T00:30:01", "{D}T23:45", 1),
    ("{C}T23:50:00+09:00", "{E}T09:00:00+09:00", 6),
    ("{C}T15:00:00Z", "{D}T15:00:00Z", 4),
    ("{C}T15:00:00Z", "{D}T15:00:00.000001Z", 5),
)


def test_the_answer_is_for_exactly_the_window_in_the_time_of_the_site(
    serve: Serve, site: Site, database_url: str
) -> None:
    served = serve(SITE_TIMEZONE="Asia/Tokyo")
    third = site.ago(days=3).astimezone(ZoneInfo("Asia/Tokyo"))
    day = third.replace(hour=0, minute=0, second=0, microsecond=0)
    after = day + timedelta(days=1)
    texts = {"C": f"{day - timedelta(days=1):%Y-%m-%d}", "D": f"{day:%Y-%m-%d}"}
    texts["E"] = f"{after:%Y-%m-%d}"
    for at in (
        day - timedelta(minutes=1),
        day,
        day + timedelta(minutes=30),
        after - timedelta(minutes=16),
        after - timedelta(microseconds=1),
        after,
    ):
        site.add_events(1, at=at)
        site.add_failed(1, created_at=at)
    check(database_url)
    for start, end, counted in WINDOWS:
        window = {"start_date": start.format(**texts), "end_date": end.format(**texts)}
        found = served.get(HEALTH, **window)
        assert found["emqScore"]["totalEvents"] == counted, window
        assert found["diagnostics"]["totalEvents"] == 2 * counted, window
    # The same from a roll-up that ends within the window, and from the ledger alone.
    for rolled_until in (day + timedelta(hours=5), None):
        site.connection.execute(
            "update tracking_rollup_progress set rolled_until = %s", (rolled_until,)
        )
        site.connection.execute(
            "delete from tracking_match_key_hourly where hour >= %s", (rolled_until or day,)
        )
        with one_moment(site.connection):
            counts = count_events(
                site.connection, day + timedelta(minutes=1), after, policy().counting
            )
        assert sum(sum(of_name.values()) for of_name in counts.values()) == 3


def test_a_history_that_is_still_being_counted_is_not_counted_by_a_request(
    served: Served, site: Site, database_url: str
) -> None:
    site.add_events(7, at=site.ago(days=5))
    check(database_url)
    site.connection.execute(
        "update tracking_rollup_progress set rolled_until = now() - interval '3 days'"
    )
    site.add_events(5, at=site.ago(days=1))
    found = served.get(HEALTH)
    assert found["emqScore"]["totalEvents"] == 7
    assert found["countedUntil"] < found["endDate"]


def test_the_queue_is_told_by_destination(served: Served, site: Site) -> None:
    site.add_failed(2, created_at=site.ago(hours=5))
    site.add_failed(1, destination="google_ec", status="retrying")
    site.add_failed(3, status="dead_letter")
    site.add_failed(1, status="resolved", resolved_at=site.now())
    site.add_failed(1, status="resolved", resolved_at=site.ago(days=2))
    queue = served.get(HEALTH)["fixQueue"]
    assert (queue["pendingCount"], queue["deadLetterCount"]) == (3, 3)
    assert queue["resolvedToday"] == 1
    meta, google = queue["byDestination"]["meta_capi"], queue["byDestination"]["google_ec"]
    assert (meta["pendingCount"], meta["deadLetterCount"]) == (2, 3)
    assert (google["pendingCount"], google["state"]) == (1, "not_configured")
    age = site.now() - moment(queue["oldestPending"])
    assert timedelta(hours=4, minutes=59) < age < timedelta(hours=5, minutes=1)


def test_a_queue_row_with_an_absurd_time_breaks_nothing(served: Served, site: Site) -> None:
    for time in ("-infinity", "infinity", "4713-01-01 BC", "294276-12-31"):
        site.connection.execute(
            "insert into tracking_failed_events (event_id, event_name, event_payload, destination,"
            " error_message, created_at) values (gen_random_uuid(), '', '{}', 'meta_capi', '', %s)",
            (time,),
        )
    assert served.get(HEALTH)["fixQueue"]["pendingCount"] == 4


def test_what_does_not_fit_together_is_counted(served: Served, site: Site) -> None:
    old = site.ago(days=1).replace(hour=12)
    stranger = "10000000-0000-4000-8000-000000000001"
    with_event, without = (site.add_lead(created_at=old) for _ in range(2))
    site.add_lead(created_at=site.now())  # its event may be on its way
    site.add_events(1, at=old, lead_id=with_event, event_name="Purchase")
    site.add_events(1, at=old, lead_id=with_event, event_name="Lead")
    site.add_events(2, at=old + timedelta(minutes=5), lead_id=with_event, event_name="Lead")
    site.add_events(1, at=old - timedelta(days=1), lead_id=with_event, event_name="Lead")
    site.add_events(1, at=old, lead_id=stranger)
    site.add_events(9, at=old, lead_id=stranger, event_name="page_view")
    site.add_events(1, at=old, lead_id=without, event_name="page_view")
    diagnostics = served.get(HEALTH)["diagnostics"]
    assert diagnostics["orphanEvents"] == 1
    assert diagnostics["duplicateEvents"] == 2
    assert diagnostics["conversionIntegrity"] == {"ok": 1, "missing": 1}


def test_the_error_rate_counts_each_event_once(
    served: Served, site: Site, database_url: str
) -> None:
    (in_ledger, *_) = site.add_events(9)
    check(database_url)
    for destination in ("meta_capi", "google_ec"):
        site.add_failed(1, event_id=in_ledger, destination=destination)
    site.add_failed(1)
    diagnostics = served.get(HEALTH)["diagnostics"]
    assert diagnostics["totalEvents"] == 10
    assert diagnostics["errorRate"] == 20.0


def test_a_ledger_that_is_not_counted_to_the_end_has_no_error_rate(
    served: Served, site: Site, database_url: str
) -> None:
    site.add_failed(3)
    site.add_events(9)
    never = served.get(HEALTH)
    assert (never["countedUntil"], never["diagnostics"]["errorRate"]) == (None, None)

    check(database_url)
    assert served.get(HEALTH)["diagnostics"]["errorRate"] == 25.0

    site.connection.execute(
        "update tracking_rollup_progress set rolled_until = now() - interval '3 days'"
    )
    assert served.get(HEALTH)["diagnostics"]["errorRate"] is None


def test_a_window_that_begins_after_the_last_roll_up_is_counted(
    served: Served, site: Site, database_url: str
) -> None:
    check(database_url)
    site.connection.execute(
        "update tracking_rollup_progress set rolled_until ="
        " date_trunc('hour', now()) - interval '3 hours'"
    )
    site.add_events(4, at=site.now())
    found = served.get(HEALTH, start_date=site.ago(hours=1).isoformat())
    assert found["countedUntil"] == found["endDate"]
    assert found["emqScore"]["totalEvents"] == 4


def test_an_estimate_of_the_cost_needs_the_value_of_a_lead(serve: Serve, site: Site) -> None:
    (event,) = site.add_failed(1)
    site.add_failed(1, event_id=event, destination="google_ec")
    site.add_failed(1, status="dead_letter")
    site.add_failed(1, status="resolved", resolved_at=site.now())
    site.add_failed(1, destination="supabase")
    assert serve().get(HEALTH)["costImpact"] is None
    assert serve(LEAD_VALUE="12.5", LEAD_VALUE_CURRENCY="EUR").get(HEALTH)["costImpact"] == {
        "undeliveredEvents": 2,
        "valuePerLead": 12.5,
        "estimatedValue": 25.0,
        "currency": "EUR",
    }


def test_an_open_alert_decides_the_status(served: Served, site: Site, database_url: str) -> None:
    site.add_failed(11)
    check(database_url)
    found = served.get(HEALTH)
    assert found["systemStatus"] == "critical"
    assert "ailed events are piling up" in found["statusReason"]
    assert "_" not in found["statusReason"]
    assert found["lastCheck"]


def test_a_window_that_is_none_is_refused_in_one_line(served: Served) -> None:
    for window in (
        {"start_date": "2026-02-30"},
        {"start_date": "yesterday"},
        {"start_date": "2026-11-02", "end_date": "2026-11-01"},
        {"start_date": "2100-01-01"},
        {"start_date": "2001-01-01"},
        {"start_date": "2001-01-01", "end_date": "2026-01-01"},
        {"start_date": "0001-01-01"},
        {"start_date": "9999-12-31"},
        {"end_date": "0001-01-01"},
        {"start_date": "1' or '1'='1"},
        {"start_date": "2026-01-01\x00"},
        {"start_date": "1e308"},
    ):
        response = served.admin.get(FUNCTIONS + HEALTH, params=window)
        assert response.status_code == 422, (window, response.text)
        assert "\n" not in response.json()["error"]


@pytest.mark.parametrize("end", ["", "2100-01-01", "9999-12-31", "9999-12-31T23:59:59-12:00"])
def test_an_end_that_is_to_come_or_empty_is_now(served: Served, end: str) -> None:
    since = datetime.now(timezone.utc) - timedelta(days=3)
    found = served.get(HEALTH, start_date=f"{since:%Y-%m-%d}", end_date=end)
    assert abs(moment(found["endDate"]) - datetime.now(timezone.utc)) < timedelta(hours=1)


def test_empty_dates_are_none(served: Served) -> None:
    found, without = served.get(HEALTH, start_date="", end_date=""), served.get(HEALTH)
    assert found["startDate"] == without["startDate"]


@pytest.mark.parametrize("zone", ["+01:00", "%2B01:00", "+0100", "%2b0100"])
def test_a_zone_is_understood_whose_plus_was_not_escaped(served: Served, zone: str) -> None:
    day = datetime.now(timezone.utc).date() - timedelta(days=1)
    path = f"{FUNCTIONS}{HEALTH}?start_date={day}T12:00:00{zone}"
    found = answer(served.admin.get(path))
    assert moment(found["startDate"]) == datetime(
        day.year, day.month, day.day, 11, tzinfo=timezone.utc
    )


def test_the_trend_is_a_word() -> None:
    assert trend(7.2, 7.0) == "up"
    assert trend(6.8, 7.0) == "down"
    assert trend(7.05, 7.0) == "stable"
    assert trend(7.0, None) is None
    assert trend(None, 7.0) is None
