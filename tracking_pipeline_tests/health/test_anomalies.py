"""What is found in a site's hours, and what is not: series with known truth."""

from __future__ import annotations

import math
import random
from datetime import datetime, timezone

import pytest

from tracking_pipeline.health.emq.keys import mask_of
from tracking_pipeline.health.readings.anomalies import (
    COVERAGE_HOURS,
    HISTORY_HOURS,
    HOUR,
    find_consent,
    find_destinations,
    find_keys,
    find_volume,
)
from tracking_pipeline.health.readings.causes import contributing_segments, failure_causes

# A Tuesday, 16:00 UTC.
NOW = datetime(2026, 3, 10, 16, tzinfo=timezone.utc)
BY_HOUR = [
    *(0.1, 0.1, 0.05, 0.05, 0.05, 0.1, 0.2, 0.5, 0.9, 1.2, 1.4, 1.5),
    *(1.5, 1.5, 1.5, 1.5, 1.4, 1.4, 1.5, 1.6, 1.7, 1.4, 0.9, 0.4),
]


def site(seed: int = 1, **rates: float) -> dict[str, list[int]]:
    """Four weeks and a day of events: so many in a usual hour, fewer at night and at weekends,
    each day a little better or worse."""
    dice = random.Random(seed)
    hours = [NOW - HOUR * ago for ago in range(HISTORY_HOURS, 0, -1)]
    days = {hour.date(): math.exp(dice.gauss(0, 0.1)) for hour in hours}
    counts = {}
    for name, rate in rates.items():
        counts[name] = []
        for hour in hours:
            weekend = 0.7 if hour.weekday() > 4 else 1.0
            mean = rate * BY_HOUR[hour.hour] * weekend * days[hour.date()]
            counts[name].append(max(0, round(dice.gauss(mean, math.sqrt(mean)))))
    return counts


def scaled(counts: list[int], by: float, first: int, last: int = 0) -> list[int]:
    """The counts with the hours from ``first`` to ``last`` hours ago times ``by``."""
    end = len(counts) - last
    return [
        round(count * by) if len(counts) - first <= place < end else count
        for place, count in enumerate(counts)
    ]


def found(counts: dict[str, list[int]]) -> list[tuple[str, str | None]]:
    return [(each.kind, each.name) for each in find_volume(counts, NOW)]


@pytest.mark.parametrize("hours", [2, 3, 10, 40])
def test_a_name_that_falls_silent_is_found_and_since_when(hours: int) -> None:
    counts = site(lead=40, purchase=20)
    counts["purchase"] = scaled(counts["purchase"], 0, hours)
    (finding,) = find_volume(counts, NOW)
    assert (finding.kind, finding.name) == ("silence", "purchase")
    assert abs(finding.since - (NOW - hours * HOUR)) <= 3 * HOUR
    assert finding.events < 0.1 * finding.expected


def test_a_rare_name_is_found_within_a_day() -> None:
    counts = site(lead=40, booking=2)
    counts["booking"] = scaled(counts["booking"], 0, 24)
    assert found(counts) == [("silence", "booking")]


def test_what_is_silent_at_once_is_one_finding() -> None:
    counts = {name: scaled(each, 0, 3) for name, each in site(lead=40, purchase=20).items()}
    assert found(counts) == [("silence", None)]


def test_a_tag_that_fires_many_times_is_a_surge() -> None:
    counts = site(lead=40, purchase=20)
    counts["purchase"] = scaled(counts["purchase"], 8, 3)
    assert found(counts) == [("surge", "purchase")]


@pytest.mark.parametrize("rates", [{"lead": 40.0}, {"lead": 40.0, "purchase": 20.0, "call": 5.0}])
@pytest.mark.parametrize(
    ("by", "first", "last"),
    [
        pytest.param(0.3, 24, 0, id="a holiday today"),
        pytest.param(0.0, 7 * 24 + 24, 7 * 24, id="an outage a week ago"),
        pytest.param(6.0, 7 * 24 + 24, 7 * 24, id="a campaign a week ago"),
        pytest.param(2.5, 24, 0, id="a campaign today"),
        pytest.param(0.0, 1, 0, id="a deploy that took an hour"),
        pytest.param(1.5, 200, 0, id="growth"),
    ],
)
def test_the_innocent_are_left_alone(
    rates: dict[str, float], by: float, first: int, last: int
) -> None:
    counts = {name: scaled(each, by, first, last) for name, each in site(**rates).items()}
    assert found(counts) == []


def test_with_few_events_or_little_history_nothing_is_said() -> None:
    few = site(lead=0.3)
    few["lead"] = scaled(few["lead"], 0, 24)
    assert found(few) == []
    young = {"lead": [0] * (HISTORY_HOURS - 200) + site(lead=40)["lead"][-200:]}
    young["lead"] = scaled(young["lead"], 0, 5)
    assert found(young) == []


FULL, LESS = mask_of(["em", "ph", "fbp"]), mask_of(["em", "fbp"])


def keys(lost_hours: int, an_hour: int = 20, share: float = 0.6) -> dict[str, dict]:  # type: ignore[type-arg]
    """A form whose events carry a phone by ``share``, and none since so many hours."""
    dice = random.Random(2)
    by_hour = {}
    for ago in range(1, COVERAGE_HOURS + 1):
        usual = 0.03 if ago <= lost_hours else share
        with_phone = sum(dice.random() < usual for _ in range(an_hour))
        by_hour[NOW - ago * HOUR] = {FULL: with_phone, LESS: an_hour - with_phone}
    return {"lead_captured": by_hour}


@pytest.mark.parametrize("hours", [3, 8, 20])
def test_a_form_that_loses_a_field_is_found_and_when(hours: int) -> None:
    (finding,) = find_keys(keys(hours), NOW)
    assert (finding.name, finding.key) == ("lead_captured", "ph")
    assert abs(finding.since - (NOW - hours * HOUR)) <= HOUR
    assert finding.fall.before_percent == pytest.approx(60, abs=5)
    assert finding.fall.percent < 10
    when = f"{finding.since:%Y-%m-%d %H:%M}"
    assert finding.words.startswith("phone fell from 6")
    assert finding.words.endswith(f"at {when} UTC on lead_captured")


@pytest.mark.parametrize(
    "masks",
    [
        pytest.param(keys(0), id="nothing happened"),
        pytest.param(keys(1, an_hour=40), id="too few events since"),
        pytest.param(keys(24 * 9, share=0.1), id="it has always been so"),
        pytest.param(keys(5, share=0.15), id="a fall of a few points"),
        pytest.param({}, id="no events"),
    ],
)
def test_a_key_that_did_not_fall_is_not_found(masks: dict) -> None:  # type: ignore[type-arg]
    assert find_keys(masks, NOW) == []


def destinations(counts: dict[str, list[int]], **to: set[str]) -> dict[str, dict[str, list[int]]]:
    """All events of these names are handed over to each destination."""
    return {each: {name: counts[name] for name in names} for each, names in to.items()}


def found_destinations(
    handed_over: dict[str, dict[str, list[int]]], counts: dict[str, list[int]]
) -> list[tuple[str, str | None]]:
    return [(e.kind, e.destination) for e in find_destinations(handed_over, counts, NOW)]


def test_a_destination_that_is_handed_nothing_while_events_come_is_found() -> None:
    counts = site(lead=40, purchase=20)
    both = destinations(counts, meta_capi={"lead", "purchase"}, google_ec={"purchase"})
    both["google_ec"]["purchase"] = scaled(counts["purchase"], 0, 5)
    (finding,) = find_destinations(both, counts, NOW)
    assert (finding.kind, finding.destination) == ("silence", "google_ec")
    assert abs(finding.since - (NOW - 5 * HOUR)) <= 3 * HOUR
    assert finding.words.startswith("Google enhanced conversions: 0 conversions handed over since")


def test_destinations_that_go_silent_together_are_one_finding() -> None:
    counts = site(lead=40, purchase=20)
    gone = {name: scaled(each, 0, 4) for name, each in counts.items()}
    names = {"lead", "purchase"}
    silent = destinations(gone, meta_capi=names, google_ec=names)
    assert found_destinations(silent, counts) == [("silence", None)]


@pytest.mark.parametrize("gone", [{"lead", "purchase"}, {"purchase"}])
def test_events_that_stop_are_no_finding_of_their_destinations(gone: set[str]) -> None:
    """What is silent is told of once: the site, or the name."""
    counts = {
        name: scaled(each, 0, 6) if name in gone else each
        for name, each in site(lead=40, purchase=20).items()
    }
    to = destinations(counts, meta_capi={"lead", "purchase"}, google_ec={"purchase"})
    assert found_destinations(to, counts) == []
    assert len(find_volume(counts, NOW)) == 1


def test_a_destination_that_is_handed_what_was_withheld_before_surges() -> None:
    counts = site(lead=40, purchase=20)
    to = {"meta_capi": {"lead": scaled(scaled(counts["lead"], 0.1, HISTORY_HOURS, 6), 1, 6)}}
    assert found_destinations(to, counts) == [("surge", "meta_capi")]


def said(*names: str, lost_hours: int, granted: float = 0.6) -> dict:  # type: ignore[type-arg]
    """Events of which so many granted consent, and one in twenty-five since so many hours."""
    hours = {
        NOW - ago * HOUR: (0.04 if ago <= lost_hours else granted)
        for ago in range(1, COVERAGE_HOURS + 1)
    }
    return {
        name: {
            hour: {"granted": round(25 * share), "refused": 25 - round(25 * share)}
            for hour, share in hours.items()
        }
        for name in names
    }


def test_consent_that_falls_is_one_finding_for_all_names_it_fell_on() -> None:
    (finding,) = find_consent(said("lead", "purchase", lost_hours=5), NOW)
    assert finding.names == ("lead", "purchase")
    assert finding.since == NOW - 5 * HOUR
    when = f"{finding.since:%Y-%m-%d %H:%M}"
    assert finding.words == (
        f"consent granted fell from 60 % to 4 % at {when} UTC on lead and 1 more"
    )


def test_consent_that_falls_at_another_time_is_another_finding() -> None:
    found = find_consent({**said("lead", lost_hours=5), **said("purchase", lost_hours=9)}, NOW)
    assert {each.names for each in found} == {("lead",), ("purchase",)}


@pytest.mark.parametrize(("lost_hours", "granted"), [(0, 0.6), (1, 0.6), (5, 0.2)])
def test_consent_that_hardly_changed_or_on_few_events_is_no_finding(
    lost_hours: int, granted: float
) -> None:
    assert find_consent(said("lead", lost_hours=lost_hours, granted=granted), NOW) == []


def test_the_segment_that_explains_most_beyond_its_size_comes_first() -> None:
    before = {
        ("page path", "/quote"): 40.0,
        ("page path", "/"): 60.0,
        ("source tool", "web"): 100.0,
    }
    now = {("page path", "/quote"): 1.0, ("page path", "/"): 58.0, ("source tool", "web"): 59.0}
    (segment,) = contributing_segments(before, now)
    assert segment.words == "95 % of it from the page path /quote"
    halved = {segment: number / 2 for segment, number in before.items()}
    assert contributing_segments(before, halved) == []
    risen = {**before, ("page path", "/bot"): 900.0}
    assert [each.value for each in contributing_segments(before, risen, surge=True)] == ["/bot"]


def test_a_failure_is_the_cause_when_half_of_the_events_ended_in_it() -> None:
    codes = {"META_TOKEN_EXPIRED": 30, "HTTP_500": 20}
    assert failure_causes(codes, 60) == ("30 of 60 failed with META_TOKEN_EXPIRED",)
    assert failure_causes(codes, 61) == failure_causes({}, 9) == ()
