"""A newly configured platform gets the ledger's conversions that it never saw, each once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tracking_pipeline.delivery.backfill import (
    BackfillRequest,
    BackfillTotals,
    NotConfiguredError,
    backfill_destination,
)
from tracking_pipeline.delivery.destinations.ledger import ledger_event_id
from tracking_pipeline.delivery.destinations.linkedin.capi import LinkedInCapi, linkedin_request
from tracking_pipeline.delivery.destinations.microsoft.uet import MicrosoftUet, microsoft_request
from tracking_pipeline.delivery.engine.destination import Destination, NotConfigured
from tracking_pipeline.delivery.engine.retry import RetryRequest, retry_failed_events
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.health.readings.queue import read_queue
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.store.match_key_rollup import ConversionRule
from tracking_pipeline_tests.delivery.failed_event_queue import Queue

NOBODY = (
    "nothing to match on: needs em, or ph, or external_id, or client_ip_address, or "
    "client_user_agent, or msclkid, or uetvid"
)
RULE = ConversionRule(("Lead",))
EMAIL = sha256(b"jane@example.com").hexdigest()
REQUEST = BackfillRequest("microsoft_uet", RULE, dry_run=False, age_limit=timedelta(days=7))
DAY = timedelta(days=1)


class Ledger:
    """Rows of ``wm_event_log`` as a test wants them."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.now: datetime = connection.execute("select now()").fetchall()[0][0]

    def add(self, count: int = 1, *, ago: timedelta = timedelta(hours=2), **columns: Any) -> UUID:
        """Adds rows that were written so long ago; returns the last one's event id."""
        for _ in range(count):
            values = {
                "event_id": uuid4(),
                "event_name": "Lead",
                "event_type": "conversion",
                "event_time": self.now - ago,
                "created_at": self.now - ago,
                "user_data": {"em": EMAIL},
                **columns,
            }
            given = {k: Jsonb(v) if isinstance(v, dict) else v for k, v in values.items()}
            names = ", ".join(given)
            marks = ", ".join(["%s"] * len(given))
            self.connection.execute(
                f"insert into wm_event_log ({names}) values ({marks})".encode(),
                list(given.values()),
            )
        event_id: UUID = values["event_id"]
        return event_id


@pytest.fixture
def ledger(connection: psycopg.Connection[Any]) -> Ledger:
    return Ledger(connection)


COLUMNS: dict[str, dict[str, Any]] = {
    "failed_events": {
        "event_name": "Lead",
        "event_payload": "{}",
        "error_message": "timeout",
        "status": "resolved",
    },
    "accepted_events": {"event_name": "Lead", "event_payload": "{}"},
    "delivery_attempts": {
        "failed_event_id": uuid4(),
        "attempt": 1,
        "outcome": "delivered",
        "lease_token": 1,
    },
}


def destinations(url: str = "https://sandbox.invalid") -> Any:
    def make(client: DeliveryClient, pool: AsyncPool) -> Sequence[Destination | NotConfigured]:
        del pool
        rules = ReadingRules()
        microsoft = microsoft_request(f"{url}/microsoft", "1", "token")
        linkedin = linkedin_request(f"{url}/linkedin", "token", "202608")
        return [
            MicrosoftUet(microsoft, client, rules, secrets=()),
            LinkedInCapi(
                linkedin, client, rules, conversion_rules={"Purchase": "104012"}, secrets=()
            ),
            NotConfigured("reddit_capi", "set REDDIT_PIXEL_ID"),
        ]

    return make


def run(database_url: str, request: BackfillRequest = REQUEST) -> BackfillTotals:
    return asyncio.run(backfill_destination(database_url, destinations(), request))


def test_unseen_conversions_are_handed_over_once_and_delivered_as_themselves(
    database_url: str, ledger: Ledger, queue: Queue
) -> None:
    ledger.add(2)
    pixel = ledger.add(
        event_id=ledger_event_id("pixel-1"), metadata={"event_id": "pixel-1", "value": 5}
    )
    ledger.add(metadata={"event_id": "of something else"})
    ledger.add(event_name="Search", event_type="engagement")

    first, second = run(database_url), run(database_url)

    assert (first.matched, first.handed_over, first.withheld) == (4, 4, {})
    assert (second.matched, second.handed_over) == (0, 0)
    rows = queue.read("select * from tracking_failed_events")
    assert {row["status"] for row in rows} == {"pending"}
    assert {row["retry_count"] for row in rows} == {0}
    queue.connection.execute("update tracking_failed_events set next_retry_at = null")
    with Sandbox() as sandbox:
        make = destinations(sandbox.url)
        asyncio.run(retry_failed_events(database_url, make, RetryRequest()))
        taken = sandbox.memory.accepted_events
        assert sandbox.memory.violations == []
    assert {row["status"] for row in queue.read("select * from tracking_failed_events")} == {
        "resolved"
    }
    at = int((ledger.now - timedelta(hours=2)).timestamp())
    assert {event["eventTime"] for event in taken} == {at}
    others = {str(row["event_id"]) for row in rows if row["event_id"] != pixel}
    assert {event["eventId"] for event in taken} == {"pixel-1", *others}


@pytest.mark.parametrize("table", ["failed_events", "accepted_events", "delivery_attempts"])
def test_what_the_destination_has_been_handed_is_not_handed_over_again(
    database_url: str, ledger: Ledger, queue: Queue, table: str
) -> None:
    seen, of_another = ledger.add(), ledger.add()
    for event_id, destination in ((seen, "microsoft_uet"), (of_another, "meta_capi")):
        columns = {"event_id": event_id, "destination": destination, **COLUMNS[table]}
        queue.connection.execute(
            f"insert into tracking_{table} ({', '.join(columns)})"
            f" values ({', '.join(['%s'] * len(columns))})".encode(),
            list(columns.values()),
        )

    totals = run(database_url)

    assert totals.matched == totals.handed_over == 1
    handed = queue.read(
        "select event_id from tracking_failed_events where error_code = 'postponed'"
    )
    assert [row["event_id"] for row in handed] == [of_another]


def test_several_backfills_at_once_hand_over_each_event_once(
    database_url: str, ledger: Ledger, queue: Queue
) -> None:
    ledger.add(40)

    async def at_once() -> list[BackfillTotals]:
        runs = [backfill_destination(database_url, destinations(), REQUEST) for _ in range(3)]
        return list(await asyncio.gather(*runs))

    totals = asyncio.run(at_once())

    assert sum(each.handed_over for each in totals) == 40
    assert queue.one("select count(distinct event_id) from tracking_failed_events") == 40
    assert queue.one("select count(*) from tracking_failed_events") == 40


def test_what_is_kept_back_is_counted_by_reason_and_makes_no_row(
    database_url: str, ledger: Ledger, queue: Queue
) -> None:
    ledger.add()
    ledger.add(2, metadata={"ad_storage": "denied"})
    ledger.add(3, event_time=ledger.now - 8 * DAY)
    ledger.add(user_data={})

    dry = run(database_url, replace(REQUEST, dry_run=True))
    rows_of_a_dry_run = queue.one("select count(*) from tracking_failed_events")
    real = run(database_url)

    for totals in (dry, real):
        assert totals.matched == 7
        assert totals.withheld == {
            "consent denied": 2,
            "expired": 3,
            NOBODY: 1,
        }
    assert (rows_of_a_dry_run, dry.handed_over, dry.taken) == (0, 0, 1)
    assert queue.one("select count(*) from tracking_failed_events") == real.handed_over == 1


def test_a_lead_that_refused_since_is_kept_back(
    database_url: str, ledger: Ledger, queue: Queue
) -> None:
    lead_id = uuid4()
    queue.connection.execute(
        "insert into leads (id, email) values (%s, 'jane@example.com')", (lead_id,)
    )
    ledger.add(lead_id=lead_id)
    ledger.add(
        lead_id=lead_id,
        event_name="consent_update",
        event_type="consent",
        ago=timedelta(hours=1),
        metadata={"ad_storage": "denied", "ad_user_data": "denied"},
    )

    assert run(database_url).withheld == {"consent denied": 1}


def test_an_event_that_is_none_of_the_destinations_is_kept_back(
    database_url: str, ledger: Ledger
) -> None:
    ledger.add()
    ledger.add(event_name="Purchase")
    request = replace(REQUEST, destination="linkedin_capi")

    totals = run(database_url, request)

    assert totals.handed_over == 1
    assert totals.withheld == {"no conversion rule for this event": 1}


def test_the_window_is_that_of_the_ledger_and_reaches_as_far_as_the_age_limit(
    database_url: str, ledger: Ledger
) -> None:
    for days in (1, 3, 6, 9):
        ledger.add(ago=days * DAY)
    dry = replace(REQUEST, dry_run=True)

    assert run(database_url, dry).matched == 3
    window = replace(dry, since=ledger.now - 4 * DAY, until=ledger.now - 2 * DAY)
    assert run(database_url, window).matched == 1
    assert run(database_url, replace(dry, until=datetime.max.replace(tzinfo=timezone.utc)))


def test_what_is_older_than_the_attempts_on_record_is_left_alone(
    database_url: str, ledger: Ledger
) -> None:
    for days in (1, 5, 9):
        ledger.add(ago=days * DAY)
    asked = replace(REQUEST, since=ledger.now - 100 * DAY, age_limit=None, attempts_kept=6 * DAY)

    found = run(database_url, asked)

    assert found.matched == 2
    assert timedelta() <= ledger.now - found.since + timedelta(minutes=5) <= 7 * DAY


def test_events_become_due_evenly_and_behind_those_of_an_earlier_backfill(
    database_url: str, ledger: Ledger, queue: Queue
) -> None:
    ledger.add(3)
    request = replace(REQUEST, events_per_minute=1.0)
    run(database_url, request)
    ledger.add(2)

    run(database_url, request)

    seconds = queue.read(
        "select extract(epoch from next_retry_at - lag(next_retry_at) over (order by"
        " next_retry_at))::float8 as apart from tracking_failed_events order by next_retry_at"
    )[1:]
    assert [round(row["apart"]) for row in seconds] == [60] * 4


def test_an_event_that_would_be_too_old_by_its_turn_takes_nobodys_turn(
    database_url: str, ledger: Ledger, queue: Queue
) -> None:
    nearly = 7 * DAY - timedelta(hours=1, minutes=30)
    ledger.add(60, ago=nearly)
    young = ledger.add(ago=DAY)

    totals = run(database_url, replace(REQUEST, since=ledger.now - 8 * DAY, events_per_minute=1.0))

    assert totals.withheld["expired"] == 60 - (totals.handed_over - 1)
    assert 25 <= totals.handed_over <= 31
    assert queue.one("select count(*) from tracking_failed_events where event_id = %s", young) == 1
    assert totals.minutes <= 31


def test_what_waits_for_its_turn_is_no_failed_event_and_raises_no_alarm(
    database_url: str, ledger: Ledger, queue: Queue
) -> None:
    ledger.add(30)
    run(database_url, replace(REQUEST, events_per_minute=1.0))

    # The first one's turn has come.
    assert read_queue(queue.connection).waiting == 1
    queue.connection.execute(
        "update tracking_failed_events set status = 'retrying', error_code = 'timeout'"
    )
    assert read_queue(queue.connection).waiting == 30


def test_who_is_not_configured_is_handed_nothing(database_url: str, ledger: Ledger) -> None:
    ledger.add()

    with pytest.raises(NotConfiguredError, match="set REDDIT_PIXEL_ID"):
        run(database_url, replace(REQUEST, destination="reddit_capi"))


def test_what_an_adopted_ledger_lets_through_is_passed_over(
    database_url: str, ledger: Ledger
) -> None:
    ledger.add(lead_id=uuid4(), event_type=None, session_id=uuid4())
    ledger.add(event_time="infinity")
    ledger.add(event_time=None)
    ledger.add(event_name=None)

    totals = run(database_url)

    assert totals.matched == totals.handed_over + sum(totals.withheld.values()) >= 3
    assert totals.handed_over >= 2
