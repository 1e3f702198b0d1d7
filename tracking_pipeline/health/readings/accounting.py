"""Did the conversions arrive: the accounting of a window, from what was counted by hour.

    conversions = delivered + assumed + waiting + dead + withheld + never handed over + difference

at each destination, event name and day (UTC). The conversions are counted by another roll-up than
the rest, so the difference is a check of both, and what is not counted yet shows as such.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS, STORES, spec_of
from tracking_pipeline.delivery.worth import EventsWorth, Prices, read_prices
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.formatting import count_of, percent
from tracking_pipeline.health.metrics import Measured
from tracking_pipeline.health.readings.arrivals import (
    ASSUMED,
    BECAME,
    DEAD,
    DELIVERED,
    NEVER,
    SAMPLES,
    UNTRIED,
    WAITING,
    WITHHELD,
    stale_hours,
)
from tracking_pipeline.health.readings.causes import bearing_on, setting_causes
from tracking_pipeline.health.readings.deduplication import Deduplication, read_deduplication
from tracking_pipeline.health.readings.rollup import OLDEST, full_hour
from tracking_pipeline.identity import plain_reason
from tracking_pipeline.store.delivery_accounting import (
    Accounted,
    RepeatedOrder,
    count_conversions_by_day,
    read_accounted,
    read_consent,
    read_missing_since,
    read_repeated_orders,
    read_samples,
)
from tracking_pipeline.store.google_requests import count_unmatched
from tracking_pipeline.store.rollup_progress import DELIVERY, read_progress
from tracking_pipeline.store.setting_changes import SettingChange, read_setting_changes

MISSING = (WAITING, DEAD, NEVER)
"""What should have been delivered by now and is not known to be."""

RETRY = "retry"
"""How what was delivered after a failure was delivered."""
ACCOUNTING_DAYS = 7
REPEATED_ORDERS = 20
# An event that is younger may well be on its way.
SETTLED_AFTER = timedelta(hours=1)
_MOST_CAUSES = 3


@dataclass(frozen=True, slots=True)
class Reason:
    """So many events became this for this ``reason``. ``samples`` are ids of some, as text."""

    became: str
    reason: str
    events: int
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """The accounting of one event name on one day, at one destination; or of several together.

    ``conversions``: those of the ledger. ``became``: how many of them, by what became of them.
    ``delivered`` by how: ``first_try``, ``retry``, ``warning``, ``by_hand``. ``untried``: of those
    that wait, so many wait for their first attempt. ``unmatched``: of what was delivered, so many
    matched nobody; None where the platform does not tell, or not of which.
    """

    conversions: int
    became: Mapping[str, int]
    delivered: Mapping[str, int] = field(default_factory=dict)
    untried: int = 0
    unmatched: int | None = None

    @property
    def difference(self) -> int:
        """The conversions that are in none of the classes: not counted yet, as a rule."""
        return self.conversions - sum(self.became.values())

    @property
    def due(self) -> int:
        """What should have been delivered."""
        return sum(self.became.values()) - self.became.get(WITHHELD, 0)

    @property
    def sent(self) -> int:
        """What was tried at least once, as far as is known or assumed."""
        return self.due - self.became.get(NEVER, 0) - self.untried

    @property
    def accepted(self) -> int:
        """What was delivered, what is assumed included."""
        return self.became.get(DELIVERED, 0) + self.became.get(ASSUMED, 0)

    @property
    def matched(self) -> int | None:
        return None if self.unmatched is None else max(self.accepted - self.unmatched, 0)

    @property
    def missing(self) -> int:
        """What should have been delivered and is not known to be."""
        return self.due - self.accepted

    @property
    def percent(self) -> float | None:
        """Delivered of what should have been, what is assumed included; None: nothing should."""
        return 100.0 * self.accepted / self.due if self.due else None


@dataclass(frozen=True, slots=True)
class DestinationAccount:
    """What became of a window's conversions at one destination. ``before``: of the equal window
    before it. ``lines`` by day and event name. ``saved``: what was delivered by a retry.
    ``outside`` counts failed events whose conversions are not in the ledger, by what became of
    them. ``missing_since``: the hour from which on nearly all of what is missing came."""

    name: str
    total: Line
    before: Line
    lines: Mapping[tuple[datetime, str], Line]
    reasons: Sequence[Reason]
    at_risk: EventsWorth
    saved: EventsWorth
    outside: Mapping[str, int] = field(default_factory=dict)
    missing_since: datetime | None = None

    @property
    def saved_events(self) -> int:
        """How many were delivered by a retry."""
        return self.total.delivered.get(RETRY, 0)

    @property
    def trend(self) -> float | None:
        """The percentage points by which the share has changed against the period before."""
        now, before = self.total.percent, self.before.percent
        return None if now is None or before is None else now - before


@dataclass(frozen=True, slots=True)
class AccountingReading:
    """The accounting of [since, until). ``hours_left``: so many hours are still to be counted.
    ``consent``: conversions by day, event name, and what was said. ``repeated``: orders that came
    under several event ids, ``repeated_orders`` in all."""

    since: datetime
    until: datetime
    counted_at: datetime | None
    hours_left: int
    destinations: Mapping[str, DestinationAccount]
    consent: Mapping[tuple[datetime, str], Mapping[str, int]]
    repeated_orders: int = 0
    repeated: Sequence[RepeatedOrder] = ()
    deduplication: Deduplication = field(default_factory=Deduplication)


def read_accounting(
    connection: psycopg.Connection[Any],
    config: HealthConfig,
    since: datetime,
    until: datetime,
    destinations: Sequence[str] = DESTINATIONS,
) -> AccountingReading:
    """The accounting of [since, until), full hours (``until`` may be now), as far as it is counted.
    To be called within :func:`~tracking_pipeline.store.database.one_moment`."""
    rule = config.accounting
    earlier = full_hour(since - (until - since))
    progress = read_progress(connection, DELIVERY)
    rows = read_accounted(connection, since, until)
    before = read_accounted(connection, earlier, since)
    rolled_until = read_progress(connection).rolled_until or OLDEST
    conversions = count_conversions_by_day(
        connection, since, until, rule.conversions, rolled_until=rolled_until
    )
    prices = read_prices(connection, until, currency=rule.currency, otherwise=rule.value_without)
    samples = read_samples(connection, since, until, most=SAMPLES)
    unmatched = count_unmatched(connection, since, until)
    unmatched_before = count_unmatched(connection, earlier, since)
    missing_since = read_missing_since(connection, since, until, list(STORES))
    found = {
        name: _account(
            name,
            [row for row in rows if row.destination == name],
            [row for row in before if row.destination == name],
            conversions=conversions,
            prices=prices,
            samples={key[1:]: ids for key, ids in samples.items() if key[0] == name},
            unmatched=(unmatched.get(name), unmatched_before.get(name)),
            missing_since=missing_since.get(name),
        )
        for name in destinations
        if any(row.destination == name for row in (*rows, *before))
    }
    consent: defaultdict[tuple[datetime, str], dict[str, int]] = defaultdict(dict)
    for day, event_name, said, events in read_consent(connection, since, until):
        consent[day, event_name][said] = events
    repeated_orders, repeated = read_repeated_orders(
        connection, since, until, window=rule.order_window, most=REPEATED_ORDERS
    )
    return AccountingReading(
        since,
        until,
        progress.rolled_until,
        len(stale_hours(progress.stale_hours)),
        found,
        dict(consent),
        repeated_orders,
        repeated,
        read_deduplication(connection, since, until, repeated_orders=repeated_orders),
    )


def _account(
    name: str,
    rows: Sequence[Accounted],
    before: Sequence[Accounted],
    *,
    conversions: Mapping[tuple[datetime, str], int],
    prices: Prices,
    samples: Mapping[tuple[str, str], Sequence[object]],
    unmatched: tuple[int | None, int | None],
    missing_since: datetime | None,
) -> DestinationAccount:
    # What failed on its way into the ledger was a conversion all the same.
    is_store = name in STORES
    inside = [row for row in rows if row.in_ledger or is_store]
    earlier = [row for row in before if row.in_ledger or is_store]
    outside = [row for row in rows if not row.in_ledger and not is_store]
    missing_from_ledger: Counter[tuple[datetime, str]] = Counter()
    for row in inside:
        if not row.in_ledger:
            missing_from_ledger[row.day, row.event_name] += row.events
    by_line: defaultdict[tuple[datetime, str], list[Accounted]] = defaultdict(list)
    for row in inside:
        by_line[row.day, row.event_name].append(row)
    wanted = {
        key: conversions.get(key, 0) + missing_from_ledger[key]
        for key in sorted({*conversions, *by_line})
    }
    reasons: Counter[tuple[str, str]] = Counter()
    ids: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for row in inside:
        if row.became not in (DELIVERED, ASSUMED):
            reasons[row.became, plain_reason(row.reason)] += row.events
    for (became, reason), found in samples.items():
        ids[became, plain_reason(reason)] += [str(each) for each in found]
    return DestinationAccount(
        name=name,
        total=_line(inside, sum(wanted.values()), unmatched[0]),
        before=_line(earlier, sum(row.events for row in earlier), unmatched[1]),
        lines={key: _line(by_line[key], count) for key, count in wanted.items()},
        reasons=[
            Reason(*key, events, tuple(ids[key][:SAMPLES]))
            for key, events in sorted(
                reasons.items(), key=lambda item: (BECAME.index(item[0][0]), -item[1], item[0])
            )
        ],
        at_risk=prices.worth(row for row in inside if row.became in MISSING),
        saved=prices.worth(row for row in inside if (row.became, row.reason) == (DELIVERED, RETRY)),
        outside=dict(_became(outside)),
        missing_since=missing_since,
    )


def _line(rows: Sequence[Accounted], conversions: int, unmatched: int | None = None) -> Line:
    how: Counter[str] = Counter()
    untried = 0
    for row in rows:
        if row.became == DELIVERED:
            how[row.reason] += row.events
        elif row.became == WAITING and row.reason in UNTRIED:
            untried += row.events
    return Line(conversions, dict(_became(rows)), dict(how), untried, unmatched)


def _became(rows: Iterable[Accounted]) -> Counter[str]:
    became: Counter[str] = Counter()
    for row in rows:
        became[row.became] += row.events
    return became


@dataclass(frozen=True, slots=True)
class DeliveryRateReading:
    """Delivered of what should have been, in percent, by destination, over the last
    ``window_hours`` but for the newest hour, whose events may well be on their way. ``accounts``
    None: the hours are still being counted for the first time. ``settings`` were changed since."""

    window_hours: int
    minimum_events: int
    accounts: Mapping[str, DestinationAccount] | None = None
    settings: Sequence[SettingChange] = ()

    @property
    def worst(self) -> DestinationAccount | None:
        """The destination with the lowest share among those that have enough events; where none
        has, the one with the most."""
        judged = [each for each in (self.accounts or {}).values() if each.total.due]
        enough = [each for each in judged if each.total.due >= self.minimum_events]
        if enough:
            return min(enough, key=lambda each: each.total.percent or 0.0)
        return max(judged, key=lambda each: each.total.due, default=None)

    @property
    def measured(self) -> Measured:
        worst = self.worst
        if worst is None:
            note = "" if self.accounts is not None else "the conversions are still being counted"
            return Measured(None, note=note)
        return Measured(
            worst.total.percent,
            worst.total.due,
            causes=(
                *rate_causes(worst),
                *setting_causes(bearing_on(self.settings, worst.name)),
            ),
            detail={
                "destination": worst.name,
                "window_hours": self.window_hours,
                "due": worst.total.due,
                "became": dict(worst.total.became),
            },
            parts={name: each.total.percent for name, each in (self.accounts or {}).items()},
        )


def rate_causes(account: DestinationAccount) -> tuple[str, ...]:
    """Which destination it is, and what most of its conversions that did not arrive became."""
    missing = account.total.missing
    told = [f"{spec_of(account.name).title} lacks {missing:,} of {account.total.due:,} conversions"]
    reasons = sorted(
        (each for each in account.reasons if each.became in MISSING), key=lambda each: -each.events
    )
    told += [
        f"{percent(100.0 * each.events / missing)} of them: {BECAME_WORDS[each.became]}"
        f" ({each.reason.replace('_', ' ')})"
        for each in reasons[:_MOST_CAUSES]
    ]
    money = account.at_risk
    if money.amount:
        about = "about " if money.estimated else ""
        told.append(f"they are worth {about}{money.amount:,.0f} {money.currency}")
    if account.total.became.get(ASSUMED):
        assumed = count_of(account.total.became[ASSUMED], "event")
        told.append(f"{assumed} that the site sent itself count as delivered")
    return tuple(told)


BECAME_WORDS = {
    DELIVERED: "delivered",
    ASSUMED: "assumed delivered",
    WAITING: "waiting",
    DEAD: "given up",
    WITHHELD: "withheld",
    NEVER: "never handed over",
}


def read_lately(
    connection: psycopg.Connection[Any], config: HealthConfig, now: datetime
) -> AccountingReading:
    """The accounting of the last :data:`ACCOUNTING_DAYS`. To be called as the one of a window."""
    since = full_hour(now - timedelta(days=ACCOUNTING_DAYS))
    return read_accounting(connection, config, since, now)


def read_delivery_rate(
    connection: psycopg.Connection[Any], config: HealthConfig, now: datetime
) -> DeliveryRateReading:
    """The share of the last hours. To be called within
    :func:`~tracking_pipeline.store.database.one_moment`."""
    hours = config.accounting.rate_window_hours
    minimum = config.thresholds["delivery_rate"].minimum_events
    until = full_hour(now - SETTLED_AFTER)
    since = until - timedelta(hours=hours)
    progress = read_progress(connection, DELIVERY)
    if progress.rule is None or any(since <= each < until for each in progress.stale_hours):
        return DeliveryRateReading(hours, minimum)
    found = read_accounting(connection, config, since, until)
    return DeliveryRateReading(
        hours, minimum, found.destinations, read_setting_changes(connection, since, now)
    )
