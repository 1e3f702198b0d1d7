"""How often silence and surge are found, how soon, and how often for nothing.

    python -m benchmarks.anomalies [--sites N] [--days N]

Made-up sites with known truth. Their events come by hour of day and by weekday, each day of the
site better or worse by a tenth or so and each hour of a name by 15 %, Poisson on top. Pure and
seeded: the figures are those of the method, and the same on every machine.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from statistics import median

from tracking_pipeline.health.readings.anomalies import (
    HISTORY_HOURS,
    HOUR,
    LEAST_EXPECTED,
    VolumeFinding,
    find_volume,
)

BY_HOUR = (
    *(0.1, 0.06, 0.04, 0.03, 0.03, 0.06, 0.2, 0.5, 0.9, 1.2, 1.4, 1.5),
    *(1.5, 1.5, 1.5, 1.5, 1.4, 1.4, 1.5, 1.6, 1.7, 1.4, 0.9, 0.4),
)
BEGIN = datetime(2026, 1, 5, tzinfo=timezone.utc)  # a Monday
SITES: tuple[dict[str, float], ...] = (
    {"lead": 3},
    {"lead": 20, "booking": 5},
    {"lead": 200, "purchase": 40, "call": 4},
)
# From 10:00 on, when there are events to miss; looked at for a day.
INCIDENT_HOURS = 24
BEGINS_AT = 10
Counts = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Incident:
    """What happens to a site. ``names`` of it (None: all) have ``times`` their events for so many
    ``hours``. ``finding``: the kind that must be found, None: it must not be."""

    title: str
    finding: str | None
    times: float
    hours: int
    all_names: bool
    earlier_hours: int = 0


INCIDENTS = (
    Incident("a form stops sending", "silence", 0.0, 24, False),
    Incident("a form loses nine in ten", "silence", 0.1, 24, False),
    Incident("the site stops sending", "silence", 0.0, 24, True),
    Incident("a tag fires eight times", "surge", 8.0, 24, False),
    Incident("a holiday (a third comes)", None, 0.33, 24, True),
    Incident("a campaign (twice and a half)", None, 2.5, 24, True),
    Incident("a deploy takes an hour", None, 0.0, 1, True),
    Incident("an outage a week ago", None, 0.0, 24, True, earlier_hours=7 * 24),
    Incident("nothing", None, 1.0, 24, True),
)


def make_site(dice: random.Random, rates: dict[str, float], hours: int) -> Counts:
    """The events of so many hours, by name."""
    days = [math.exp(dice.gauss(0, 0.1)) for _ in range(hours // 24 + 1)]
    return {
        name: [
            _poisson(
                dice,
                rate
                * BY_HOUR[hour % 24]
                * (0.7 if hour // 24 % 7 > 4 else 1.0)
                * days[hour // 24]
                * math.exp(dice.gauss(0, 0.15)),
            )
            for hour in range(hours)
        ]
        for name, rate in rates.items()
    }


def _poisson(dice: random.Random, mean: float) -> int:
    if mean > 50:
        return max(0, round(dice.gauss(mean, math.sqrt(mean))))
    events, left = 0, dice.random()
    while left > math.exp(-mean):
        events, left = events + 1, left * dice.random()
    return events


def befall(site: Counts, incident: Incident, name: str, begin: int) -> Counts:
    """The site with the incident, from hour ``begin`` on."""
    first = begin - incident.earlier_hours
    return {
        each: [
            round(count * incident.times)
            if (incident.all_names or each == name) and first <= hour < first + incident.hours
            else count
            for hour, count in enumerate(counts)
        ]
        for each, counts in site.items()
    }


def look(site: Counts, end: int) -> list[VolumeFinding]:
    """What a check finds when ``end`` hours have passed."""
    recent = {name: counts[end - HISTORY_HOURS : end] for name, counts in site.items()}
    return find_volume(recent, BEGIN + end * HOUR)


@dataclass
class Tally:
    sites: int = 0
    found: int = 0
    wrong: int = 0
    hours: list[int] | None = None


def run_incidents(sites: int) -> Iterator[tuple[Incident, Tally]]:
    """Each incident on so many sites of each kind. ``wrong``: sites with a finding of another kind
    or name than the incident is about."""
    begin = (HISTORY_HOURS // 24 + 1) * 24 + BEGINS_AT
    for incident in INCIDENTS:
        tally = Tally(hours=[])
        for seed in range(sites):
            for rates in SITES:
                dice = random.Random(seed)
                name = next(iter(rates))
                site = befall(make_site(dice, rates, begin + INCIDENT_HOURS), incident, name, begin)
                _judge(site, incident, name, begin, tally)
        yield incident, tally


def _judge(site: Counts, incident: Incident, name: str, begin: int, tally: Tally) -> None:
    tally.sites += 1
    # Of a site with one name, that name is all of it.
    right = {(incident.finding, None if incident.all_names else name)}
    if len(site) == 1:
        right |= {(incident.finding, name), (incident.finding, None)}
    first, wrong = None, False
    for after in range(1, INCIDENT_HOURS + 1, 1 if incident.finding else 3):
        found = {(each.kind, each.name) for each in look(site, begin + after)}
        wrong = wrong or bool(found - right) or (incident.finding is None and bool(found))
        if incident.finding and found & right:
            first = after
            break
    if first is not None and tally.hours is not None:
        tally.found += 1
        tally.hours.append(first)
    tally.wrong += wrong


def false_alarms(days: int, rates: dict[str, float]) -> tuple[int, int]:
    """Episodes, and days looked at, hour by hour, of a site to which nothing happens."""
    dice = random.Random(7)
    site = make_site(dice, rates, HISTORY_HOURS + days * 24)
    episodes, is_on = 0, False
    for end in range(HISTORY_HOURS, HISTORY_HOURS + days * 24):
        found = bool(look(site, end))
        episodes, is_on = episodes + (found and not is_on), found
    return episodes, days


def main(write: Callable[[str], object] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=10, help="of each of three kinds")
    parser.add_argument("--days", type=int, default=60, help="without an incident, of each kind")
    options = parser.parse_args()
    write("| incident | to be found | found | wrong | hours until found (median, most) |")
    write("|---|---|---|---|---|")
    right = wrong = due = 0
    for incident, tally in run_incidents(options.sites):
        hours = tally.hours or []
        when = f"{median(hours):.0f}, {max(hours)}" if hours else ""
        expected = incident.finding or "nothing"
        write(
            f"| {incident.title} | {expected} | {tally.found} of {tally.sites} | {tally.wrong} |"
            f" {when} |"
        )
        wrong += tally.wrong
        if incident.finding:
            right, due = right + tally.found, due + tally.sites
    write("")
    write(f"precision {right / max(right + wrong, 1):.3f}, recall {right / max(due, 1):.3f}")
    write("")
    write(f"False alarms (at least {LEAST_EXPECTED:.0f} events expected, looked at each hour):")
    for rates in SITES:
        episodes, days = false_alarms(options.days, rates)
        write(f"- {rates}: {episodes} in {days} days")


if __name__ == "__main__":
    main()
