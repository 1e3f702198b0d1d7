"""What several sources together say of an address."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.geo.place import Place
from tracking_pipeline.geo.provider import (
    NO_PLACE,
    NOWHERE,
    AddressFinding,
    Answer,
    AskLater,
    Inquiry,
    Located,
    next_ask,
)

ADDRESS = "8.8.8.8"
MIAMI, ONLY_FLORIDA, ONLY_US = (
    Place("Miami", "Florida", "FL", "33130", "US"),
    Place(state="Florida", state_code="FL", country="US"),
    Place(country="US"),
)


@dataclass
class Source:
    """A source that knows what a test says, and remembers what it was asked."""

    name: str
    answers: Mapping[str, Answer]
    asked: list[str] = field(default_factory=list)

    @property
    def source(self) -> str:
        return f"{self.name} 2026-11"

    async def locate(self, addresses: Sequence[str]) -> dict[str, Answer]:
        self.asked += addresses
        return {each: self.answers[each] for each in addresses if each in self.answers}


def finding(*answers: Answer | None, attempts: int = 0) -> AddressFinding:
    """What comes of the address when sources answer so, one after the other; None: not asked."""
    inquiry = Inquiry([ADDRESS])
    sources = [
        Source(f"s{number}", {} if answer is None else {ADDRESS: answer})
        for number, answer in enumerate(answers)
    ]
    asyncio.run(inquiry.ask(sources))
    return inquiry.finding(ADDRESS, attempts)


def test_what_one_source_says_of_the_address_holds_whoever_knows_the_place() -> None:
    in_the_us = Located(Place(country="US"), hosting=True)
    for answers in ((in_the_us, Located(MIAMI)), (Located(Place(state="Florida")), in_the_us)):
        assert finding(*answers).hosting
    assert finding(Located(MIAMI)).or_else(finding(in_the_us)).hosting is False


def test_the_first_source_that_knows_the_city_settles_it() -> None:
    second = Source("second", {ADDRESS: Located(MIAMI)})
    inquiry = Inquiry([ADDRESS, "1.1.1.1"])
    asyncio.run(inquiry.ask([Source("first", {ADDRESS: Located(MIAMI, hosting=True)}), second]))
    found = inquiry.finding(ADDRESS, 0)
    assert (found.status, found.place, found.source) == ("ok", MIAMI, "first 2026-11")
    assert found.hosting
    assert second.asked == ["1.1.1.1"]


@pytest.mark.parametrize(
    ("answers", "place", "source"),
    [
        ((Located(ONLY_US), Located(ONLY_FLORIDA)), ONLY_FLORIDA, "s1 2026-11"),
        ((Located(ONLY_FLORIDA), Located(ONLY_US)), ONLY_FLORIDA, "s0 2026-11"),
        ((Located(ONLY_US), NOWHERE), ONLY_US, "s0 2026-11"),
        ((NOWHERE, Located(MIAMI)), MIAMI, "s1 2026-11"),
    ],
)
def test_the_most_precise_place_is_kept_whole(
    answers: tuple[Answer, ...], place: Place, source: str
) -> None:
    found = finding(*answers)
    assert (found.status, found.place, found.source) == ("ok", place, source)


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ((), None),
        ((None,), None),
        ((NOWHERE,), "no_data"),
        ((AskLater("down"),), "error"),
        ((AskLater("used up", 60.0),), "rate_limited"),
        ((AskLater("down"), NOWHERE), "error"),
        ((None, NOWHERE), "rate_limited"),
        ((NOWHERE, None), "rate_limited"),
        ((Located(ONLY_US), AskLater("down")), "error"),
        ((AskLater("down"), Located(MIAMI)), "ok"),
    ],
)
def test_a_source_that_could_not_say_leaves_the_question_open(
    answers: tuple[Answer | None, ...], status: str | None
) -> None:
    assert finding(*answers).status == status


_answers = st.lists(
    st.none()
    | st.just(NOWHERE)
    | st.sampled_from([MIAMI, ONLY_FLORIDA, ONLY_US]).map(Located)
    | st.builds(AskLater, st.just("x"), st.none() | st.floats(1, 9_000)),
    max_size=4,
)


@given(_answers, st.integers(0, 9))
def test_a_wait_is_noted_only_for_what_is_asked_again(
    answers: list[Answer | None], attempts: int
) -> None:
    found = finding(*answers, attempts=attempts)
    if found.status in ("rate_limited", "error"):
        wait = next_ask(attempts + 1)
        assert found.attempts == attempts + 1
        assert (found.wait_seconds is None) == (wait is None)
        assert wait is None or (found.wait_seconds or 0) >= wait.total_seconds()
    else:
        assert (found.attempts, found.wait_seconds) == (0, None)
    assert (found.status == "ok") <= (found.place != NO_PLACE)
    assert (found.source is None) == (found.place == NO_PLACE)


def test_a_lesser_place_stands_in_where_there_is_none() -> None:
    lesser = AddressFinding("ok", ONLY_US, "mmdb")
    assert AddressFinding("no_data").or_else(lesser) == lesser
    waiting = AddressFinding("error", attempts=2, wait_seconds=600.0)
    assert waiting.or_else(lesser).status == "error"
    assert waiting.or_else(lesser).place == ONLY_US
    full = AddressFinding("ok", MIAMI, "ip_api")
    assert full.or_else(lesser) == full


def test_an_address_is_asked_again_five_times_with_growing_waits() -> None:
    waits = [next_ask(attempts) for attempts in range(1, 7)]
    assert waits == [*(timedelta(minutes=minutes) for minutes in (5, 10, 20, 40, 80)), None]


def test_no_wait_is_longer_than_two_hours_however_often_it_was_asked() -> None:
    assert all((next_ask(attempts) or timedelta()) <= timedelta(hours=2) for attempts in (5, 99))


def test_what_was_never_looked_up_has_no_wait() -> None:
    with pytest.raises(ValueError, match="never looked up"):
        next_ask(0)
