"""Up to when the ledger is final, given what runs and what of it a role may see."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.health.readings.rollup import HOLD_BACK, final_until, look_again
from tracking_pipeline.store.rollup_progress import Progress, RunningTransaction

NOON = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
ROLLED = Progress(rolled_until=NOON - 60 * MINUTE)


def _visible(minutes_ago: float, name: str = "1/1") -> RunningTransaction:
    return RunningTransaction(name, NOON - minutes_ago * MINUTE)


def _hidden(name: str) -> RunningTransaction:
    return RunningTransaction(name, None)


def test_with_nothing_running_all_but_the_last_seconds_are_final() -> None:
    assert final_until(NOON, [], ROLLED) == NOON - HOLD_BACK


def test_the_oldest_transaction_bounds_what_is_final() -> None:
    running = [_visible(1), _visible(30), _visible(2)]
    assert final_until(NOON, running, ROLLED) == NOON - 30 * MINUTE - HOLD_BACK


def test_a_hidden_transaction_that_came_since_the_last_look_began_after_it() -> None:
    seen = look_again(NOON - 15 * MINUTE, [_hidden("3/7")], ROLLED)
    assert final_until(NOON, [_hidden("3/8")], seen) == NOON - 15 * MINUTE - HOLD_BACK


def test_a_hidden_transaction_that_goes_on_holds_everything_up() -> None:
    seen = look_again(NOON - 15 * MINUTE, [_hidden("3/7")], ROLLED)
    until = final_until(NOON, [_hidden("3/7"), _hidden("4/1")], seen)
    assert until is not None
    assert until <= NOON - 60 * MINUTE


def test_of_a_hidden_transaction_at_the_first_look_nothing_is_known() -> None:
    assert final_until(NOON, [_hidden("3/7")], Progress()) is None


def test_a_look_is_kept_while_one_of_its_transactions_runs() -> None:
    first = look_again(NOON - 30 * MINUTE, [_hidden("3/7"), _hidden("4/1")], ROLLED)
    assert look_again(NOON, [_hidden("4/1"), _hidden("9/9")], first) is first

    later = look_again(NOON, [_hidden("9/9")], first)
    assert (later.seen_at, later.seen_transactions) == (NOON, frozenset({"9/9"}))


# A made-up server: transactions with a beginning and an end, in minutes, each hidden or not, and
# looks at it every few minutes.
TRANSACTIONS = st.lists(
    st.tuples(st.integers(0, 100), st.integers(1, 60), st.booleans()), max_size=8
)
LOOKS = st.lists(st.integers(1, 20), min_size=1, max_size=10)


@given(TRANSACTIONS, LOOKS)
def test_nothing_that_commits_later_is_ever_final(
    transactions: list[tuple[int, int, bool]], waits: list[int]
) -> None:
    progress = Progress(rolled_until=NOON - timedelta(days=1))
    minute = 0
    for wait in waits:
        minute += wait
        now = NOON + minute * MINUTE
        running = [
            RunningTransaction(str(number), None if hidden else NOON + begin * MINUTE)
            for number, (begin, length, hidden) in enumerate(transactions)
            if begin <= minute < begin + length
        ]
        until = final_until(now, running, progress)
        progress = look_again(now, running, progress)
        if until is None:
            continue
        for begin, length, _ in transactions:
            if begin <= minute < begin + length:
                assert until < NOON + begin * MINUTE
        progress = replace(progress, rolled_until=max(until, progress.rolled_until or until))
