"""Dead letters on their way back: which ones, when, and which are better left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.delivery.destinations.ledger import Ledger
from tracking_pipeline.delivery.destinations.meta.account import MetaAccount
from tracking_pipeline.delivery.destinations.meta.capi import MetaCapi
from tracking_pipeline.delivery.engine.destination import Destination, NotConfigured
from tracking_pipeline.delivery.replay.repair import read_rules
from tracking_pipeline.delivery.replay.service import replay_dead_letters
from tracking_pipeline.delivery.replay.totals import ReplayRequest, ReplayTotals, chosen_rate
from tracking_pipeline.delivery.replay.turns import Pace, PlanningRule
from tracking_pipeline.delivery.worth import EventsWorth, Prices
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.store.dead_letters import PAGE, DeadLetters, read_offers
from tracking_pipeline_tests.delivery.failed_event_queue import Added, Queue, payload
from tracking_pipeline_tests.delivery.runs import Runs

NOW = datetime.now(timezone.utc)


class Replays:
    """Replays on the test's database, with Meta and the ledger where the sandbox is; Google is not
    configured. ``letters`` are the fields of :class:`DeadLetters`."""

    def __init__(self, database_url: str, sandbox: Sandbox, queue: Queue) -> None:
        self._url = database_url
        self._account = MetaAccount("1234567890", "token-of-a-test", url=sandbox.meta_url)
        self._queue = queue

    def replay(self, rules: str = "", **options: Any) -> ReplayTotals:
        planning = options.pop("planning", None)
        names = ("dry_run", "events_per_minute", "canaries")
        own = {name: options.pop(name) for name in names if name in options}
        request = ReplayRequest(
            **{"dry_run": False, "events_per_minute": 60.0, **own},
            letters=DeadLetters(**options),
            rules=read_rules(rules),
        )
        return asyncio.run(
            replay_dead_letters(
                self._url, self._make, request, planning=planning, run_id="a-replay"
            )
        )

    def _make(
        self, client: DeliveryClient, pool: AsyncPool
    ) -> Sequence[Destination | NotConfigured]:
        meta = MetaCapi(self._account, client)
        return [meta, Ledger(pool), NotConfigured("google_ec", "GOOGLE_ADS_ACCOUNT_ID")]

    def bury(self, count: int = 1, **columns: Any) -> list[Added]:
        """Dead letters that have spent their retries."""
        values = {
            "status": "dead_letter",
            "dead_letter_reason": "max_retries",
            "retry_count": 5,
            **columns,
        }
        return self._queue.add(count, **values)


@pytest.fixture
def replays(database_url: str, sandbox: Sandbox, queue: Queue) -> Replays:
    return Replays(database_url, sandbox, queue)


def statuses(queue: Queue, rows: Sequence[Added]) -> list[str]:
    return [queue.row(row)["status"] for row in rows]


def test_a_dead_letter_goes_back_as_if_it_had_never_been_tried_and_keeps_a_trace(
    replays: Replays, queue: Queue
) -> None:
    (row,) = replays.bury(resolved_by="somebody", lease_losses=4, error_code="190")
    totals = replays.replay()
    assert (totals.total("matched"), totals.total("replayed")) == (1, 1)
    found = queue.row(row)
    assert found["status"] == "pending"
    assert (found["retry_count"], found["lease_losses"]) == (0, 0)
    assert (found["dead_letter_reason"], found["resolved_by"]) == (None, None)
    assert found["replays"] == 1
    assert found["replayed_at"] is not None
    assert found["error_code"] == "190"  # what an operator may want to know still


def test_what_went_back_is_delivered_by_the_next_run(
    replays: Replays, queue: Queue, runs: Runs
) -> None:
    rows = replays.bury(3)
    replays.replay(events_per_minute=1e6)
    assert runs.run(all_events=True).total("resolved") == 3
    assert statuses(queue, rows) == ["resolved"] * 3


def test_events_are_spread_over_time_the_oldest_first_each_destination_by_itself(
    replays: Replays, queue: Queue
) -> None:
    new, old, middle = (
        replays.bury(created_at=NOW - timedelta(hours=hours))[0] for hours in (1, 3, 2)
    )
    (other,) = replays.bury(destination="supabase")
    totals = replays.replay(events_per_minute=60.0)
    due = [queue.row(row)["next_retry_at"] for row in (old, middle, new)]
    assert [moment - due[0] for moment in due] == [timedelta(seconds=n) for n in range(3)]
    assert queue.row(other)["next_retry_at"] == due[0]
    assert totals.minutes == pytest.approx(2 / 60)


def test_many_pages_go_back_each_row_once(replays: Replays, queue: Queue) -> None:
    replays.bury(2 * PAGE + 7)
    totals = replays.replay(canaries=0)
    assert totals.total("replayed") == 2 * PAGE + 7
    assert queue.statuses() == {"pending": 2 * PAGE + 7}
    assert queue.one("select count(distinct next_retry_at) from tracking_failed_events") == (
        2 * PAGE + 7
    )


@pytest.mark.parametrize(
    ("letters", "columns"),
    [
        ({"destinations": ("supabase",)}, {"destination": "supabase"}),
        ({"reason": "INVALID"}, {"dead_letter_reason": "refused by Meta: invalid value"}),
        ({"reason": "odd", "exact_reason": True}, {"dead_letter_reason": "odd"}),
        ({"reason": "190", "exact_reason": True},
         {"dead_letter_reason": None, "error_code": "190"}),
        ({"error_code": "190"}, {"error_code": "190"}),
        ({"event_name": "Purchase"}, {"event_name": "Purchase"}),
        ({"since": NOW - timedelta(hours=2)}, {"updated_at": NOW - timedelta(hours=1)}),
        ({"until": NOW - timedelta(hours=6)}, {"updated_at": NOW - timedelta(hours=7)}),
    ],
)  # fmt: skip
def test_a_filter_takes_what_it_names_and_leaves_the_rest(
    replays: Replays, queue: Queue, letters: dict[str, Any], columns: dict[str, Any]
) -> None:
    usual = {"dead_letter_reason": "an odd reason", "updated_at": NOW - timedelta(hours=5)}
    (meant,) = replays.bury(**{**usual, **columns})
    (other,) = replays.bury(**usual)
    assert replays.replay(**letters).total("matched") == 1
    assert statuses(queue, [meant, other]) == ["pending", "dead_letter"]


def test_ids_name_rows_or_events(replays: Replays, queue: Queue) -> None:
    first, second, third = replays.bury(3)
    assert replays.replay(ids=(first.id, second.event_id)).total("replayed") == 2
    assert statuses(queue, [first, second, third]) == ["pending", "pending", "dead_letter"]


def test_a_reason_is_a_text_and_no_pattern(replays: Replays) -> None:
    replays.bury(dead_letter_reason="max_retries")
    assert replays.replay(reason="max%").total("matched") == 0
    assert replays.replay(reason="'; drop table leads; --").total("matched") == 0


def test_what_is_no_dead_letter_or_is_held_by_a_worker_is_not_touched(
    replays: Replays, queue: Queue
) -> None:
    rows = [
        queue.add_one(),
        queue.add_one(status="retrying", next_retry_at=NOW + timedelta(hours=1)),
        queue.add_one(status="resolved"),
        *replays.bury(lease_expires_at=NOW + timedelta(hours=1)),
    ]
    before = [queue.row(row) for row in rows]
    assert replays.replay().total("matched") == 0
    assert [queue.row(row) for row in rows] == before


def test_an_event_that_its_destination_has_from_another_row_stays_where_it_is(
    replays: Replays, queue: Queue
) -> None:
    (there, elsewhere, alone) = replays.bury(3)
    for row, destination in ((there, "meta_capi"), (elsewhere, "supabase")):
        queue.connection.execute(
            "insert into tracking_failed_events (event_id, event_name, event_payload, destination,"
            " error_message, status) values (%s, 'Lead', '{}', %s, 'x', 'resolved')",
            (row.event_id, destination),
        )
    totals = replays.replay()
    assert (totals.total("matched"), totals.total("already_delivered")) == (3, 1)
    assert totals.total("replayed") == 2
    assert statuses(queue, [there, elsewhere, alone]) == ["dead_letter", "pending", "pending"]


def test_a_worker_that_held_the_row_before_cannot_settle_it_any_more(
    replays: Replays, queue: Queue
) -> None:
    (row,) = replays.bury(lease_token=7)
    replays.replay()
    assert queue.row(row)["lease_token"] == 8


def test_two_replays_at_once_share_the_rows(replays: Replays, queue: Queue) -> None:
    replays.bury(3 * PAGE)
    with ThreadPoolExecutor(3) as executor:
        running = [executor.submit(replays.replay, canaries=0) for _ in range(3)]
        totals = [each.result() for each in running]
    assert sum(each.total("replayed") for each in totals) == 3 * PAGE
    assert queue.one("select max(replays) from tracking_failed_events") == 1
    assert queue.statuses() == {"pending": 3 * PAGE}


# Canaries


def test_a_group_whose_canaries_are_refused_again_is_held_back(
    replays: Replays, queue: Queue, sandbox: Sandbox
) -> None:
    reason = "refused by Meta: 2804"
    bad = replays.bury(6, dead_letter_reason=reason, event_payload={"email": "x"}, event_name="")
    good = replays.bury(6)
    totals = replays.replay(canaries=2)
    verdicts = {each.reason: (each.delivered, each.refused) for each in totals.canaries}
    assert verdicts == {reason: (0, 2), "max_retries": (2, 0)}
    assert (totals.total("replayed"), totals.total("held_back")) == (8, 4)
    assert queue.statuses() == {"dead_letter": 6, "pending": 4, "resolved": 2}
    assert statuses(queue, bad) == ["dead_letter"] * 6
    assert len(sandbox.memory.accepted_ids & {row.sent_as for row in good}) == 2


def test_groups_that_differ_by_a_person_only_are_told_as_one_and_held_back_each_by_itself(
    replays: Replays, queue: Queue
) -> None:
    reasons = [f"no account for {name}@example.com" for name in ("emily", "robert")]
    bad = replays.bury(
        3, dead_letter_reason=reasons[0], event_payload={"email": "x"}, event_name=""
    )
    good = replays.bury(4, dead_letter_reason=reasons[1])
    totals = replays.replay(canaries=1)
    assert statuses(queue, bad) == ["dead_letter"] * 3
    assert sorted(statuses(queue, good)) == ["pending"] * 3 + ["resolved"]
    (group,) = totals.groups
    assert (group.matched, group.replayed, group.held_back, group.gone) == (7, 5, 2, 0)
    assert group.reason == "no account for [removed]"
    assert sorted(each.holds_back for each in totals.canaries) == [False, True]
    assert {each.reason for each in totals.canaries} == {group.reason}


def test_a_group_no_larger_than_its_canaries_needs_none(
    replays: Replays, queue: Queue, sandbox: Sandbox
) -> None:
    replays.bury(3)
    totals = replays.replay(canaries=3)
    assert totals.canaries == ()
    assert queue.statuses() == {"pending": 3}
    assert sandbox.memory.requests == []


def test_a_destination_that_takes_nothing_holds_no_group_back(
    replays: Replays, queue: Queue
) -> None:
    rows = replays.bury(5, destination="google_ec")
    totals = replays.replay(canaries=2)
    (canary,) = totals.canaries
    assert (canary.undecided, canary.holds_back) == (2, False)
    assert totals.total("replayed") == 5
    assert all(queue.row(row)["retry_count"] == 0 for row in rows)


def test_a_paused_destination_gets_one_probe_and_keeps_the_rest_waiting(
    replays: Replays, queue: Queue, sandbox: Sandbox
) -> None:
    rows = replays.bury(6)
    for row in rows:
        sandbox.scripts.set(row.sent_as, [401] * 5)
    queue.connection.execute(
        "insert into tracking_destination_state (destination, state, reason, probe_at)"
        " values ('meta_capi', 'open', '190', now() + interval '1 hour')"
    )
    totals = replays.replay(canaries=3)
    assert len(sandbox.memory.requests) == 1
    assert totals.total("replayed") == 6
    assert queue.statuses() == {"pending": 6}


# Dry run


def test_a_dry_run_forecasts_and_changes_nothing(replays: Replays, queue: Queue) -> None:
    def aged(days: float, **fields: Any) -> dict[str, Any]:
        moment = (NOW - timedelta(days=days)).timestamp()
        return payload(event_time=int(moment), **fields)

    rows = [
        *replays.bury(2, event_payload=aged(0.1)),
        *replays.bury(1, event_payload=aged(3)),
        *replays.bury(1, event_payload=aged(8), created_at=NOW - timedelta(days=7.9)),
        *replays.bury(1, event_payload=aged(8)),
        *replays.bury(1, event_payload=payload(consent="denied")),
        *replays.bury(1, event_payload=aged(-0.5)),
        *replays.bury(1, event_payload=aged(8, action_source="physical_store")),
        *replays.bury(1, event_payload={"event_name": "Lead"}),
        *replays.bury(1, destination="google_ec"),
        *replays.bury(1, destination="supabase", event_payload=aged(3)),
    ]
    before = [queue.row(row) for row in rows]
    totals = replays.replay(dry_run=True)
    (meta,) = (each for each in totals.groups if each.destination == "meta_capi")
    assert (meta.matched, meta.sent, meta.waits) == (9, 4, 1)
    assert (meta.withheld, meta.expired, meta.refused) == (2, 1, 1)
    assert meta.may_count_twice == 2
    assert totals.total("waits") == 2
    assert totals.total("sent") == 5
    assert totals.refusals == {
        ("meta_capi", "expired"): 1,
        ("meta_capi", "missing user_data: no usable customer information"): 1,
    }
    assert totals.withheld == {
        ("meta_capi", "consent denied"): 1,
        ("meta_capi", "expired at arrival"): 1,
    }
    assert [queue.row(row) for row in rows] == before


def test_a_dry_run_says_what_waits_for_a_paused_destination(replays: Replays, queue: Queue) -> None:
    replays.bury(2)
    queue.connection.execute(
        "insert into tracking_destination_state (destination, state, probe_at)"
        " values ('meta_capi', 'open', now())"
    )
    totals = replays.replay(dry_run=True)
    assert (totals.total("waits"), totals.total("sent")) == (2, 0)


def test_a_dry_run_sees_that_the_last_events_would_expire_before_their_turn(
    replays: Replays,
) -> None:
    now = datetime.now(timezone.utc)  # not NOW: that of the import may be minutes ago
    moment = int((now - timedelta(days=7) + timedelta(minutes=10)).timestamp())
    replays.bury(30, event_payload=payload(event_time=moment))
    assert replays.replay(dry_run=True, events_per_minute=60.0).total("expired") == 0
    slowly = replays.replay(dry_run=True, events_per_minute=1.0)
    assert 15 <= slowly.total("expired") <= 25


def test_a_payload_that_nobody_can_read_is_forecast_and_fails_nothing(replays: Replays) -> None:
    replays.bury(1, event_payload={"event_time": "never", "email": "a@example.com"})
    assert replays.replay(dry_run=True).total("refused") == 1


# The order

PLANNING = PlanningRule(
    Prices("EUR", {("Purchase", "EUR"): 20.0}, unnamed_currency="EUR"),
    {"meta_capi": timedelta(days=7)},
)


def leaving(minutes: float, **fields: Any) -> dict[str, Any]:
    """A payload that Meta takes for so many minutes yet, its margin included."""
    now = datetime.now(timezone.utc)
    moment = now - timedelta(days=7) + timedelta(minutes=minutes + 1)
    return payload(event_time=int(moment.timestamp()) + 5, **fields)


@pytest.mark.parametrize("dry_run", [True, False])
def test_where_not_all_arrive_in_time_the_dear_ones_do_and_the_rest_comes_after_them(
    replays: Replays, queue: Queue, dry_run: bool
) -> None:
    cheap = replays.bury(4, event_payload=leaving(2, value=1, currency="EUR"))
    dear = replays.bury(2, event_payload=leaving(2, value=90, currency="EUR"))
    (usual,) = replays.bury(event_name="Purchase", event_payload=leaving(2))
    refused = replays.bury(event_payload=payload(consent="denied"))
    totals = replays.replay(dry_run=dry_run, canaries=0, events_per_minute=1.0, planning=PLANNING)
    (plan,) = totals.as_json()["plan"]
    assert (plan["events"], plan["in_time"], plan["in_time_oldest_first"]) == (7, 3, 3)
    assert plan["worth"]["amount"] == 204.0
    assert plan["worth_in_time"] == {
        "amount": 200.0, "currency": "EUR", "estimated": 1, "unpriced": 0, "other": {}
    }  # fmt: skip
    assert plan["worth_in_time_oldest_first"]["amount"] == 3.0
    in_time = {str(row.event_id) for row in (*dear, usual)}
    assert {each["event_id"] for each in plan["first"][:3]} == in_time
    if dry_run:
        assert (totals.total("sent"), totals.total("expired")) == (3, 4)
    else:
        due = {row: queue.row(row)["next_retry_at"] for row in (*dear, usual, *cheap, *refused)}
        order = sorted(due, key=lambda row: due[row])
        assert (set(order[:3]), order[-1:]) == ({*dear, usual}, refused)


def test_the_dear_ones_come_while_their_destination_still_recognises_a_copy(
    replays: Replays,
) -> None:
    moment = datetime.now(timezone.utc) - timedelta(hours=48) + timedelta(minutes=2, seconds=30)
    fields = {"event_time": int(moment.timestamp()), "currency": "EUR"}
    replays.bury(4, event_payload=payload(value=1, **fields))
    dear = replays.bury(2, event_payload=payload(value=90, **fields))
    totals = replays.replay(dry_run=True, canaries=0, events_per_minute=1.0, planning=PLANNING)
    (plan,) = totals.as_json()["plan"]
    assert plan["in_time"] == 6
    assert {str(row.event_id) for row in dear} <= {each["event_id"] for each in plan["first"][:3]}


def test_what_its_destination_takes_longer_than_others_is_not_taken_for_lost(
    replays: Replays,
) -> None:
    old = leaving(-600, action_source="physical_store", value=5, currency="EUR")
    replays.bury(event_payload=old)
    (plan,) = replays.replay(dry_run=True, planning=PLANNING).plans
    assert (plan.in_time, plan.worth_in_time) == (1, EventsWorth(5.0, "EUR"))


def test_what_waits_gets_its_turn_where_it_is_asked_for_and_keeps_its_tries(
    replays: Replays, queue: Queue
) -> None:
    later = NOW + timedelta(hours=5)
    (letter,) = replays.bury(created_at=NOW - timedelta(hours=1))
    waiting = queue.add_one(
        status="retrying", retry_count=3, next_retry_at=later, created_at=NOW - timedelta(hours=2)
    )
    held = queue.add_one(status="retrying", next_retry_at=later, lease_expires_at=later)
    before = queue.row(held)
    assert replays.replay(dry_run=True).total("matched") == 1
    totals = replays.replay(with_waiting=True)
    assert {each.reason: each.replayed for each in totals.groups} == {
        "max_retries": 1,
        "waiting": 1,
    }
    found = queue.row(waiting)
    assert (found["status"], found["retry_count"], found["replays"]) == ("retrying", 3, 0)
    assert found["next_retry_at"] < queue.row(letter)["next_retry_at"] < later
    assert queue.row(held) == before


# Repairs

RULES = "[{set: $.currency, value: USD}, {cast: $.value, to: number}]"


def test_a_repair_is_shown_by_a_dry_run_and_done_by_a_replay(
    replays: Replays, queue: Queue
) -> None:
    before = payload(value="19.90", currency="dollars")
    (row,) = replays.bury(event_payload=before)
    shown = replays.replay(RULES, dry_run=True).repairs
    assert shown == {(1, '$.currency: text -> "USD"'): 1, (2, "$.value: text -> number"): 1}
    assert "19.90" not in str(shown)
    assert queue.row(row)["event_payload"] == before
    assert replays.replay(RULES).repairs == shown
    assert queue.row(row)["event_payload"] == payload(value=19.9, currency="USD")


def test_a_forecast_is_of_the_repaired_payload(replays: Replays) -> None:
    replays.bury(event_payload={"event_name": "Lead", "event_time": "never", "email": "a@b.com"})
    assert replays.replay(dry_run=True).total("refused") == 1
    assert replays.replay("[{drop: $.event_time}]", dry_run=True).total("sent") == 1


def test_the_canaries_are_repaired_as_well(
    replays: Replays, queue: Queue, sandbox: Sandbox
) -> None:
    bad = {"event_name": "Lead", "event_time": "never", "email": "emily@example.com"}
    replays.bury(4, event_payload=bad)
    totals = replays.replay("[{drop: $.event_time}]", canaries=1)
    assert [each.delivered for each in totals.canaries] == [1]
    assert totals.total("replayed") == 4
    assert totals.repairs == {(1, "$.event_time: text -> missing"): 4}


# Pauses that are over


def attempt(queue: Queue, row: Added, outcome: str, minutes_ago: float, **columns: Any) -> None:
    values = {"error_code": None, "error_message": None, "destination": "meta_capi", **columns}
    queue.connection.execute(
        "insert into tracking_delivery_attempts (failed_event_id, event_id, destination, attempt,"
        " outcome, lease_token, error_code, error_message, attempted_at)"
        " values (%s, %s, %s, 1, %s, 1, %s, %s, now() - make_interval(mins => %s))",
        (row.id, row.event_id, values["destination"], outcome, values["error_code"],
         values["error_message"], minutes_ago),
    )  # fmt: skip


def offered(queue: Queue) -> int:
    return sum(group.matched for group in read_offers(queue.connection))


def test_dead_letters_of_a_pause_are_offered_once_it_is_over_and_go_back_once(
    replays: Replays, queue: Queue
) -> None:
    died = NOW - timedelta(minutes=50)
    spent = replays.bury(2, error_code="190", updated_at=died)
    # Another system's dead letter names no reason.
    old = replays.bury(error_code="190", dead_letter_reason=None, updated_at=died)
    others = [
        *replays.bury(error_code="2", updated_at=died),
        *replays.bury(error_code="190", dead_letter_reason="refused by Meta: 190", updated_at=died),
        *replays.bury(error_code="190", updated_at=died, destination="gtm_server"),
        *replays.bury(error_code="190", updated_at=NOW),
    ]
    probe = queue.add_one()
    fault = {"error_code": "190", "error_message": "Error validating access token"}
    attempt(queue, probe, "paused", 40, **fault)
    queue.connection.execute(
        "insert into tracking_destination_state (destination, state) values ('meta_capi', 'open')"
    )
    assert offered(queue) == 0
    queue.connection.execute("update tracking_destination_state set state = 'closed'")
    assert offered(queue) == 0  # nobody has seen yet that it takes events
    attempt(queue, probe, "delivered", 30)
    assert offered(queue) == 3
    assert replays.replay(after_pause=True, canaries=0).total("replayed") == 3
    assert statuses(queue, [*spent, *old]) == ["pending"] * 3
    assert statuses(queue, others) == ["dead_letter"] * 4
    assert offered(queue) == 0


def test_dead_letters_that_failed_with_a_pauses_own_words_are_its_own(
    replays: Replays, queue: Queue
) -> None:
    died = NOW - timedelta(minutes=50)
    replays.bury(dead_letter_reason="odd", error_message="no such path", updated_at=died)
    probe = queue.add_one()
    attempt(queue, probe, "paused", 40, error_message="no such path")
    attempt(queue, probe, "delivered", 30)
    assert offered(queue) == 1


# Pure parts


@given(st.floats(0, 1e6), st.none() | st.floats(0.1, 1e5))
def test_a_rate_is_the_one_asked_for_or_stays_below_live_traffic(
    live: float, asked: float | None
) -> None:
    rate = chosen_rate(asked, live)
    if asked is not None:
        assert rate == asked
    else:
        assert 10 <= rate <= 600
        assert rate <= max(live / 2, 10)


@given(st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=30), st.floats(0.5, 1000))
def test_no_destination_gets_more_than_its_rate(order: list[str], rate: float) -> None:
    pace = Pace(rate)
    moments: dict[str, list[float]] = {}
    for destination in order:
        moments.setdefault(destination, []).append(pace.next_seconds(destination))
    for given_moments in moments.values():
        assert given_moments[0] == 0
        gaps = [later - sooner for sooner, later in pairwise(given_moments)]
        assert all(gap == pytest.approx(60 / rate) for gap in gaps)
    assert pace.minutes * 60 == pytest.approx(max(max(each) for each in moments.values()))
