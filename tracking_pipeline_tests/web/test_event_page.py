"""One event over the API and on its page: what is told, to whom, and how it looks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.failed_event_queue import Added, Queue, payload
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
from tracking_pipeline_tests.web.serving import FUNCTIONS, TIMEOUT_SECONDS, Served

expect.set_options(timeout=TIMEOUT_SECONDS * 1000)

EMAIL = "canary.person@example.com"
SCRIPT = "<script>alert(1)</script>"
ORDER = "A-10024"


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
def served(with_meta: Sandbox, serve: Serve) -> Served:
    """A server that sends to the sandbox in Meta's place."""
    return serve()


@pytest.fixture
def tried(queue: Queue, with_meta: Sandbox, served: Served) -> Added:
    """A purchase that failed, was refused, and is a dead letter now."""
    said = payload(
        EMAIL,
        event_id=f"px-{SCRIPT}",
        order_id=ORDER,
        phone="+1 (415) 555-0132",
        note=SCRIPT,
        consent={"marketing": "granted"},
        client_user_agent="Mozilla/5.0 (canary-machine)",
    )
    row = queue.add_one(event_payload=said, error_message=f"{SCRIPT} {EMAIL}")
    with_meta.scripts.set(f"px-{SCRIPT}", [{"status": 500, "code": 1, "message": EMAIL}, "bad"])
    for _ in range(2):
        served.post("/admin-retry-failed-events", {"retryAll": True})
    return row


def audited(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select action, outcome, detail from tracking_admin_actions where action = 'explain'"
        " order by id"
    ).fetchall()


def open_event(visitor: Visitor, served: Served, wanted: str, **profile: Any) -> Page:
    page = visitor.log_in(served, **profile)
    page.get_by_label("Find an event").fill(wanted)
    page.get_by_role("button", name="Explain").click()
    page.wait_for_load_state()
    return page


# --- the API ---


def test_the_api_explains_an_event_and_keeps_it_on_record(
    served: Served, tried: Added, connection: psycopg.Connection
) -> None:
    found = served.get("/admin-explain", id=str(tried.id))
    (event,) = found["events"]
    assert (found["success"], found["rehearsal"]) == (True, False)
    assert event["row"]["status"] == "dead_letter"
    assert [each["outcome"] for each in event["attempts"]] == ["retry", "rejected"]
    meta = event["destinations"][0]
    assert (meta["name"], meta["own"], meta["outcome"]) == ("meta_capi", True, "would_be_sent")
    assert (
        served.get("/admin-explain", id=ORDER, destination="supabase")["events"][0]["destinations"][
            0
        ]["name"]
        == "supabase"
    )
    first, second = audited(connection)
    assert first == ("explain", "done", {"id": str(tried.id)})
    assert ORDER not in str(second)


def test_the_api_tells_nothing_of_a_person(served: Served, tried: Added) -> None:
    for wanted in (str(tried.id), ORDER):
        text = served.admin.get(f"{FUNCTIONS}/admin-explain", params={"id": wanted}).text
        for canary in (EMAIL, "canary", "5550132", "555-0132", "token-for-tests"):
            assert canary not in text


def test_what_nobody_has_is_not_found_and_nonsense_is_refused(served: Served) -> None:
    def status(**parameters: str) -> int:
        response = served.admin.get(f"{FUNCTIONS}/admin-explain", params=parameters)
        assert response.json()["success"] is False
        return response.status_code

    assert status(id=str(uuid4())) == 404
    assert status(id="undefined") == 404
    assert status() == 422
    assert status(id="") == 422
    assert status(id="a\x00b") == 422
    assert status(id="a" * 501) == 422
    assert status(id="a", destination="nowhere") == 422


# --- the page ---


def test_an_event_is_found_from_the_health_page_with_its_attempts_in_order(
    visitor: Visitor, served: Served, tried: Added, connection: psycopg.Connection
) -> None:
    page = open_event(visitor, served, ORDER)
    expect(page).to_have_title("Lead to Meta Conversions API · Tracking health")
    event = page.get_by_role("region", name="Lead to Meta Conversions API")
    expect(event.get_by_role("heading", level=2)).to_contain_text("Given up")
    attempts = event.locator(".attempts > li")
    expect(attempts).to_have_count(2)
    expect(attempts.first).to_contain_text("Failed, to be tried again")
    expect(attempts.last).to_contain_text("Refused")
    expect(event.get_by_role("heading", level=4).first).to_contain_text("Would be sent")
    event.get_by_text("The event", exact=True).first.click()
    expect(event.locator("pre").first).to_contain_text('"action_source"')
    expect(event.locator(".lines > li").filter(has_text="Order")).to_contain_text(ORDER)
    assert [row[0] for row in audited(connection)] == ["explain"]
    page.get_by_role("link", name="Tracking health").click()
    expect(page.get_by_role("heading", name="Queue by destination")).to_be_visible()


def test_what_others_wrote_is_shown_masked_and_never_run(
    visitor: Visitor, served: Served, tried: Added
) -> None:
    page = open_event(visitor, served, str(tried.event_id))
    content = page.content()
    assert "<script>" not in content
    assert "&lt;script&gt;" in content
    assert "canary" not in content
    response = served.admin.get("/event", params={"id": f"{SCRIPT}\x00'\""})
    assert response.status_code == 404
    assert "<script>" not in response.text


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_the_page_is_readable_in_both_schemes_and_on_a_phone(
    visitor: Visitor, served: Served, tried: Added, scheme: str, size: str
) -> None:
    profile: dict[str, Any] = {"color_scheme": scheme}
    if size == "phone":
        profile["viewport"] = PHONE
    page = open_event(visitor, served, ORDER, **profile)
    for summary in page.locator("summary").all():
        summary.click()
    assert faint_texts(page) == []
    assert nameless(page) == []
    assert overflow(page) <= 0
    levels = heading_levels(page)
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_searching_needs_no_script_and_says_where_nothing_is_found(
    visitor: Visitor, served: Served, tried: Added
) -> None:
    page = open_event(visitor, served, "nobody's", java_script_enabled=False)
    expect(page.get_by_role("heading", level=1)).to_have_text("No event, order or lead has this id")
    expect(page.get_by_label("Find an event")).to_have_value("nobody's")
    page.get_by_label("Find an event").fill(str(tried.id))
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_role("heading", level=2)).to_contain_text("Lead to Meta")


def test_a_stranger_gets_the_form_and_an_empty_search_goes_back(
    served: Served, tried: Added
) -> None:
    response = served.client.get("/event", params={"id": str(tried.id)})
    assert response.status_code == 401
    assert "Sign in" in response.text
    assert "Meta" not in response.text
    response = served.admin.get("/event", params={"id": " "})
    assert (response.status_code, response.headers["location"]) == (303, "/")
