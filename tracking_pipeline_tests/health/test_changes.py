"""A site whose ledger changes at a known moment: the check says what, since when and where from."""

from __future__ import annotations

import psycopg
import pytest

from tracking_pipeline.identity.hashing import sha256_hex
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import Site, policy

PHONE = sha256_hex("13055550123")
HASH = sha256_hex("emily@example.com")


@pytest.fixture
def site(connection: psycopg.Connection) -> Site:
    return Site(connection)


def add_history(site: Site) -> None:
    """Three weeks of two forms, 12 and 4 leads an hour, and of 12 purchases. At the full hour,
    five hours ago, the form of /quote lost its phone, and purchases stopped."""
    for name, path, every in (
        ("Lead", "/quote", "5 minutes"),
        ("Lead", "/contact", "15 minutes"),
        ("Purchase", "/shop", "5 minutes"),
    ):
        site.connection.execute(
            """
            insert into wm_event_log
                (event_id, event_name, event_type, page_path, user_data, created_at)
            select gen_random_uuid(), %(name)s, 'conversion', %(path)s || '?email=a@example.com',
                case when %(path)s = '/quote' and at >= broke
                    then jsonb_build_object('em', %(em)s::text)
                    else jsonb_build_object('em', %(em)s::text, 'ph', %(ph)s::text) end,
                at
            from (select date_trunc('hour', now()) - interval '5 hours' as broke) as b,
                generate_series(broke - interval '21 days', now(), %(every)s::interval) as at
            where %(name)s <> 'Purchase' or at < broke
            """,
            {"name": name, "path": path, "every": every, "em": HASH, "ph": PHONE},
        )


def test_the_alert_says_what_fell_since_when_and_from_where(site: Site, database_url: str) -> None:
    add_history(site)
    broke = site.one("select to_char(date_trunc('hour', now()) - interval '5 hours', 'HH24:MI')")
    check_tracking_health(database_url, policy())
    messages = {row["alert_type"]: row["message"] for row in site.alerts(open_only=True)}
    assert "event_surge" not in messages
    silent = messages["event_silence"]
    assert "Purchase: 0 events since" in silent
    assert f"{broke} UTC, where 60 usually come" in silent
    fallen = messages["match_key_fall"]
    assert "phone fell from 100 % to 25 % at" in fallen
    assert f"{broke} UTC on Lead, 100 % of it from the page path /quote." in fallen
    assert "example.com" not in "".join(messages.values())


def test_one_episode_is_one_alert(site: Site, database_url: str) -> None:
    add_history(site)
    check_tracking_health(database_url, policy())
    again = check_tracking_health(database_url, policy())
    assert again.recorded.alerts_created == ()
    assert len([row for row in site.alerts() if row["alert_type"] == "event_silence"]) == 1
