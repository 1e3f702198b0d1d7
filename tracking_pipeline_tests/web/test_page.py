"""The health page in a real browser: what is seen, clicked and typed there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

import psycopg
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from psycopg.types.json import Jsonb

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.failed_event_queue import Queue
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import EVERYTHING, Site, policy
from tracking_pipeline_tests.web.browsing import (
    PHONE,
    Visitor,
    faint_texts,
    heading_levels,
    nameless,
    open_browser,
    overflow,
)
from tracking_pipeline_tests.web.conftest import Serve
from tracking_pipeline_tests.web.people import SECRET, add_user, token
from tracking_pipeline_tests.web.serving import ADMIN_TOKEN, AS_ADMIN, TIMEOUT_SECONDS, Served

expect.set_options(timeout=TIMEOUT_SECONDS * 1000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    yield Visitor(browser)
    for context in browser.contexts:
        context.close()


@pytest.fixture
def site(connection: psycopg.Connection) -> Site:
    return Site(connection)


@pytest.fixture
def in_trouble(site: Site, queue: Queue, database_url: str) -> Site:
    """Events wait and were given up, match keys are few, a destination is paused, leads have
    places, and a check has seen it all."""
    for days in range(10):
        site.add_events(10, at=site.ago(days=days, hours=1), keys={"fbp": EVERYTHING["fbp"]})
        site.add_events(3, at=site.ago(days=days, hours=1), event_name="Schedule")
    queue.add(14, created_at=site.ago(hours=5))
    queue.add(3, destination="google_ec")
    add_dead(queue, 7, "expired")
    add_dead(queue, 2, "event_name_of_forty_characters_without_a_gap", destination="gtm_server")
    add_dead(queue, 1, "invalid value emily@example.com <script>alert(1)</script>")
    site.connection.execute(
        "insert into tracking_destination_state"
        " (destination, state, reason, opened_at, probe_at, probe_interval_seconds) values"
        " ('gtm_server', 'open', 'unknown container path', now(), now() + interval '9 min', 600)"
    )
    lead = site.add_lead(city="Miami", zip="33101")
    source = "mmdb dbip-city-lite 2026-11"
    site.connection.execute(
        "update leads set geo_source = %s, geo_fields = %s where id = %s",
        (source, Jsonb({"city": {"value": "Miami", "source": source}}), lead),
    )
    check_tracking_health(database_url, policy())
    return site


def add_dead(queue: Queue, count: int, reason: str, **columns: object) -> None:
    queue.add(count, status="dead_letter", dead_letter_reason=reason, **columns)


def section(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name=title)


def actions(site: Site) -> list[str]:
    rows = site.read("select action from tracking_admin_actions order by id")
    return [row["action"] for row in rows]


# --- who gets in ---


def test_a_stranger_gets_the_form_and_nothing_else(served: Served, in_trouble: Site) -> None:
    response = served.client.get("/")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert "Sign in" in response.text
    assert "meta" not in response.text.replace("<meta", "").lower()


def test_a_wrong_token_is_refused_in_words_and_the_right_one_opens_the_page(
    visitor: Visitor, served: Served
) -> None:
    page = visitor.visit(served)
    for wrong in ("not-the-token", ADMIN_TOKEN[:-1]):
        page.get_by_label("Token").fill(wrong)
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text(
            "This token is not accepted. Check it and try again."
        )
    page.get_by_label("Token").fill(ADMIN_TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Tracking is degraded")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    assert page.context.cookies() == []


def test_a_user_who_is_no_admin_learns_that_the_token_is_not_accepted(
    visitor: Visitor, serve: Serve, connection: psycopg.Connection
) -> None:
    served = serve(SUPABASE_JWT_SECRET=SECRET)
    page = visitor.visit(served)
    page.get_by_label("Token").fill(token(add_user(connection, "moderator")))
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not accepted")
    page.get_by_label("Token").fill(token(add_user(connection, "admin")))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What needs you")).to_be_visible()


def test_logging_in_and_reading_need_no_script(
    visitor: Visitor, served: Served, in_trouble: Site
) -> None:
    page = visitor.log_in(served, java_script_enabled=False)
    expect(page.get_by_role("heading", level=1)).to_have_text("Tracking needs attention now")
    expect(page.get_by_text("actions need it")).to_be_visible()
    # What would do nothing is not offered.
    for name in ("Retry all", "Acknowledge", "Silence", "Replay", "Check now"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    page.get_by_text("Filter", exact=True).first.click()
    page.get_by_label("Reason contains").fill("EXPIRED")
    page.get_by_role("button", name="Filter").click()
    rows = page.locator(".rows.card > li")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Too old for the destination")


# --- what it says ---


def test_the_page_tells_what_is_wrong_and_what_needs_a_human_first(
    visitor: Visitor, served: Served, in_trouble: Site
) -> None:
    page = visitor.log_in(served)
    expect(page).to_have_title("Critical · Tracking health")
    expect(page.get_by_role("heading", level=2)).to_have_text(
        [
            "What needs you",
            "Did the conversions arrive?",
            "Queue by destination",
            "Dead letters",
            "Match quality",
            "Locations of leads",
            "Recent runs",
        ]
    )
    needs = section(page, "What needs you")
    titles = needs.get_by_role("heading", level=3)
    expect(titles.first).to_contain_text("critical")
    expect(titles.last).to_contain_text("Google enhanced conversions is not set up")
    expect(needs).to_contain_text("3 events wait for it. To have them sent, set GOOGLE_ADS_ACCOUNT")
    queue = section(page, "Queue by destination")
    gtm = queue.get_by_role("listitem").filter(has_text="Server-side Tag Manager")
    expect(gtm).to_contain_text("Not set up")
    score = section(page, "Match quality")
    expect(score.get_by_role("img").first).to_have_accessible_name(
        "3.5 of 10, estimated from 91 events of the last 7 days."
    )
    expect(score.get_by_role("listitem").filter(has_text="Browser id")).to_contain_text("76.9 %")
    places = section(page, "Locations of leads")
    expect(places.get_by_role("listitem").filter(has_text="Local IP database")).to_contain_text("1")
    attribution = page.get_by_role("link", name="IP Geolocation by DB-IP")
    expect(attribution).to_have_attribute("href", "https://db-ip.com")


def test_an_installation_without_anything_is_told_so_calmly(
    visitor: Visitor, served: Served
) -> None:
    page = visitor.log_in(served)
    expect(page.get_by_role("heading", level=1)).to_have_text("Tracking is degraded")
    expect(section(page, "Tracking is degraded")).to_contain_text("No health check has run yet.")
    expect(section(page, "What needs you")).to_contain_text("No alert is open.")
    expect(section(page, "Match quality")).to_contain_text("No score yet")
    expect(section(page, "Recent runs")).to_contain_text("No job has run yet.")
    expect(page.get_by_role("link", name="IP Geolocation by DB-IP")).to_have_count(0)
    assert overflow(page) == 0


def test_old_news_of_good_health_are_no_good_news(
    visitor: Visitor, served: Served, site: Site, database_url: str
) -> None:
    site.add_events(30, keys=EVERYTHING)
    check_tracking_health(database_url, policy())
    assert "Tracking is healthy" in served.admin.get("/").text
    site.let_pass(minutes=46)
    page = visitor.log_in(served)
    expect(page.get_by_role("heading", level=1)).to_have_text("Tracking needs attention now")
    state = section(page, "Tracking needs attention now")
    expect(state).to_contain_text("Health checks have stopped")
    expect(page.get_by_text("46 min ago")).to_be_visible()


def test_what_others_wrote_is_shown_without_personal_data_and_never_run(
    visitor: Visitor, served: Served, in_trouble: Site
) -> None:
    page = visitor.log_in(served)
    letters = section(page, "Dead letters")
    row = letters.get_by_role("listitem").filter(has_text="Invalid value")
    expect(row).to_contain_text("Use the filter")
    assert "emily" not in page.content()
    assert "<script>alert" not in page.content()
    assert "emily" not in served.admin.get("/").text


def test_runs_link_to_the_dagster_ui(
    visitor: Visitor, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve(DAGSTER_UI_URL="https://dagster.example.com/")
    run_id = served.post("/admin-retry-failed-events")["run_id"]
    page = visitor.log_in(served)
    link = section(page, "Recent runs").get_by_role("link", name="Retry failed events")
    expect(link).to_have_attribute("href", f"https://dagster.example.com/runs/{run_id}")
    expect(section(page, "Recent runs")).to_contain_text("Succeeded")


def test_without_its_tables_the_page_says_what_to_do(
    served: Served, connection: psycopg.Connection
) -> None:
    connection.execute("drop table tracking_health_snapshots")
    response = served.admin.get("/")
    assert response.status_code == 503
    assert "The database does not answer" in response.text
    assert "tracking-pipeline migrate" in response.text


# --- what is clicked ---


def test_retry_all_sends_what_waits_and_tells_what_came_of_it(
    with_meta: Sandbox, visitor: Visitor, served: Served, queue: Queue, site: Site
) -> None:
    _, bad = queue.add(2, next_retry_at=site.now() + timedelta(days=1))
    with_meta.scripts.set(bad.sent_as, ["bad"])
    page = visitor.log_in(served)
    shown = section(page, "Queue by destination")
    meta = shown.get_by_role("listitem").filter(has_text="Meta Conversions API")
    expect(meta).to_contain_text("Waiting2")
    page.get_by_role("button", name="Retry all").click()
    expect(shown.get_by_role("status")).to_have_text(
        "Tried 2 events: 1 delivered, 1 given up. See the run"
    )
    # The page is up to date without being loaded again.
    expect(meta).to_contain_text("Waiting0")
    expect(section(page, "Dead letters")).to_contain_text("1 event, by reason")
    expect(section(page, "Recent runs").get_by_role("link")).to_have_count(1)
    assert queue.statuses() == {"resolved": 1, "dead_letter": 1}
    assert actions(site) == ["login", "retry"]


def test_new_events_are_told_before_their_first_attempt_and_after_it(
    with_meta: Sandbox, visitor: Visitor, served: Served, queue: Queue
) -> None:
    queue.accept(5)
    queue.accept_one(destination="google_ec")
    page = visitor.log_in(served)
    shown = section(page, "Queue by destination")
    meta = shown.get_by_role("listitem").filter(has_text="Meta Conversions API")
    expect(meta).to_contain_text("New, not sent yet5")
    page.get_by_role("button", name="Retry all").click()
    expect(shown.get_by_role("status")).to_have_text(
        "5 new events delivered at the first attempt. 1 new event not sent yet. See the run"
    )
    expect(meta).not_to_contain_text("New, not sent yet")


def test_a_page_that_is_no_longer_live_says_so(visitor: Visitor, served: Served) -> None:
    page = visitor.visit(served)
    page.clock.install()
    page.get_by_label("Token").fill(ADMIN_TOKEN)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Queue by destination").wait_for()
    cookies = page.context.cookies()
    page.context.clear_cookies()
    page.clock.run_for(60_000)
    news = page.locator("#news")
    expect(news).to_have_text(
        "This page is no longer live. You are signed out. Load the page again to sign in."
    )
    box = news.bounding_box()
    assert box is not None
    assert box["height"] > 10

    page.context.add_cookies(cookies)
    page.clock.run_for(60_000)
    expect(news).to_have_text("The page is live again.")


def test_a_run_that_takes_longer_is_waited_for(
    with_meta: Sandbox, visitor: Visitor, serve: Serve, queue: Queue
) -> None:
    served = serve(wait_seconds=0.0)
    queue.add(3)
    page = visitor.log_in(served)
    page.get_by_role("button", name="Retry all").click()
    expect(section(page, "Queue by destination").get_by_role("status")).to_contain_text(
        "Tried 3 events: 3 delivered."
    )


def test_a_check_on_demand_brings_the_status_up_to_date(
    visitor: Visitor, served: Served, queue: Queue
) -> None:
    queue.add(11)
    page = visitor.log_in(served)
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Tracking needs attention now")
    expect(page.get_by_text("Checked: 1 new alert.")).to_be_visible()
    needs = section(page, "What needs you")
    expect(needs.get_by_role("heading", level=3).first).to_contain_text("Failed events are piling")


def test_an_alert_is_acknowledged_silenced_and_resolved(
    visitor: Visitor, served: Served, in_trouble: Site
) -> None:
    page = visitor.log_in(served)
    needs = section(page, "What needs you")
    alert = needs.get_by_role("listitem").filter(has_text="Failed events are piling up")

    def row() -> dict[str, object]:
        (found,) = [
            each for each in in_trouble.alerts() if each["alert_type"] == "failed_events_critical"
        ]
        return found

    alert.get_by_role("button", name="Acknowledge").click()
    expect(needs.get_by_role("status")).to_have_text("Failed events are piling up: acknowledged.")
    expect(alert).to_contain_text("Acknowledged just now")
    expect(alert.get_by_role("button", name="Acknowledge")).to_have_count(0)
    assert row()["acknowledged_at"] is not None
    # The button is gone: whoever used the keyboard stands at the section's beginning.
    expect(page.get_by_role("heading", name="What needs you")).to_be_focused()

    alert.get_by_label("Silence for").select_option("1 day")
    alert.get_by_role("button", name=re.compile("^Silence:")).click()
    expect(alert).to_contain_text("silenced until")
    left = row()["silenced_until"] - in_trouble.now()
    assert timedelta(hours=23) < left <= timedelta(hours=24)

    alert.get_by_role("button", name="End silence").click()
    expect(alert.get_by_role("button", name=re.compile("^Silence:"))).to_be_visible()
    assert row()["silenced_until"] is None

    alert.get_by_role("button", name="Resolve").click()
    expect(alert).to_have_count(0)
    assert row()["resolved_at"] is not None
    needs.get_by_text("Alerts that are over").click()
    expect(needs).to_contain_text("Failed events are piling up (critical): resolved by hand")
    assert actions(in_trouble) == [
        "login",
        "alerts: acknowledge",
        "alerts: silence",
        "alerts: silence",
        "alerts: resolve",
    ]


def test_a_replay_shows_what_would_happen_before_it_does_anything(
    with_meta: Sandbox, visitor: Visitor, served: Served, queue: Queue, site: Site
) -> None:
    add_dead(queue, 5, "max_retries")
    add_dead(queue, 2, "consent denied")
    add_dead(queue, 1, "max_retries", destination="google_ec")
    page = visitor.log_in(served)
    letters = section(page, "Dead letters")
    row = letters.get_by_role("listitem").filter(has_text="Still failing").filter(has_text="Meta")
    row.get_by_role("button", name="Replay").click()
    dialog = page.get_by_role("dialog", name="Replay dead letters")
    expect(dialog).to_contain_text("Of 5 events:")
    expect(dialog).to_contain_text("5will be sent")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert queue.statuses() == {"dead_letter": 8}

    row.get_by_role("button", name="Replay").click()
    dialog.get_by_role("button", name="Replay 5 events").click()
    expect(dialog).to_contain_text("5 events put back into the queue.")
    dialog.get_by_role("button", name="Close").click()
    expect(letters.get_by_role("status")).to_contain_text("5 events put back into the queue.")
    expect(letters).to_contain_text("3 events, by reason")
    # Three canaries were sent; the others are due within the minute.
    assert queue.statuses() == {"resolved": 3, "pending": 2, "dead_letter": 3}
    assert actions(site) == ["login", "replay", "replay", "replay"]


def test_consent_is_to_the_forecast_that_is_shown_and_to_no_earlier_one(
    with_meta: Sandbox, visitor: Visitor, served: Served, queue: Queue
) -> None:
    add_dead(queue, 5, "max_retries")
    add_dead(queue, 2, "consent denied")
    page = visitor.log_in(served)
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/admin-replay-dead-letters", hold_the_first)
    letters = section(page, "Dead letters")
    dialog = page.get_by_role("dialog", name="Replay dead letters")
    with page.expect_request("**/admin-replay-dead-letters"):
        _replay_button(letters, "Still failing").click()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)

    _replay_button(letters, "Consent denied").click()
    consent = dialog.get_by_role("button", name="Replay 2 events")
    expect(consent).to_be_visible()
    with page.expect_response("**/admin-replay-dead-letters") as late:
        held[0].continue_()
    late.value.finished()
    expect(dialog).to_contain_text("Of 2 events:")
    consent.click()
    expect(dialog).to_contain_text("2 events put back into the queue.")
    expect(letters.get_by_role("status", include_hidden=True)).to_contain_text(
        "2 events put back into the queue."
    )
    left = queue.read(
        "select dead_letter_reason from tracking_failed_events where status = 'dead_letter'"
    )
    assert [each["dead_letter_reason"] for each in left] == ["max_retries"] * 5


def test_a_replay_whose_dialog_was_closed_leaves_the_next_one_alone(
    with_meta: Sandbox, visitor: Visitor, served: Served, queue: Queue
) -> None:
    add_dead(queue, 5, "max_retries")
    add_dead(queue, 2, "consent denied")
    page = visitor.log_in(served)
    held: list[Route] = []

    def hold_what_changes(route: Route) -> None:
        if route.request.post_data_json["dry_run"] or held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/admin-replay-dead-letters", hold_what_changes)
    letters = section(page, "Dead letters")
    dialog = page.get_by_role("dialog", name="Replay dead letters")
    _replay_button(letters, "Still failing").click()
    with page.expect_request("**/admin-replay-dead-letters"):
        dialog.get_by_role("button", name="Replay 5 events").click()
    page.keyboard.press("Escape")
    expect(letters.get_by_role("status")).to_have_text("Putting them back…")

    _replay_button(letters, "Consent denied").click()
    consent = dialog.get_by_role("button", name="Replay 2 events")
    expect(consent).to_be_visible()
    held[0].continue_()
    # Said where it was clicked, and behind the dialog that is open now.
    expect(letters.get_by_role("status", include_hidden=True)).to_contain_text(
        "5 events put back into the queue."
    )
    expect(dialog).to_contain_text("Of 2 events:")
    consent.click()
    expect(dialog).to_contain_text("2 events put back into the queue.")


def _replay_button(letters: Locator, reason: str) -> Locator:
    return letters.get_by_role("listitem").filter(has_text=reason).get_by_role("button")


def test_a_replay_of_a_filter_takes_what_the_filter_shows(
    visitor: Visitor, served: Served, queue: Queue
) -> None:
    add_dead(queue, 2, "max_retries", event_name="Lead", destination="supabase")
    add_dead(queue, 3, "max_retries", event_name="Purchase", destination="supabase")
    page = visitor.log_in(served)
    page.get_by_text("Filter", exact=True).first.click()
    page.get_by_label("Event name").fill("Lead")
    page.get_by_label("Destination", exact=True).select_option("Event ledger")
    page.get_by_role("button", name="Filter").click()
    letters = section(page, "Dead letters")
    expect(letters).to_contain_text("2 events of 5, by reason")
    expect(page.get_by_label("Event name")).to_have_value("Lead")
    page.get_by_role("button", name="Replay these").click()
    page.get_by_role("button", name="Replay 2 events").click()
    expect(page.get_by_role("dialog")).to_contain_text("2 events put back into the queue.")
    left = queue.read("select event_name from tracking_failed_events where status = 'dead_letter'")
    assert [each["event_name"] for each in left] == ["Purchase"] * 3


def test_the_dead_letters_of_a_pause_that_is_over_are_offered(
    with_meta: Sandbox, visitor: Visitor, served: Served, queue: Queue
) -> None:
    add_dead(queue, 2, "max_retries", error_code="190", error_message="token expired")
    for outcome, minutes in (("paused", 20), ("delivered", 0)):
        queue.connection.execute(
            "insert into tracking_delivery_attempts (failed_event_id, event_id, destination,"
            " attempt, outcome, requests, error_code, error_message, lease_token, worker,"
            " attempted_at) values (%s, %s, 'meta_capi', 1, %s, 1, '190', 'token expired', 0, 'w',"
            " now() + interval '1 minute' - make_interval(mins => %s))",
            (uuid4(), uuid4(), outcome, minutes),
        )
    page = visitor.log_in(served)
    offer = section(page, "What needs you").get_by_role("listitem")
    expect(offer).to_contain_text("Meta Conversions API works again")
    offer.get_by_role("button", name="Replay").click()
    page.get_by_role("button", name="Replay 2 events").click()
    expect(page.get_by_role("dialog")).to_contain_text("2 events put back into the queue.")
    expect(offer).to_have_count(0)


def test_what_does_not_work_is_said_where_it_was_clicked(
    visitor: Visitor, served: Served, queue: Queue
) -> None:
    queue.add_one()
    page = visitor.log_in(served)
    page.context.clear_cookies()
    page.get_by_role("button", name="Retry all").click()
    expect(section(page, "Queue by destination").get_by_role("status")).to_have_text(
        "You are signed out. Load the page again to sign in."
    )
    assert queue.statuses() == {"pending": 1}


# --- for whom ---


def test_the_whole_way_goes_by_keyboard(
    with_meta: Sandbox, visitor: Visitor, served: Served, queue: Queue
) -> None:
    add_dead(queue, 1, "max_retries")
    queue.add_one()
    page = visitor.visit(served)
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.type(ADMIN_TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Dead letters")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    _tab_to(page, "Retry all")
    page.keyboard.press("Enter")
    status = section(page, "Queue by destination").get_by_role("status")
    expect(status).to_contain_text("Tried 1 event: 1 delivered.")
    _tab_to(page, "Replay…: Still failing")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Replay 1 event")).to_be_visible()
    # The dialog has the focus, and the page behind it cannot get it.
    _tab_to(page, "Replay 1 event")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("1 event put back into the queue.")
    expect(page.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)


_FOCUSED_NAME = """() => document.activeElement.getAttribute("aria-label")
  ?? document.activeElement.textContent.trim()"""


def _tab_to(page: Page, name: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(_FOCUSED_NAME).startswith(name):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid"
            return
    raise AssertionError(f"no Tab leads to {name}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast_and_every_control_a_name(
    visitor: Visitor, served: Served, in_trouble: Site, scheme: str
) -> None:
    login = visitor.visit(served, color_scheme=scheme)
    assert (nameless(login), heading_levels(login), faint_texts(login)) == ([], [1], [])
    page = visitor.log_in(served, color_scheme=scheme)
    for summary in page.locator("summary").all():
        summary.click()
    assert nameless(page) == []
    assert faint_texts(page) == []
    levels = heading_levels(page)
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))
    for landmark in ("banner", "main", "contentinfo"):
        expect(page.get_by_role(landmark)).to_have_count(1)


def test_light_and_dark_are_two_pages(visitor: Visitor, served: Served, in_trouble: Site) -> None:
    shots = [
        visitor.log_in(served, color_scheme=scheme).screenshot() for scheme in ("light", "dark")
    ]
    assert shots[0] != shots[1]


def test_a_phone_shows_all_of_it_without_scrolling_sideways(
    visitor: Visitor, served: Served, in_trouble: Site
) -> None:
    page = visitor.log_in(served, viewport=PHONE, has_touch=True, is_mobile=True)
    for summary in page.locator("summary").all():
        summary.tap()
    assert overflow(page) == 0
    letters = section(page, "Dead letters")
    letters.get_by_role("button", name="Replay").first.tap()
    expect(page.get_by_role("button", name="Replay 10 events")).to_be_visible()
    assert overflow(page) == 0
    box = page.get_by_role("dialog").bounding_box()
    assert box is not None
    assert box["width"] <= PHONE["width"]


# --- what it may do ---


def test_the_page_loads_nothing_from_elsewhere_and_breaks_no_policy_of_its_own(
    visitor: Visitor, served: Served, in_trouble: Site
) -> None:
    page = visitor.visit(served)
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.get_by_label("Token").fill(ADMIN_TOKEN)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Acknowledge").first.click()
    expect(section(page, "What needs you").get_by_role("status")).to_contain_text("acknowledged")
    assert {url[: len(served.url)] for url in asked} == {served.url}
    assert complaints == []


def test_what_was_withheld_is_shown_apart_from_what_was_given_up(
    served: Served, site: Site, database_url: str
) -> None:
    assert "Withheld" not in served.admin.get("/").text
    withheld = {"status": "resolved", "withheld_reason": "consent <i>denied</i>"}
    site.add_failed(3, **withheld, resolved_at=site.now())
    site.add_failed(4, **withheld, resolved_at=site.ago(days=3))
    check_tracking_health(database_url, policy())

    text = served.admin.get("/").text

    assert re.search(
        r"<b class=\"number\">3</b>\s*<span class=\"what\">Consent &lt;i&gt;denied&lt;/i&gt;\s*"
        r"<span class=\"quiet\">Meta Conversions API · in 24 h; 7 in 7 days</span>",
        text,
    )


@pytest.mark.parametrize("path", ["/", "/?refused", "/?reason=%00%ff&hours=-1&destination=x'"])
def test_every_page_carries_a_strict_policy(served: Served, path: str) -> None:
    for client in (served.client, served.admin):
        response = client.get(path)
        rules = dict(
            rule.split(" ", 1) for rule in response.headers["Content-Security-Policy"].split("; ")
        )
        assert rules.pop("default-src") == "'none'"
        assert set(rules.values()) == {"'self'", "'none'"}
        assert rules["frame-ancestors"] == rules["base-uri"] == "'none'"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "style=" not in response.text
        assert "onclick" not in response.text


@pytest.mark.parametrize("name", ["page.css", "page.js", "icon.svg"])
def test_assets_are_kept_by_browsers_until_they_change(served: Served, name: str) -> None:
    page = served.client.get("/").text + served.client.get("/", headers=AS_ADMIN).text
    address = next(part for part in page.split('"') if part.startswith(f"/assets/{name}?v="))
    response = served.client.get(address)
    assert response.status_code == 200
    assert "immutable" in response.headers["Cache-Control"]


@pytest.mark.parametrize("name", ["nothing.css", "..%2fpage.py", "%2e%2e/routes.py", "page.html"])
def test_no_other_file_is_an_asset(served: Served, name: str) -> None:
    assert served.client.get(f"/assets/{name}").status_code == 404
