"""Each conversion is accounted for once at each destination, whatever became of it and when."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tracking_pipeline.delivery.worth import EventsWorth
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.readings.accounting import (
    AccountingReading,
    DeliveryRateReading,
    DestinationAccount,
    Line,
    read_accounting,
    read_lately,
)
from tracking_pipeline.health.readings.arrivals import DEAD, DELIVERED, account, value_sample
from tracking_pipeline.health.readings.rollup import full_hour
from tracking_pipeline.health.view.accounting import arrivals_view
from tracking_pipeline.store.database import one_moment
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import Site, policy

HISTORIES = 100
FORWARDED = {
    "log_event_forward_to": "meta_capi,google_ec",
    "meta_dataset_id": "1",
    "meta_access_token": "t",
}
REFUSED = {"consent": {"ad_storage": "denied", "ad_user_data": "denied"}}


@pytest.fixture
def site(connection: psycopg.Connection) -> Site:
    return Site(connection)


def accounted(site: Site, config: HealthConfig, days: float = 7, **how: int) -> AccountingReading:
    account(site.connection, config.accounting, **how)
    with one_moment(site.connection) as now:
        return read_accounting(site.connection, config, full_hour(now - timedelta(days=days)), now)


class History:
    """Events of a site that log-event hands over, and what has become of each so far."""

    def __init__(self, site: Site, seed: int) -> None:
        self.site, self.chance = site, random.Random(seed)
        self.name, self.now = f"conversion {seed}", site.now()
        self.expected: dict[tuple[UUID, str], tuple[str, str]] = {}
        self.rows: dict[tuple[UUID, str], UUID] = {}

    def record(self, events: int) -> list[UUID]:
        """Events of the last two days; some refused, some too old, some never handed over."""
        ids = []
        for _ in range(events):
            at = self.now - timedelta(hours=self.chance.uniform(0, 40))
            kind = self.chance.choice(("plain", "plain", "plain", "refused", "old"))
            (event_id,) = self.site.add_events(
                at=at,
                event_name=self.name,
                event_type="conversion",
                event_time=at - timedelta(days=90 if kind == "old" else 0),
                metadata=Jsonb(REFUSED if kind == "refused" else {"value": 10, "currency": "USD"}),
                ingested_by="tracking_pipeline",
            )
            ids.append(event_id)
            for destination in ("meta_capi", "google_ec"):
                never = ("never_handed_over", "recorded and not handed over")
                self.expected[event_id, destination] = {
                    "plain": never,
                    "refused": ("withheld", "consent denied"),
                    "old": ("withheld", "expired at arrival"),
                }[kind]
                if kind == "plain" and self.chance.random() < 0.9:
                    self.happen(event_id, destination, at)
        return ids

    def happen(self, event_id: UUID, destination: str, at: datetime) -> None:
        """One thing that a first attempt can come to."""
        kind = self.chance.choice(("accepted", "first_try", "warning", "failed", "later", "died"))
        key = (event_id, destination)
        if kind in ("accepted", "later"):
            self.insert(
                "tracking_accepted_events",
                event_id=event_id,
                event_name="Lead",
                event_payload=Jsonb({}),
                destination=destination,
                delivered_at=at if kind == "later" else None,
            )
            self.expected[key] = ("waiting" if kind == "accepted" else "delivered", "first_try")
        elif kind in ("first_try", "warning"):
            warning = "a part is ignored" if kind == "warning" else None
            self.attempt(event_id, destination, uuid4(), "delivered", 1, warning=warning)
            self.expected[key] = ("delivered", kind)
        else:
            self.fail(event_id, destination, at, dead=kind == "died")

    def fail(
        self,
        event_id: UUID,
        destination: str,
        at: datetime,
        *,
        dead: bool,
        row: UUID | None = None,
    ) -> None:
        row = row or uuid4()
        self.insert(
            "tracking_failed_events",
            id=row,
            event_id=event_id,
            event_name="Lead",
            event_payload=Jsonb({}),
            destination=destination,
            error_message="it failed",
            status="dead_letter" if dead else "pending",
            dead_letter_reason="invalid phone" if dead else None,
            created_at=at,
        )
        self.rows[event_id, destination] = row
        self.attempt(event_id, destination, row, "rejected" if dead else "retry", 1)
        self.expected[event_id, destination] = (
            ("dead", "invalid phone") if dead else ("waiting", "retry")
        )

    def go_on(self) -> None:
        """What failed is delivered, withheld, dies, is replayed or settled by hand; what was
        accepted goes out."""
        for key, row in self.rows.items():
            step = self.chance.choice(("nothing", "deliver", "withhold", "die", "hand", "replay"))
            status = self.expected[key][0]
            if step == "replay" and status == "dead":
                self.change(row, "status = 'pending', replayed_at = now(), dead_letter_reason=null")
                self.expected[key] = ("waiting", "retry")
            elif status != "waiting":
                continue
            elif step == "deliver":
                self.change(row, "status = 'resolved', resolved_by = 'tracking_pipeline'")
                self.attempt(*key, row, "delivered", 2)
                self.expected[key] = ("delivered", "retry")
            elif step == "withhold":
                self.change(
                    row,
                    "status = 'resolved', resolved_by = 'withheld', withheld_reason = 'by a rule'",
                )
                self.attempt(*key, row, "withheld", 2)
                self.expected[key] = ("withheld", "by a rule")
            elif step == "die":
                self.change(row, "status = 'dead_letter', dead_letter_reason = 'max_retries'")
                self.attempt(*key, row, "retry", 5)
                self.expected[key] = ("dead", "max_retries")
            elif step == "hand":
                self.change(row, "status = 'resolved', resolved_by = 'emily'")
                self.expected[key] = ("delivered", "by_hand")
        for row in self.taken("delivered_at is null"):
            self.attempt(row["event_id"], row["destination"], row["id"], "delivered", 1)
            self.expected[row["event_id"], row["destination"]] = ("delivered", "first_try")

    def answer_late(self) -> None:
        """Google takes back what it had taken: the delivery is a failed event, given up."""
        for row in self.taken("delivered_at is not null and destination = 'google_ec'"):
            event_id = row["event_id"]
            self.attempt(event_id, "google_ec", row["id"], "delivered", 1)
            self.fail(event_id, "google_ec", self.now, dead=True, row=row["id"])

    def taken(self, condition: str) -> list[dict[str, Any]]:
        """Accepted events, which are none any more."""
        return self.site.read(
            f"delete from tracking_accepted_events where {condition} and event_id = any(%s)"
            " returning *",
            [event_id for event_id, _ in self.expected],
        )

    def attempt(
        self,
        event_id: UUID,
        destination: str,
        row: UUID,
        outcome: str,
        number: int,
        *,
        warning: str | None = None,
    ) -> None:
        self.insert(
            "tracking_delivery_attempts",
            failed_event_id=row,
            event_id=event_id,
            destination=destination,
            attempt=number,
            outcome=outcome,
            lease_token=1,
            warning=warning,
        )

    def change(self, row: UUID, assignments: str) -> None:
        settled = ", resolved_at = now()" if "resolved" in assignments else ""
        self.site.connection.execute(
            f"update tracking_failed_events set {assignments}{settled}, updated_at = now()"
            " where id = %s".encode(),
            (row,),
        )

    def insert(self, table: str, **values: Any) -> None:
        self.site._insert(table, values)

    def fates(self, destination: str) -> Counter[tuple[str, str]]:
        return Counter(fate for (_, name), fate in self.expected.items() if name == destination)


def test_the_sum_holds_on_a_hundred_histories(site: Site) -> None:
    """In hours that are counted whole at first, and in slices when more has come."""
    config = policy(**FORWARDED)
    histories = [History(site, seed) for seed in range(HISTORIES)]
    for history in histories:
        history.record(6)
    accounted(site, config)
    for seed, history in enumerate(histories):
        history.go_on()
        if seed % 2:
            history.answer_late()
        history.record(1)
    accounted(site, config, slice_events=5)
    for history in histories:
        history.go_on()

    found = accounted(site, config, slice_events=5)

    for name in ("meta_capi", "google_ec"):
        each = found.destinations[name]
        assert each.total.conversions == 7 * HISTORIES
        assert all(line.difference == 0 for line in each.lines.values())
        reasons = Counter({(one.became, one.reason): one.events for one in each.reasons})
        reasons += Counter({("delivered", how): n for how, n in each.total.delivered.items()})
        assert reasons == sum((history.fates(name) for history in histories), Counter())
        for history in histories:
            became = Counter[str]()
            for (_, event_name), line in each.lines.items():
                if event_name == history.name:
                    became += Counter(line.became)
            expected = Counter(fate for fate, _ in history.fates(name).elements())
            assert became == expected, f"{history.name} at {name}"


def slices(site: Site) -> list[dict[str, Any]]:
    return site.read(
        "select since, until, xmin::text as written_by from tracking_delivery_slices order by since"
    )


def test_a_change_in_a_dense_hour_costs_one_slice_of_it(site: Site) -> None:
    config, hour = policy(**SENDS_ITSELF), full_hour(site.ago(hours=5))
    ids = [site.add_events(at=hour + timedelta(minutes=at))[0] for at in range(40)]
    accounted(site, config, slice_events=10)
    before = slices(site)
    assert [each["since"].minute for each in before] == [0, 10, 20, 30]
    assert before[-1]["until"] == hour + timedelta(hours=1)
    site.add_failed(event_id=ids[25])

    found = accounted(site, config, slice_events=10)

    changed = [each["since"].minute for each in slices(site) if each not in before]
    assert changed == [20]
    assert total(found) == {"assumed": 39, "waiting": 1}


def test_an_hour_that_a_pass_leaves_half_counted_stays_as_it_was(site: Site) -> None:
    config, hour = policy(**SENDS_ITSELF), full_hour(site.ago(hours=5))
    site.add_events(at=hour)
    accounted(site, config)
    for minute in range(50):
        site.add_failed(event_id=site.add_events(at=hour + timedelta(minutes=minute))[0])
    done = account(site.connection, config.accounting, time_budget_seconds=0, slice_events=1)
    while done.left:
        with one_moment(site.connection) as now:
            found = read_lately(site.connection, config, now)
        assert total(found) == {"assumed": 1}
        done = account(site.connection, config.accounting, time_budget_seconds=0, slice_events=1)
    assert total(accounted(site, config, slice_events=1)) == {"assumed": 1, "waiting": 50}


def total(found: AccountingReading, name: str = "meta_capi") -> dict[str, int]:
    return {became: n for became, n in found.destinations[name].total.became.items() if n}


SENDS_ITSELF = {"meta_dataset_id": "1", "meta_access_token": "t"}


def test_what_a_site_sends_itself_is_assumed_until_it_reports_a_failure(site: Site) -> None:
    ids = site.add_events(5, at=site.ago(hours=3))
    for event_id, status in zip(ids, ("pending", "dead_letter"), strict=False):
        site._insert(
            "tracking_failed_events",
            {
                "event_id": event_id,
                "event_name": "Lead",
                "event_payload": Jsonb({}),
                "destination": "meta_capi",
                "error_message": "it failed",
                "status": status,
            },
        )
    site.add_failed(3)

    found = accounted(site, policy(**SENDS_ITSELF))

    assert total(found) == {"assumed": 3, "waiting": 1, "dead": 1}
    assert found.destinations["meta_capi"].outside == {"waiting": 3}
    assert found.destinations["meta_capi"].total.percent == 60.0
    assert list(found.destinations) == ["meta_capi"]


def test_a_destination_is_in_use_once_something_failed_there(site: Site) -> None:
    (event_id,) = site.add_events()
    assert not accounted(site, policy()).destinations
    site.add_failed(destination="google_ec", event_id=event_id)
    assert total(accounted(site, policy()), "google_ec") == {"waiting": 1}


def test_the_setting_says_which_destinations_the_site_sends_to(site: Site) -> None:
    site.add_events(ingested_by="my own server")
    site.add_events(ingested_by="tracking_pipeline")
    forwarded = {**SENDS_ITSELF, "log_event_forward_to": "meta_capi"}
    assert total(accounted(site, policy(**forwarded))) == {"never_handed_over": 2}
    both = policy(**forwarded, site_sends_to="meta_capi")
    assert total(accounted(site, both)) == {"never_handed_over": 1, "assumed": 1}


def test_what_comes_after_a_check_is_a_difference_until_it_is_counted(site: Site) -> None:
    config = policy(**SENDS_ITSELF)
    site.add_events(2)
    accounted(site, config)
    site.add_events(3)
    with one_moment(site.connection) as now:
        found = read_lately(site.connection, config, now)
    line = found.destinations["meta_capi"].total
    assert (line.conversions, line.difference) == (5, 3)
    assert accounted(site, config).destinations["meta_capi"].total.difference == 0


def test_a_pass_that_spends_its_budget_leaves_the_oldest_hours(site: Site) -> None:
    for hours in (1, 30, 60):
        site.add_events(at=site.ago(hours=hours))
    config = policy(**SENDS_ITSELF)
    passes = [account(site.connection, config.accounting, time_budget_seconds=0)]
    with one_moment(site.connection) as now:
        found = read_lately(site.connection, config, now)
    assert found.hours_left == 2
    assert found.destinations["meta_capi"].total.difference == 2
    while passes[-1].left:
        passes.append(account(site.connection, config.accounting, time_budget_seconds=0))
    assert accounted(site, config).destinations["meta_capi"].total.difference == 0


def test_money_at_risk_takes_the_median_where_an_event_has_no_value(site: Site) -> None:
    for value in (10, 20, 90):
        site.add_events(metadata=Jsonb({"value": value, "currency": "EUR"}))
    (without,) = site.add_events()
    (with_value,) = site.add_events(metadata=Jsonb({"value": "5,00 EUR"}))
    (foreign,) = site.add_events(metadata=Jsonb({"value": 7, "currency": "CHF"}))
    for event_id in (without, with_value, foreign):
        site.add_failed(event_id=event_id)

    (found,) = accounted(site, policy()).destinations.values()

    assert found.at_risk == EventsWorth(15.0, "EUR", estimated=1, other={"CHF": 7.0})


def test_where_nobody_knows_a_value_it_is_that_of_a_lead_or_none(site: Site) -> None:
    (event_id,) = site.add_events()
    site.add_failed(event_id=event_id)
    assert accounted(site, policy()).destinations["meta_capi"].at_risk.unpriced == 1
    found = accounted(site, policy(lead_value=40, lead_value_currency="EUR"))
    assert found.destinations["meta_capi"].at_risk == EventsWorth(40.0, "EUR", estimated=1)


def test_a_sample_of_many_values_has_about_their_median() -> None:
    values = [float(value) for value in range(1001)]
    sample = value_sample(values)
    assert len(sample) == 20
    assert sample == sorted(sample)
    assert abs(sample[9] - 500) <= 26
    assert value_sample([3.0, 1.0]) == [1.0, 3.0]


def test_consent_is_counted_by_what_was_said(site: Site) -> None:
    granted = {"ad_storage": "granted", "ad_user_data": "granted"}
    for consent in (granted, granted, {**granted, "ad_storage": "denied"}, {}):
        site.add_events(metadata=Jsonb({"consent": consent}))
    found = accounted(site, policy(**SENDS_ITSELF))
    (said,) = found.consent.values()
    assert said == {"granted": 2, "refused": 1, "unknown": 1}
    assert total(found) == {"assumed": 3, "withheld": 1}


def test_an_order_under_two_event_ids_is_found_within_its_window(site: Site) -> None:
    def order(order_id: str, hours: float, name: str = "Purchase") -> UUID:
        metadata = Jsonb({"order_id": order_id})
        (event_id,) = site.add_events(at=site.ago(hours=hours), event_name=name, metadata=metadata)
        return event_id

    first, second = order("A-1", 5), order("A-1", 1)
    order("A-2", 5)
    order("A-3", 5)
    order("A-3", 4, name="Lead")
    order("A-4", 24 * 20)
    order("A-4", 2)

    found = accounted(site, policy(**SENDS_ITSELF, order_window_days=7))

    assert found.repeated_orders == 1
    assert found.repeated[0].order_id == "A-1"
    assert found.repeated[0].event_ids == [first, second]
    seen = found.deduplication
    assert (seen.orders, seen.under_one_id, seen.one_id_percent) == (5, 4, 80.0)
    assert accounted(site, policy(**SENDS_ITSELF)).repeated_orders == 2


@pytest.mark.parametrize(("dead", "raised"), [(15, "warning"), (30, "critical"), (5, None)])
def test_an_alert_tells_of_a_destination_that_lacks_conversions(
    site: Site, database_url: str, dead: int, raised: str | None
) -> None:
    ids = site.add_events(100, at=site.ago(hours=5))
    for event_id in ids[:dead]:
        site.add_failed(
            event_id=event_id,
            status="dead_letter",
            dead_letter_reason="invalid phone",
            created_at=site.ago(hours=4),
        )

    result = check_tracking_health(database_url, policy(**SENDS_ITSELF))

    alerts = result.recorded.active_alerts
    alert = next((each for each in alerts if each.alert_type == "delivery_rate_low"), None)
    assert (alert.severity if alert else None) == raised
    if alert is not None:
        assert f"Meta Conversions API lacks {dead} of 100 conversions" in alert.message
        assert "100.0 % of them: given up (invalid phone)" in alert.message


def test_few_conversions_and_those_of_the_last_hour_alarm_nobody(
    site: Site, database_url: str
) -> None:
    for count, hours in ((10, 5), (100, 0)):
        for event_id in site.add_events(count, at=site.ago(hours=hours)):
            site.add_failed(event_id=event_id, status="dead_letter")
    config = policy(**SENDS_ITSELF)
    assert "delivery_rate_low" not in {
        each.alert_type
        for each in check_tracking_health(database_url, config).recorded.active_alerts
    }


def test_a_destination_with_few_conversions_hides_none_that_lacks_many() -> None:
    def lacks(name: str, dead: int, of: int) -> DestinationAccount:
        line = Line(of, {DELIVERED: of - dead, DEAD: dead})
        return DestinationAccount(name, line, line, {}, (), EventsWorth(), EventsWorth())

    accounts = {"gtm_server": lacks("gtm_server", 3, 3), "meta_capi": lacks("meta_capi", 40, 100)}
    assert DeliveryRateReading(24, 20, accounts).measured.value == 60.0
    assert DeliveryRateReading(24, 200, accounts).measured.value == 60.0


def test_a_funnel_says_how_much_is_missing_since_when_why_its_worth_and_what_to_do(
    site: Site,
) -> None:
    priced = Jsonb({"value": 50, "currency": "EUR"})
    ids = site.add_events(40, at=site.ago(days=2), metadata=priced)
    for event_id in ids[:10]:
        site.add_failed(event_id=event_id, status="dead_letter", dead_letter_reason="max_retries")
    config = policy(**SENDS_ITSELF)

    view = arrivals_view(accounted(site, config), config.thresholds["delivery_rate"])

    (funnel,) = view.funnels
    assert (funnel.percent, funnel.level, funnel.missing) == ("75.0 %", "warning", "10")
    assert funnel.since == f"{full_hour(site.ago(days=2)):%d %b %H:%M} UTC"
    assert funnel.worth == "500.00 EUR"
    assert "replay" in funnel.to_do
    assert [(step.label, step.events) for step in funnel.steps] == [
        ("Received", "40"),
        ("Withheld", "0"),
        ("Sent", "40"),
        ("Accepted", "30"),
        ("Matched", "not told"),
    ]
    (reason,) = funnel.reasons
    assert reason.why == "Still failing after the last retry"
    assert len(reason.samples) == 10
    assert set(reason.samples) <= {str(each) for each in ids[:10]}
