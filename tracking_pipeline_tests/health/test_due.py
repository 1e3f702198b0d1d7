"""Which messages an alert owes, on made-up series."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.health.alerts.due import due_digest, due_message
from tracking_pipeline.health.alerts.rules import acknowledged, adopt, closed, silenced
from tracking_pipeline.health.config import AlertRules, NotificationRules
from tracking_pipeline.health.readings.causes import DeadLetterBatch
from tracking_pipeline_tests.health.series import EVERY, RESULTS, START, Watch


@pytest.mark.parametrize(
    ("series", "told"),
    [
        ("", []),
        ("W", ["started"]),
        ("WWWW", ["started"]),
        ("WC", ["started", "worsened"]),
        ("WCW", ["started", "worsened"]),
        ("WCWWC", ["started", "worsened"]),
        ("CWWW", ["started"]),
        ("W..", ["started", "ended"]),
        ("WC..", ["started", "worsened", "ended"]),
        ("W..W..", ["started", "ended", "started", "ended"]),
    ],
)
def test_a_start_a_worsening_and_an_end_are_told_once_each(series: str, told: list[str]) -> None:
    assert Watch().see(series).told == told


def test_nothing_is_told_before_the_alert_fires() -> None:
    assert Watch(AlertRules(after_checks=3)).see("WW.WW").told == []


def test_a_critical_alert_is_told_again_every_four_hours() -> None:
    # 16 checks are four hours.
    assert Watch().see("C" * 16).told == ["started"]
    assert Watch().see("C" * 17).told == ["started", "reminder"]
    assert Watch().see("C" * 33).told == ["started", "reminder", "reminder"]


def test_a_warning_is_not_told_again() -> None:
    assert Watch().see("W" * 100).told == ["started"]


def test_an_alert_that_somebody_is_on_is_not_told_again() -> None:
    watch = Watch().see("C")
    watch.state = acknowledged(watch.state, watch.now)
    assert watch.see("C" * 40).told == ["started"]
    assert watch.see("..").told == ["started", "ended"]


class TestSilence:
    def silenced(self, series: str) -> Watch:
        watch = Watch()
        watch.state = silenced(watch.state, START + EVERY * (len(series) + 1))
        return watch.see(series)

    def test_nothing_is_told_in_it(self) -> None:
        assert self.silenced("WC" + "C" * 40 + "..").told == []

    def test_what_is_still_true_afterwards_is_told_then(self) -> None:
        watch = self.silenced("WC")
        assert watch.see("C").told == ["started"]
        assert watch.messages[0].severity == "critical"

    def test_a_worsening_is_told_when_it_is_over(self) -> None:
        watch = Watch().see("W")
        watch.state = silenced(watch.state, watch.now + EVERY * 2)
        assert watch.see("C").told == ["started"]
        assert watch.see("C").told == ["started", "worsened"]

    def test_what_ended_in_it_is_never_told(self) -> None:
        watch = self.silenced("C..")
        assert watch.see("...").told == []

    def test_an_end_in_it_is_not_told_even_to_those_who_know_of_the_start(self) -> None:
        watch = Watch().see("C")
        watch.state = silenced(watch.state, watch.now + EVERY * 3)
        assert watch.see("......").told == ["started"]

    def test_a_worsening_that_is_about_to_end_is_not_told(self) -> None:
        watch = Watch().see("W")
        watch.state = silenced(watch.state, watch.now + EVERY * 2)
        assert watch.see("C.").told == ["started"]

    def test_what_is_about_to_end_does_not_begin_to_be_told(self) -> None:
        watch = self.silenced("C")
        assert watch.see("..").told == []


def test_the_end_is_told_only_to_those_who_were_told_of_the_start() -> None:
    assert Watch(state=adopt("critical", START)).see("..").told == []


def test_an_alert_that_was_there_before_and_goes_on_is_told() -> None:
    assert Watch(state=adopt("critical", START)).see("C..").told == ["started", "ended"]


def test_a_new_episode_is_told_though_nobody_asked_about_the_end_of_the_last() -> None:
    watch = Watch().see("C")
    watch.state, _ = closed(watch.state, watch.now)
    assert watch.see("C").told == ["started", "started"]


def test_an_end_by_hand_is_told_too() -> None:
    watch = Watch().see("C")
    watch.state, _ = closed(watch.state, watch.now)
    watch.tell()
    watch.tell()
    assert watch.told == ["started", "ended"]


def test_a_reminder_is_not_late_by_as_much_as_the_clock_went_back() -> None:
    watch = Watch().see("C")
    watch.now -= timedelta(days=30)
    assert watch.see("C" * 17).told == ["started", "reminder"]


def test_keys_name_alert_episode_and_kind() -> None:
    keys = [each.dedupe_key for each in Watch().see("WC" + "C" * 16 + "..").messages]
    fired, worse = (START + EVERY).isoformat(), (START + 2 * EVERY).isoformat()
    assert keys == [
        f"emq_critical/{fired}/started",
        f"emq_critical/{fired}/worsened",
        f"emq_critical/{fired}/reminder/{worse}",
        f"emq_critical/{fired}/ended",
    ]


SERIES = st.text(alphabet=st.sampled_from(sorted(RESULTS)), max_size=80)


@given(SERIES, st.sets(st.integers(0, 79)), st.sets(st.integers(0, 79)))
def test_every_episode_that_was_told_ends_in_at_most_one_message(
    series: str, silences: set[int], resolutions: set[int]
) -> None:
    watch = Watch()
    for place, letter in enumerate(series):
        if place in silences:
            watch.state = silenced(watch.state, watch.now + 3 * EVERY)
        if place in resolutions:
            watch.state, _ = closed(watch.state, watch.now)
            watch.tell()
        watch.see(letter)
    keys = [each.dedupe_key for each in watch.messages]
    assert len(set(keys)) == len(keys)
    open_episode = None
    for key in keys:
        _, episode, kind, *_ = key.split("/")
        if kind == "started":
            assert open_episode is None or watch.state.silenced_until is not None
            open_episode = episode
        else:
            assert episode == open_episode
        if kind == "ended":
            open_episode = None


@given(SERIES)
def test_to_ask_twice_owes_nothing_twice(series: str) -> None:
    watch = Watch().see(series)
    _, again = due_message("emq_critical", watch.state, watch.now, watch.notify)
    assert again is None


class TestDigest:
    batches = (DeadLetterBatch("meta_capi", "token expired", 37),)
    rules = NotificationRules(digest_minutes=60)

    def test_new_dead_letters_are_told_in_one_message(self) -> None:
        first = due_digest(self.batches, None, START, self.rules)
        assert first is not None
        assert first.kind == "digest"

    def test_no_new_ones_owe_nothing(self) -> None:
        assert due_digest((), None, START, self.rules) is None
        none = (DeadLetterBatch("meta_capi", "expired", 0),)
        assert due_digest(none, None, START, self.rules) is None

    def test_a_trickle_is_told_once_an_hour(self) -> None:
        soon, later = START + timedelta(minutes=59), START + timedelta(minutes=60)
        assert due_digest(self.batches, START, soon, self.rules) is None
        assert due_digest(self.batches, START, later, self.rules) is not None

    def test_the_same_dead_letters_have_the_same_key(self) -> None:
        one = due_digest(self.batches, START, START + timedelta(hours=1), self.rules)
        two = due_digest(self.batches, START, START + timedelta(hours=2), self.rules)
        assert one is not None
        assert two is not None
        assert one.dedupe_key == two.dedupe_key

    def test_a_clock_that_went_back_does_not_mute_them(self) -> None:
        assert due_digest(self.batches, START, START - timedelta(days=1), self.rules) is not None
