"""Who may post to intake, how often, and how much."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.web.intake import service as intake_limits
from tracking_pipeline.web.intake.service import RateLimit, client_of
from tracking_pipeline_tests.web.intake_site import KEY, Site, site

EVENT = {"event_name": "Lead"}


@pytest.fixture
def ours(connection: psycopg.Connection, database_url: str) -> Iterator[Site]:
    with site(connection, database_url) as running:
        yield running


@pytest.mark.parametrize(
    "headers", [{"x-api-key": KEY}, {"apikey": KEY}, {"authorization": f"bearer {KEY}"}]
)
@pytest.mark.parametrize("name", ["log-event", "save-lead"])
def test_the_key_is_taken_in_each_of_its_places(
    ours: Site, headers: dict[str, str], name: str
) -> None:
    del ours.http.headers["x-api-key"]

    answer = ours.http.post(
        f"/functions/v1/{name}", json={**EVENT, "email": "e@example.com"}, headers=headers
    )

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": KEY[:-1]},
        {"x-api-key": KEY + "x"},
        {"apikey": "ÿ"},
        {"authorization": KEY},
        {"authorization": f"Basic {KEY}"},
        {"authorization": "Bearer"},
    ],
)
@pytest.mark.parametrize("name", ["log-event", "save-lead"])
def test_nobody_posts_without_the_key(ours: Site, headers: dict[str, str], name: str) -> None:
    del ours.http.headers["x-api-key"]

    answer = ours.http.post(
        f"/functions/v1/{name}",
        json={**EVENT, "email": "e@example.com"},
        headers={key: value.encode("latin-1") for key, value in headers.items()},
    )

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert KEY not in answer.text
    assert ours.ledger() == ours.leads() == []


def test_without_a_key_configured_only_this_machine_posts(
    connection: psycopg.Connection, database_url: str
) -> None:
    with site(connection, database_url, intake_key=None, trusted_proxies="") as ours:
        assert ours.log_event(EVENT).status_code == 403
        assert ours.log_event(EVENT, host="tracking.example.com").status_code == 403
        del ours.http.headers["x-forwarded-for"]
        assert ours.log_event(EVENT, host="tracking.example.com").status_code == 403
        assert ours.log_event(EVENT).status_code == 200


def test_without_a_key_nobody_posts_through_a_proxy_that_says_nothing(
    connection: psycopg.Connection, database_url: str
) -> None:
    with site(connection, database_url, intake_key=None) as ours:
        del ours.http.headers["x-forwarded-for"]
        assert ours.log_event(EVENT).status_code == 403
    assert ours.ledger() == []


def test_a_client_that_posts_too_much_is_asked_to_wait_and_others_are_not(
    connection: psycopg.Connection, database_url: str
) -> None:
    with site(connection, database_url, intake_requests_per_minute=3) as ours:
        assert [ours.log_event(EVENT).status_code for _ in range(3)] == [200] * 3

        refused = ours.log_event(EVENT)

        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 20
        assert ours.log_event(EVENT, x_forwarded_for="2.125.160.216").status_code == 200
        assert len(ours.ledger()) == 4


def test_a_client_cannot_make_itself_another_one(
    connection: psycopg.Connection, database_url: str
) -> None:
    settings = {"intake_requests_per_minute": 1, "trusted_proxies": ()}
    with site(connection, database_url, **settings) as ours:
        assert ours.log_event(EVENT).status_code == 200
        assert ours.log_event(EVENT, x_forwarded_for="2.125.160.216").status_code == 429
        # Nor is what it says taken for its address.
        assert "client_ip_address" not in ours.ledger()[0]["user_data"]


def test_a_body_over_the_limit_is_refused(
    connection: psycopg.Connection, database_url: str
) -> None:
    with site(connection, database_url, max_body_bytes=2000) as ours:
        assert ours.log_event({**EVENT, "note": "x" * 2000}).status_code == 413
        assert ours.save_lead({"email": "e@example.com", "x": "x" * 2000}).status_code == 413
        assert ours.ledger() == []


def test_a_browser_of_an_allowed_site_may_post(
    connection: psycopg.Connection, database_url: str
) -> None:
    origin = "https://www.example.com"
    with site(connection, database_url, cors_origins=origin) as ours:
        asked = ours.http.options(
            "/functions/v1/log-event",
            headers={
                "origin": origin,
                "access-control-request-method": "POST",
                "access-control-request-headers": "content-type, x-api-key, idempotency-key",
            },
        )
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == origin
        assert ours.log_event(EVENT, origin=origin).headers["access-control-allow-origin"] == origin
        # Without the header, a browser hides the answer.
        other = ours.log_event(EVENT, origin="https://evil.example")
        assert "access-control-allow-origin" not in other.headers


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(per_minute=st.integers(1, 1000))
def test_a_minutes_requests_may_come_at_once_and_one_more_after_its_share(
    per_minute: int,
) -> None:
    clock = Clock()
    limit = RateLimit(per_minute, clock)

    assert not any(limit.seconds_to_wait("a") for _ in range(per_minute))
    wait = limit.seconds_to_wait("a")
    assert wait == pytest.approx(60 / per_minute)
    clock.now += wait
    assert limit.seconds_to_wait("a") == 0
    assert limit.seconds_to_wait("a") > 0


@given(gaps=st.lists(st.floats(0, 30), min_size=50, max_size=200))
def test_no_minute_and_a_half_sees_more_than_twice_the_rate(gaps: list[float]) -> None:
    clock = Clock()
    limit, taken = RateLimit(10, clock), []
    for gap in gaps:
        clock.now += gap
        if limit.seconds_to_wait("a") == 0:
            taken.append(clock.now)

    assert all(after - before > 60 for before, after in zip(taken, taken[21:], strict=False))


def test_the_limit_remembers_a_bounded_number_of_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_limits, "MOST_CLIENTS", 100)
    limit = RateLimit(1)

    for number in range(1000):
        limit.seconds_to_wait(str(number))

    assert len(limit) == 100
    assert limit.seconds_to_wait("999") > 0


def test_whoever_has_a_network_of_ipv6_is_one_client() -> None:
    assert client_of("2001:db8:1:2::1") == client_of("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert client_of("2001:db8:1:3::1") != client_of("2001:db8:1:2::1")
    assert (client_of("81.2.69.160"), client_of(None)) == ("81.2.69.160", "")
