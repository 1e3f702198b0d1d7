"""How often silence and surge are found in public series, and how often for nothing.

    git clone --depth 1 https://github.com/numenta/NAB FOLDER
    python -m benchmarks.anomalies_nab FOLDER [--every HOURS]

The series of the Numenta Anomaly Benchmark that count things by the time of day, summed up by the
hour: mentions of ten companies on Twitter, as one site of ten event names and each as a site of its
own; and taxi rides in New York. They are looked at after each hour, as they are, then with
incidents: from an hour on, a series has nothing, a tenth, or eight times as much for a day.

As they are: an episode is right where it begins within a window that NAB labels, or within a day
after it began. NAB labels far smaller changes than this method is to tell of, so few windows are
found by design; what counts is that little is told of without a window.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median

from benchmarks.anomalies import INCIDENT_HOURS
from tracking_pipeline.health.readings.anomalies import HISTORY_HOURS, HOUR, Kind, find_volume

TWEETS = "realTweets/Twitter_volume_{}.csv"
COMPANIES = ("AAPL", "AMZN", "CRM", "CVS", "FB", "GOOG", "IBM", "KO", "PFE", "UPS")
TAXI = "realKnownCause/nyc_taxi.csv"
INCIDENTS: tuple[tuple[str, Kind, float], ...] = (
    ("nothing comes", "silence", 0.0),
    ("a tenth comes", "silence", 0.1),
    ("eight times as much comes", "surge", 8.0),
)
Window = tuple[datetime, datetime]


@dataclass(frozen=True)
class Site:
    """Series by name, of the hours from ``begin`` on, and NAB's ``windows`` in them, by name."""

    title: str
    begin: datetime
    counts: dict[str, list[int]]
    windows: dict[str, list[Window]]

    @property
    def hours(self) -> int:
        return len(next(iter(self.counts.values())))

    def found(self, end: int, counts: dict[str, list[int]]) -> set[tuple[Kind, str | None]]:
        """What a check finds when ``end`` hours have passed."""
        recent = {name: each[end - HISTORY_HOURS : end] for name, each in counts.items()}
        return {(each.kind, each.name) for each in find_volume(recent, self.begin + end * HOUR)}


def read_sites(folder: Path) -> list[Site]:
    """The ten companies as one site, each alone, and the taxis."""
    labels = json.loads((folder / "labels/combined_windows.json").read_text())
    files = {company: TWEETS.format(company) for company in COMPANIES}
    return [
        _site("ten companies on Twitter", folder, files, labels),
        *(_site(f"{name} alone", folder, {name: path}, labels) for name, path in files.items()),
        _site("taxi rides", folder, {"rides": TAXI}, labels),
    ]


def _site(
    title: str, folder: Path, files: dict[str, str], labels: dict[str, list[list[str]]]
) -> Site:
    hourly = {name: _by_hour(folder / "data" / path) for name, path in files.items()}
    begin = max(min(each) for each in hourly.values())
    hours = int((min(max(each) for each in hourly.values()) - begin) / HOUR)
    return Site(
        title,
        begin,
        {
            name: [each.get(begin + at * HOUR, 0) for at in range(hours)]
            for name, each in hourly.items()
        },
        {name: [(_moment(a), _moment(b)) for a, b in labels[path]] for name, path in files.items()},
    )


def _by_hour(path: Path) -> dict[datetime, int]:
    hours: defaultdict[datetime, int] = defaultdict(int)
    with path.open() as lines:
        for row in csv.DictReader(lines):
            moment = _moment(row["timestamp"])
            hours[moment.replace(minute=0, second=0)] += int(float(row["value"]))
    return hours


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@dataclass
class Tally:
    """``right`` and ``wrong`` episodes of so many ``hours``; ``found`` of ``windows``."""

    hours: int = 0
    right: int = 0
    wrong: int = 0
    found: int = 0
    windows: int = 0


def as_they_are(site: Site) -> Tally:
    """Episodes by name, each from the hour in which it is first found to the last in a row."""
    begun: dict[tuple[Kind, str | None], list[datetime]] = defaultdict(list)
    before: set[tuple[Kind, str | None]] = set()
    for end in range(HISTORY_HOURS, site.hours):
        found = site.found(end, site.counts)
        for each in found - before:
            begun[each].append(site.begin + end * HOUR)
        before = found
    first = site.begin + HISTORY_HOURS * HOUR
    windows = {
        (name, window)
        for name, each in site.windows.items()
        for window in each
        if window[1] > first
    }
    hit: set[tuple[str, Window]] = set()
    tally = Tally(site.hours - HISTORY_HOURS, windows=len(windows))
    for (_, name), moments in begun.items():
        for moment in moments:
            matched = {
                (of, window)
                for of, window in windows
                if name in (None, of) and window[0] <= moment <= window[1] + timedelta(days=1)
            }
            hit |= matched
            tally.right += bool(matched)
            tally.wrong += not matched
    tally.found = len(hit)
    return tally


def with_incidents(site: Site, times: float, kind: Kind, every: int) -> Iterator[int | None]:
    """The hours until each incident is found, None: it was not. One begins every so many hours, at
    each series in turn."""
    names = list(site.counts)
    starts = range(HISTORY_HOURS + 1, site.hours - INCIDENT_HOURS, every)
    for number, start in enumerate(starts):
        name = names[number % len(names)]
        # Where too little comes in a day, there is no verdict, and nothing to be found.
        if sum(site.counts[name][start : start + INCIDENT_HOURS]) < 100:
            continue
        counts = {
            **site.counts,
            name: [
                round(count * times) if start <= at < start + INCIDENT_HOURS else count
                for at, count in enumerate(site.counts[name])
            ],
        }
        wanted = {(kind, name)} | ({(kind, None)} if len(names) == 1 else set())
        yield next(
            (
                after
                for after in range(1, INCIDENT_HOURS + 1)
                if site.found(start + after, counts) & wanted
            ),
            None,
        )


def add_up(tallies: Iterable[Tally]) -> Tally:
    """The sum of several."""
    total = Tally()
    for each in tallies:
        total.hours += each.hours
        total.right += each.right
        total.wrong += each.wrong
        total.found += each.found
        total.windows += each.windows
    return total


def main(write: Callable[[str], object] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a clone of https://github.com/numenta/NAB")
    parser.add_argument("--every", type=int, default=31, help="hours from incident to incident")
    options = parser.parse_args()
    sites = read_sites(options.folder)
    groups = {
        sites[0].title: sites[:1],
        "each company alone": sites[1:-1],
        sites[-1].title: sites[-1:],
    }
    write("| series | days | episodes in NAB's windows | outside | windows found |")
    write("|---|---|---|---|---|")
    for title, group in groups.items():
        each = add_up(map(as_they_are, group))
        write(
            f"| {title} | {each.hours / 24:.0f} | {each.right} | {each.wrong} |"
            f" {each.found} of {each.windows} |"
        )
    write("")
    write("| series | incident | found within a day | hours until found (median, most) |")
    write("|---|---|---|---|")
    for title, group in groups.items():
        for incident, kind, times in INCIDENTS:
            hours = [
                each for site in group for each in with_incidents(site, times, kind, options.every)
            ]
            found = [each for each in hours if each is not None]
            when = f"{median(found):.0f}, {max(found)}" if found else ""
            write(f"| {title} | {incident} | {len(found)} of {len(hours)} | {when} |")


if __name__ == "__main__":
    main()
