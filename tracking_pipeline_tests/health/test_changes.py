"""A site whose ledger changes at a known moment: the check says what, since when and where from."""

from __future__ import annotations

import psycopg
import pytest

from tracking_pipeline.health.readings.arrivals import account
from tracking_pipeline.health.readings.changes import read_changes
from tracking_pipeline.health.readings.rollup import roll_up
from tracking_pipeline.identity.hashing import sha256_hex
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.setting_changes import note_settings, read_setting_changes
from tracking_pipeline.wiring.health import setting_digests
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


def test_consent_that_falls_is_told_with_the_page_and_the_setting_that_changed_then(
    site: Site,
) -> None:
    config, connection = policy(meta_dataset_id="1", meta_access_token="t"), site.connection
    broke = site.one("select date_trunc('hour', now()) - interval '5 hours'")
    connection.execute(
        """
        insert into wm_event_log (event_id, event_name, event_type, page_path, metadata, created_at)
        select gen_random_uuid(), 'Lead', 'conversion', path, jsonb_build_object('consent',
                case when path = '/quote' and at >= %(broke)s
                    then jsonb_build_object('ad_storage', 'denied')
                    else '{"ad_storage": "granted", "ad_user_data": "granted"}' end),
            at
        from (values ('/quote', '5 minutes'), ('/contact', '10 minutes')) as p (path, every),
            generate_series(%(broke)s - interval '8 days', now(), every::interval) as at
        """,
        {"broke": broke},
    )
    note_settings(connection, {"META_API_VERSION": "aa", "EMQ_MODEL": "aa"})
    note_settings(connection, {"META_API_VERSION": "bb", "EMQ_MODEL": "aa"})
    connection.execute("update tracking_setting_changes set changed_at = %s", (broke,))
    roll_up(connection, config.counting)
    account(connection, config.accounting)

    (change,) = read_changes(connection, config).consent

    assert change.words.startswith("consent granted fell from 100 % to 33 % at ")
    assert change.words.endswith("on Lead, 100 % of it from the page path /quote")
    assert change.causes[-1] == f"META_API_VERSION was changed at {broke:%Y-%m-%d %H:%M} UTC"


def test_a_setting_is_noted_when_its_value_changes_and_nothing_tells_the_value(
    site: Site,
) -> None:
    before = setting_digests(Settings(meta_access_token="the-old-token"))
    after = setting_digests(Settings(meta_access_token="the-new-one"))
    for digests in (before, before, after, after):
        note_settings(site.connection, digests)
    since, until = site.ago(hours=1), site.ago(hours=-1)
    changes = read_setting_changes(site.connection, since, until)
    assert [each.name for each in changes] == ["META_ACCESS_TOKEN"]
    assert {len(each) for each in after.values()} == {2}


def test_orders_that_a_release_gives_two_ids_are_told_with_the_release_and_since_when(
    site: Site,
) -> None:
    config, connection = policy(meta_dataset_id="1", meta_access_token="t"), site.connection
    broke = site.one("select date_trunc('hour', now()) - interval '5 hours'")
    connection.execute(
        """
        insert into wm_event_log (event_id, event_name, event_type, metadata, created_at)
        select gen_random_uuid(), 'Purchase', 'conversion', jsonb_build_object(
                'order_id', at::text, 'release', case when at < %(broke)s then '1' else '2' end),
            at + copy * interval '1 second'
        from generate_series(%(broke)s - interval '8 days', now(), interval '12 minutes') as at,
            generate_series(0, 1) as copy
        where copy = 0 or at >= %(broke)s
        """,
        {"broke": broke},
    )
    roll_up(connection, config.counting)
    account(connection, config.accounting)

    measured = read_changes(connection, config).repeated_orders

    assert measured.value == pytest.approx(100 * 25 / 120, abs=1)
    (cause,) = measured.causes
    assert cause.startswith("Purchase: 25 of 120 orders of a day under several event ids, since ")
    assert cause.endswith(f"{broke:%Y-%m-%d %H:%M} UTC, 100 % of it from the release 2")
