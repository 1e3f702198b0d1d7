"""The roll-up holds what the ledger holds: nothing lost, nothing twice, whatever happens when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from tracking_pipeline.health.config import CountingRule
from tracking_pipeline.health.emq.keys import keys_of, mask_of, without_keys_from_ip
from tracking_pipeline.health.readings import rollup
from tracking_pipeline.health.readings.rollup import (
    RECOUNT_DAYS,
    begin_recount,
    count_events,
    full_hour,
    recount_recent,
    roll_up,
)
from tracking_pipeline.store.database import one_moment
from tracking_pipeline.store.match_key_rollup import ConversionRule, Counts, stream_conversions
from tracking_pipeline.store.migrate import migrate
from tracking_pipeline.store.rollup_progress import Progress, read_progress, save_progress
from tracking_pipeline_tests.delivery.failed_event_queue import wait_until
from tracking_pipeline_tests.health.site import ENOUGH, EVERYTHING, Site

RULE = CountingRule(ConversionRule(("Lead", "Purchase")))
EM = mask_of(["em"])


@pytest.fixture
def site(connection: psycopg.Connection) -> Site:
    return Site(connection)


@pytest.fixture
def to_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of this very test can be final: nothing here is slow enough to need holding back."""
    monkeypatch.setattr(rollup, "HOLD_BACK", timedelta(0))


def counted(
    connection: psycopg.Connection[Any], rule: CountingRule = RULE, days: float = 7
) -> Counts:
    with one_moment(connection) as now:
        return count_events(connection, full_hour(now - timedelta(days=days)), now, rule)


def total(counts: Counts) -> int:
    return sum(sum(of_name.values()) for of_name in counts.values())


def test_events_are_counted_by_hour_name_and_keys(site: Site) -> None:
    hour = full_hour(site.ago(hours=5))
    site.add_events(3, at=hour)
    site.add_events(2, at=hour + timedelta(minutes=59, seconds=59.999999), event_name="Purchase")
    site.add_events(1, at=hour + timedelta(minutes=60), keys=EVERYTHING)
    site.add_events(4, at=hour, event_name="page_view")

    rolled = roll_up(site.connection, RULE)

    assert rolled.events == 6
    assert rolled.caught_up
    rows = site.read("select * from tracking_match_key_hourly order by hour, event_name")
    everything = mask_of(EVERYTHING)
    assert [(row["hour"], row["event_name"], row["keys"], row["events"]) for row in rows] == [
        (hour, "Lead", EM, 3),
        (hour, "Purchase", EM, 2),
        (hour + timedelta(hours=1), "Lead", everything, 1),
    ]


def test_an_event_of_type_conversion_counts_whatever_its_name(site: Site) -> None:
    site.add_events(1, event_name="quote_requested", event_type="conversion")
    site.add_events(1, event_name=None, event_type="conversion")
    by_name = CountingRule(ConversionRule(("Lead",), by_type=False))

    assert counted(site.connection) == {"quote_requested": {EM: 1}, "": {EM: 1}}
    assert counted(site.connection, by_name) == {}


def test_what_is_too_new_to_be_final_is_counted_all_the_same(site: Site) -> None:
    site.add_events(2, at=site.ago(hours=1))
    site.add_events(3)
    roll_up(site.connection, RULE)

    assert site.rolled_up() == 2
    assert counted(site.connection) == {"Lead": {EM: 5}}


@pytest.mark.usefixtures("to_the_moment")
def test_an_event_that_is_committed_late_is_not_lost(site: Site, database_url: str) -> None:
    with psycopg.connect(database_url) as late:
        site.add_events(1, on=late)
        site.add_events(1)
        roll_up(site.connection, RULE)
        assert total(counted(site.connection)) == 1
        late.commit()

    assert total(counted(site.connection)) == 2
    roll_up(site.connection, RULE)
    assert site.rolled_up() == 2
    assert total(counted(site.connection)) == 2


@pytest.mark.usefixtures("to_the_moment")
def test_a_transaction_that_stays_open_blinds_nobody(site: Site, database_url: str) -> None:
    with psycopg.connect(database_url) as idle:
        idle.execute("select 1")
        site.add_events(5)
        roll_up(site.connection, RULE)

        assert site.rolled_up() == 0
        assert total(counted(site.connection)) == 5
        idle.rollback()


@contextmanager
def worker(server_connection: psycopg.Connection, url: str) -> Iterator[psycopg.Connection]:
    """A connection of TRACKING_WORKER_ROLE, which may not see what other roles are doing."""
    role = f"worker_{uuid4().hex}"
    name = sql.Identifier(role)
    server_connection.execute(
        sql.SQL("create role {} login password 'only-for-tests'").format(name)
    )
    try:
        migrate(url, worker_role=role)
        with psycopg.connect(
            url, user=role, password="only-for-tests", autocommit=True
        ) as connection:
            yield connection
    finally:
        server_connection.execute(sql.SQL("drop owned by {}; drop role {}").format(name, name))


@pytest.mark.usefixtures("to_the_moment")
def test_a_role_that_may_not_see_others_loses_no_late_event_either(
    site: Site, database_url: str
) -> None:
    site.add_events(2, at=site.ago(hours=3))
    with worker(site.connection, database_url) as connection:
        with psycopg.connect(database_url) as first, psycopg.connect(database_url) as second:
            site.add_events(1, on=first)
            site.add_events(1)
            roll_up(connection, RULE)
            assert read_progress(connection).seen_transactions
            site.add_events(1, on=second)
            site.add_events(1)
            roll_up(connection, RULE)
            assert total(counted(connection)) == 4
            first.commit()
            roll_up(connection, RULE)
            second.commit()
        roll_up(connection, RULE)

        assert site.rolled_up() == 6
        assert total(counted(connection)) == 6
        _let_a_day_pass(site)
        assert recount_recent(connection, RULE).finished
        assert total(counted(connection)) == 6


def test_a_roll_up_goes_on_where_it_was(site: Site) -> None:
    for hours in range(1, 6):
        site.add_events(2, at=site.ago(hours=hours))

    first = roll_up(site.connection, RULE, time_budget_seconds=0)
    assert (first.events, first.chunks, first.caught_up) == (2, 1, False)
    second = roll_up(site.connection, RULE)

    assert (second.events, second.caught_up) == (8, True)
    assert site.rolled_up() == 10
    assert roll_up(site.connection, RULE).events == 0


def test_a_roll_up_that_is_killed_in_a_chunk_counts_nothing_twice(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hours in range(1, 5):
        site.add_events(2, at=site.ago(hours=hours))
    save, saved = save_progress, Counter[str]()

    def die_at_the_third(connection: psycopg.Connection[Any], progress: Progress) -> None:
        saved["times"] += 1
        if saved["times"] == 3:
            raise KeyboardInterrupt
        save(connection, progress)

    monkeypatch.setattr(rollup, "save_progress", die_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        roll_up(site.connection, RULE)
    assert site.rolled_up() == 2

    roll_up(site.connection, RULE)
    assert site.rolled_up() == 8


@pytest.mark.parametrize("most_rows", [1, 3, 1000])
def test_an_hour_of_many_events_is_done_in_pieces_and_a_moment_is_not_parted(
    site: Site, most_rows: int
) -> None:
    hour = full_hour(site.ago(hours=2))
    for second in range(5):
        site.add_events(4, at=hour + timedelta(seconds=second))
    rolled = roll_up(site.connection, RULE, most_rows=most_rows)

    assert rolled.events == 20
    assert rolled.chunks == {1: 5, 3: 5, 1000: 1}[most_rows]
    assert site.one("select events from tracking_match_key_hourly") == 20


def test_the_ledger_is_read_through_a_cursor_of_the_server(site: Site) -> None:
    """So that a page of it is all that is held, however long a chunk is."""
    site.add_events(3, at=site.ago(hours=2))
    with site.connection.transaction():
        since, until = site.ago(hours=3), site.now()
        events = stream_conversions(site.connection, since, until, RULE.conversions)
        next(events)
        assert site.one("select name from pg_cursors where not is_holdable") == "conversions"
        assert len(list(events)) == 2


def test_two_roll_ups_at_once_count_each_event_once(site: Site, database_url: str) -> None:
    for hours in range(1, 25):
        site.add_events(3, at=site.ago(hours=hours))

    def run(_: int) -> int:
        with psycopg.connect(database_url, autocommit=True) as own:
            return roll_up(own, RULE).events

    with ThreadPoolExecutor(3) as pool:
        events = list(pool.map(run, range(3)))

    assert sum(events) == 72
    assert site.rolled_up() == 72


def test_a_roll_up_waits_for_the_one_that_is_at_work(site: Site, database_url: str) -> None:
    site.add_events(3, at=site.ago(hours=2))
    roll_up(site.connection, RULE)
    waiting = "select count(*) from pg_locks where not granted"
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(database_url) as other,
        psycopg.connect(database_url, autocommit=True) as own,
    ):
        other.execute("select from tracking_rollup_progress for update")
        running = pool.submit(roll_up, own, RULE)
        wait_until(lambda: site.one(waiting))
        other.rollback()
        assert running.result().caught_up


def test_another_rule_counts_everything_anew(site: Site) -> None:
    site.add_events(2, at=site.ago(hours=30))
    site.add_events(3, at=site.ago(hours=2), event_name="booked")
    roll_up(site.connection, RULE)
    assert site.rolled_up() == 2

    roll_up(site.connection, CountingRule(ConversionRule(("booked",))))

    assert site.read("select event_name, events from tracking_match_key_hourly") == [
        {"event_name": "booked", "events": 3}
    ]


def test_times_that_no_ledger_can_have_are_passed_over(site: Site) -> None:
    for moment in ("-infinity", "infinity", "0044-03-15 BC", "1970-01-01", "9999-12-31"):
        site.connection.execute(
            "insert into wm_event_log (event_id, event_name, created_at)"
            " values (gen_random_uuid(), 'Lead', %s)",
            (moment,),
        )
    # An adopted table may have rows without a time.
    site.connection.execute("alter table wm_event_log alter created_at drop not null")
    site.connection.execute(
        "insert into wm_event_log (event_id, event_name, created_at)"
        " values (gen_random_uuid(), 'Lead', null)"
    )
    site.add_events(1, at=site.ago(hours=2))

    assert roll_up(site.connection, RULE).events == 1
    assert total(counted(site.connection)) == 1


def test_hours_are_those_of_utc_whatever_the_session_says(site: Site) -> None:
    hour = full_hour(site.ago(hours=3))
    site.connection.execute("set time zone 'Asia/Kolkata'")
    site.add_events(1, at=hour + timedelta(minutes=10))
    site.add_events(1, at=hour + timedelta(minutes=50))
    roll_up(site.connection, RULE)

    assert site.read("select hour, events from tracking_match_key_hourly") == [
        {"hour": hour, "events": 2}
    ]


# What a ledger may hold in the place of user data.
@pytest.mark.parametrize(
    "user_data", [None, [], "text", 7, True, {"em": {"em": ["x"]}}, {"a": "é" * 2000}, {"": None}]
)
def test_user_data_of_any_kind_is_an_event_without_keys(site: Site, user_data: Any) -> None:
    site.add_events(1, at=site.ago(hours=2), user_data=Jsonb(user_data))
    roll_up(site.connection, RULE)
    assert counted(site.connection) == {"Lead": {0: 1}}


def test_json_too_deep_to_be_read_is_an_event_without_keys(site: Site) -> None:
    deep = "[" * 3000 + "]" * 3000
    site.connection.execute(
        "insert into wm_event_log (event_id, event_name, user_data)"
        " values (gen_random_uuid(), 'Lead', %s)",
        (deep,),
    )
    assert counted(site.connection) == {"Lead": {0: 1}}


def test_the_leads_address_counts_and_is_known_to_be_looked_up(site: Site) -> None:
    lead_id = site.add_lead(
        city="Austin",
        state="Texas",
        zip="73301",
        country="US",
        geo_fields=Jsonb(
            {
                "city": {"source": "mmdb dbip-city-lite 2026-11", "value": "Austin"},
                "state": {"source": "session", "value": "Texas"},
                "zip": {"source": "ip_api 2026-11-24", "value": "78701"},
                "country": {"source": "user"},
            }
        ),
    )
    site.add_events(1, at=site.ago(hours=2), lead_id=lead_id)
    roll_up(site.connection, RULE)

    ((mask, _),) = counted(site.connection)["Lead"].items()
    assert set(keys_of(mask)) == {"em", "ct", "st", "zp", "country"}
    # The state came from the session; the zip is another than the one that we wrote.
    assert set(keys_of(mask)) - set(keys_of(without_keys_from_ip(mask))) == {"ct"}


@pytest.mark.parametrize(
    ("setting", "keys"),
    [
        ("none", {"em"}),
        ("country", {"em", "country"}),
        ("country_state", {"em", "country", "st"}),
        ("all", {"em", "country", "st", "ct", "zp"}),
    ],
)
def test_only_the_address_keys_that_delivery_sends_count(
    site: Site, setting: Any, keys: set[str]
) -> None:
    lead_id = site.add_lead(city="Austin", state="Texas", zip="73301", country="US")
    site.add_events(1, lead_id=lead_id)
    ((mask, _),) = counted(site.connection, replace(RULE, geo_match_keys=setting))["Lead"].items()

    assert set(keys_of(mask)) == keys


def test_the_place_of_a_host_counts_only_where_delivery_sends_it(site: Site) -> None:
    noted = {"city": {"source": "ip_api 2026-11-24", "value": "Austin", "hosting": True}}
    lead_id = site.add_lead(city="Austin", state="Texas", geo_fields=Jsonb(noted))
    site.add_events(1, lead_id=lead_id)
    for serves, keys in ((False, {"em", "st"}), (True, {"em", "st", "ct"})):
        rule = replace(RULE, hosting_match_keys=serves)
        ((mask, _),) = counted(site.connection, rule)["Lead"].items()
        assert set(keys_of(mask)) == keys


def test_a_recount_finds_what_came_too_late_and_leads_that_were_enriched(site: Site) -> None:
    lead_id = site.add_lead()
    site.add_events(1, at=site.ago(days=2), lead_id=lead_id)
    site.add_events(1, at=site.ago(days=RECOUNT_DAYS + 2))
    roll_up(site.connection, RULE)
    site.connection.execute("update leads set city = 'Austin' where id = %s", (lead_id,))
    site.add_events(4, at=site.ago(days=3))
    roll_up(site.connection, RULE)
    assert site.rolled_up() == 2

    assert recount_recent(site.connection, RULE).hours == 0  # not the same day
    _let_a_day_pass(site)
    recount = recount_recent(site.connection, RULE)

    assert recount.finished
    assert site.rolled_up() == 6
    with_city = mask_of(["em", "ct"])
    assert counted(site.connection) == {"Lead": {EM: 4, with_city: 1}}
    assert recount_recent(site.connection, RULE).hours == 0  # once a day


def test_a_recount_is_done_in_portions_and_every_moment_of_it_is_readable(site: Site) -> None:
    for days in range(1, RECOUNT_DAYS):
        site.add_events(2, at=site.ago(days=days))
    roll_up(site.connection, RULE)
    before = counted(site.connection, days=14)
    _let_a_day_pass(site)

    portions = 0
    while not recount_recent(site.connection, RULE, time_budget_seconds=0).finished:
        portions += 1
        if portions % 40 == 0:
            assert counted(site.connection, days=14) == before
    assert portions > 24 * (RECOUNT_DAYS - 1)
    assert counted(site.connection, days=14) == before


def test_a_recount_leaves_the_hour_that_is_not_over(site: Site) -> None:
    site.add_events(3, at=full_hour(site.now()))
    site.add_events(3, at=site.ago(hours=3))
    roll_up(site.connection, RULE)
    _let_a_day_pass(site)
    recount_recent(site.connection, RULE)
    roll_up(site.connection, RULE)

    assert total(counted(site.connection)) == 6


def _let_a_day_pass(site: Site) -> None:
    site.connection.execute(
        "update tracking_rollup_progress set recount_begun_at = recount_begun_at - interval '1 day'"
    )


def test_a_recount_begins_once_on_each_day() -> None:
    evening = datetime(2026, 11, 24, 23, 50, tzinfo=timezone.utc)
    progress = Progress(rolled_until=evening, recount_begun_at=evening)

    assert begin_recount(progress, evening + timedelta(minutes=9)) == progress
    begun = begin_recount(progress, evening + timedelta(minutes=11))
    assert begun.recount_from == datetime(2026, 11, 17, 0, 0, tzinfo=timezone.utc)
    assert begin_recount(begun, evening + timedelta(days=3)) == begun  # that one first


def test_the_roll_up_is_the_ledger_however_it_was_cut(site: Site) -> None:
    """Counted at once from the ledger, or hour by hour with what is rolled up: the same."""
    for minutes in range(0, 600, 7):
        keys = EVERYTHING if minutes % 3 else ENOUGH
        name = "Lead" if minutes % 2 else "Purchase"
        site.add_events(1, at=site.ago(minutes=minutes), keys=keys, event_name=name)
    direct = counted(site.connection)
    budget = 0.0
    for _ in range(5):
        roll_up(site.connection, RULE, time_budget_seconds=budget, most_rows=9)
        assert counted(site.connection) == direct
    roll_up(site.connection, RULE)
    assert counted(site.connection) == direct
    assert total(direct) == 86
