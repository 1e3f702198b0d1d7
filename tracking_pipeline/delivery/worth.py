"""What conversions are worth, in the site's own currency: their own values, and where they have
none, the median value of their event name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import psycopg

from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline.store.delivery_accounting import read_median_values

_MEDIAN_DAYS = 28
HIGHEST_VALUE = 1e12
"""No order comes to more, in any currency. A higher number is a slip of the site's, and would
drown the sum of all others, or overflow it."""


@dataclass(frozen=True, slots=True)
class EventsWorth:
    """What conversions are worth: ``amount`` in the site's own ``currency``, of which for
    ``estimated`` events the median value of their name was taken; ``other`` currencies' amounts;
    ``unpriced`` events, of whose names nobody knows a value."""

    amount: float = 0.0
    currency: str = ""
    estimated: int = 0
    unpriced: int = 0
    other: Mapping[str, float] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The same in words; empty where nobody knows."""
        parts = []
        if self.amount or self.estimated:
            about = "about " if self.estimated else ""
            parts.append(f"{about}{self.amount:,.2f} {self.currency}")
        parts += [f"{amount:,.2f} {currency}" for currency, amount in self.other.items()]
        if parts and self.unpriced:
            parts.append(f"{self.unpriced:,} without a value")
        return " + ".join(parts)


class Valued(Protocol):
    """So many events of one name that state this ``value`` together in ``currency``; empty: they
    state none."""

    @property
    def event_name(self) -> str: ...

    @property
    def currency(self) -> str: ...

    @property
    def events(self) -> int: ...

    @property
    def value(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Amount:
    """As :class:`Valued`."""

    event_name: str
    currency: str = ""
    events: int = 1
    value: float = 0.0


def stated_value(conversion: Conversion, unnamed_currency: str) -> tuple[float, str]:
    """The value that a conversion states, and its currency; 0 and no currency where it states none
    above 0 that can be one. ``unnamed_currency`` is that of a value that names none."""
    if conversion.value is None or not 0 < conversion.value <= HIGHEST_VALUE:
        return 0.0, ""
    return conversion.value, conversion.currency or unnamed_currency


@dataclass(frozen=True, slots=True)
class Prices:
    """What a conversion is worth where it does not say: the median of its name, by (event name,
    currency), and else ``otherwise``. ``currency`` is the site's own: that of most values;
    ``unnamed_currency`` that of a value that names none."""

    currency: str = ""
    medians: Mapping[tuple[str, str], float] = field(default_factory=dict)
    otherwise: float | None = None
    unnamed_currency: str = ""

    @classmethod
    def of(
        cls,
        medians: Iterable[tuple[str, str, float, int]],
        *,
        currency: str,
        otherwise: float | None,
    ) -> Prices:
        """The prices of these medians (event name, currency, median, events). ``otherwise`` is in
        ``currency``, which is the site's own where no conversion has a value."""
        found = list(medians)
        events: Counter[str] = Counter()
        for _, each, _, count in found:
            events[each] += count
        own = max(events, key=lambda each: (events[each], each == currency), default=currency)
        return cls(
            own,
            {(name, each): median for name, each, median, _ in found},
            otherwise if own == currency else None,
            currency,
        )

    def price(self, event_name: str) -> float | None:
        """What an event of this name is worth, in the site's own currency; None: nobody knows."""
        return self.medians.get((event_name, self.currency), self.otherwise)

    def rank(self, event: Valued) -> float:
        """By how much an event comes before others: its value in the site's own currency. One in
        another currency counts as what its name is worth: nobody knows an exchange rate here."""
        if event.currency and event.currency == self.currency:
            return event.value
        return self.price(event.event_name) or 0.0

    def worth(self, events: Iterable[Valued]) -> EventsWorth:
        """What these events are worth together."""
        amounts: defaultdict[str, float] = defaultdict(float)
        estimated = unpriced = 0
        for each in events:
            if each.currency:
                amounts[each.currency] += each.value
                continue
            price = self.price(each.event_name)
            if price is None:
                unpriced += each.events
            else:
                amounts[self.currency] += price * each.events
                estimated += each.events
        amount = amounts.pop(self.currency, 0.0)
        other = {currency: round(value, 2) for currency, value in sorted(amounts.items())}
        return EventsWorth(round(amount, 2), self.currency, estimated, unpriced, other)


def read_prices(
    connection: psycopg.Connection[Any],
    until: datetime,
    *,
    currency: str,
    otherwise: float | None,
) -> Prices:
    """The prices of the weeks before ``until``, as :meth:`Prices.of`."""
    medians = read_median_values(connection, until - timedelta(days=_MEDIAN_DAYS), until)
    return Prices.of(medians, currency=currency, otherwise=otherwise)
