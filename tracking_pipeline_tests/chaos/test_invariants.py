"""Each promise can be broken: an honest history passes the checker, no falsified one does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tracking_pipeline_tests.chaos.history import (
    Alert,
    AskedWait,
    Attempt,
    History,
    Owed,
    Planned,
    Rate,
    Replay,
    Request,
    Row,
    Standing,
    Version,
)
from tracking_pipeline_tests.chaos.invariants import INVARIANTS
from tracking_pipeline_tests.chaos.matrix import check

META, GTM = "meta_capi", "gtm_server"
PACE = 10
EVENTS = 60
LEASE = 60.0


def _one_by_one() -> tuple[list[Planned], list[Row], list[Version], list[Attempt], list[Request]]:
    """Events of server GTM, each claimed, sent and delivered on its own, at an even pace."""
    planned, rows, versions, attempts, requests = [], [], [], [], []
    for number in range(EVENTS):
        name, at = f"g{number}", 5_000 + number / PACE
        planned.append(Planned(name, f"e-{name}", GTM))
        rows.append(Row(name, f"e-{name}", GTM, "resolved", is_delivered=True))
        versions += [
            Version(0, name, GTM, "pending", 0),
            Version(at, name, GTM, "pending", 1, lease_expires_at=at + LEASE),
            Version(at + 0.2, name, GTM, "resolved", 2),
        ]
        attempts.append(Attempt(at + 0.2, name, f"e-{name}", "delivered", 1, 1))
        requests.append(Request(at + 0.1, GTM, (f"e-{name}",), "200", accepted=True))
    return planned, rows, versions, attempts, requests


def honest() -> History:
    """A scenario in which all went as promised.

    ``late`` met a 503 and waited, lost a worker, and was delivered. ``bad`` was refused together
    with ``mate``, alone, and again after a replay.
    """
    planned, rows, versions, attempts, requests = _one_by_one()
    planned += [Planned("late", "e-late", META), Planned("mate", "e-mate", META)]
    planned += [Planned("bad", "e-bad", META, refused=True)]
    rows += [
        Row("late", "e-late", META, "resolved", is_delivered=True, retry_count=1),
        Row("mate", "e-mate", META, "resolved", is_delivered=True),
        Row("bad", "e-bad", META, "dead_letter", replays=1),
    ]
    versions += [
        Version(0, "late", META, "pending", 0),
        Version(1, "late", META, "pending", 1, lease_expires_at=61),
        Version(2, "late", META, "retrying", 2, 1, next_retry_at=652),
        Version(700, "late", META, "retrying", 3, 1, next_retry_at=652, lease_expires_at=760),
        Version(900, "late", META, "retrying", 4, 1, next_retry_at=652, lease_expires_at=960),
        Version(902, "late", META, "resolved", 5, 1),
        Version(10, "mate", META, "pending", 1, lease_expires_at=70),
        Version(13, "mate", META, "resolved", 2),
        Version(10, "bad", META, "pending", 1, lease_expires_at=70),
        Version(13, "bad", META, "dead_letter", 2),
        Version(2_000, "bad", META, "pending", 2, next_retry_at=2_000),
        Version(2_001, "bad", META, "pending", 3, next_retry_at=2_000, lease_expires_at=2_061),
        Version(2_003, "bad", META, "dead_letter", 4),
    ]
    attempts += [
        Attempt(2, "late", "e-late", "retry", 1, 1),
        Attempt(902, "late", "e-late", "delivered", 1, 4),
        Attempt(13, "mate", "e-mate", "delivered", 2, 1),
        Attempt(13, "bad", "e-bad", "rejected", 2, 1),
        Attempt(2_003, "bad", "e-bad", "rejected", 1, 3),
    ]
    requests += [
        Request(1.5, META, ("e-late",), "503"),
        Request(11, META, ("e-mate", "e-bad"), "400"),
        Request(12, META, ("e-mate",), "200", accepted=True),
        Request(12.5, META, ("e-bad",), "400"),
        Request(901, META, ("e-late",), "200", accepted=True),
        Request(2_002, META, ("e-bad",), "400"),
    ]
    return History(
        planned=planned,
        rows=rows,
        versions=versions,
        standings=[
            Standing(0, META, "closed"),
            Standing(1_000, META, "open", not_before=None),
            Standing(1_500, META, "closed"),
        ],
        attempts=attempts,
        requests=requests,
        stale_settles=1,
        revived=1,
        asked_waits=[AskedWait(META, "503", 600)],
        request_events={META: 2, GTM: 1},
        paces={GTM: PACE},
        recovered_at=4_000,
        rates=[Rate("beside a dead one", 0.95, 1.1)],
        alerts=[Alert("destination_paused", is_over=True)],
        outbox=[
            Owed("1/started", "destination_paused", "started", "hook", "paused", is_sent=True),
            Owed("1/ended", "destination_paused", "ended", "hook", "flows again", is_sent=True),
        ],
        messages=["paused", "flows again"],
        replays=[Replay(1, 1, 0, 30)],
        texts=["500: try again"],
        secrets=["s3cret"],
    )


Falsify = Callable[[History], History]


def _row(name: str, **fields: Any) -> Falsify:
    def falsify(history: History) -> History:
        rows = [replace(each, **fields) if each.row == name else each for each in history.rows]
        return replace(history, rows=rows)

    return falsify


def _with(**more: Any) -> Falsify:
    """The history with these added to what it has."""
    return lambda history: replace(
        history, **{name: [*getattr(history, name), *added] for name, added in more.items()}
    )


def _without(name: str, index: int) -> Falsify:
    def falsify(history: History) -> History:
        kept = list(getattr(history, name))
        del kept[index]
        return replace(history, **{name: kept})

    return falsify


def _set(**fields: Any) -> Falsify:
    return lambda history: replace(history, **fields)


def _late_claim(at: float, lease: float = LEASE) -> Falsify:
    """Another claim of ``late`` in place of the one at 900 s."""

    def falsify(history: History) -> History:
        return replace(
            history,
            versions=[
                replace(each, at=at, lease_expires_at=at + lease)
                if (each.row, each.lease_token) == ("late", 4)
                else each
                for each in history.versions
            ],
        )

    return falsify


def _in_step(history: History) -> History:
    """Events that failed together and all wait for one moment."""
    waits = [
        Version(6_000, f"w{number}", GTM, "retrying", 2, 1, next_retry_at=6_600)
        for number in range(20)
    ]
    return replace(history, versions=[*history.versions, *waits])


LATE_AGAIN = Request(901, META, ("e-late",), "200", accepted=True)

FALSIFIED: list[tuple[str, str, Falsify]] = [
    ("I1", "a row that is gone", _without("rows", 5)),
    ("I1", "a row that still waits", _row("late", status="retrying", is_delivered=False)),
    ("I1", "a row that nobody put there", _with(rows=[Row("x", "e-x", META, "resolved")])),
    ("I1", "a queue that did not come to rest", _set(at_rest=False)),
    ("I2", "a delivery that the sink does not know", _without("requests", 5)),
    ("I3", "a delivery too many", _with(requests=[LATE_AGAIN])),
    (
        "I3",
        "an event under another id",
        _with(requests=[Request(901, META, ("e-Late",), "200", accepted=True)]),
    ),
    ("I4", "a try that the row does not count", _row("late", retry_count=0)),
    ("I4", "more tries than the row may have", _row("late", max_retries=0)),
    ("I4", "a request that no attempt tells of", _with(requests=[LATE_AGAIN])),
    ("I4", "a request that no sink received", _without("requests", -1)),
    (
        "I5",
        "a claim before its time",
        _with(versions=[Version(300, "late", META, "retrying", 9, lease_expires_at=360)]),
    ),
    (
        "I5",
        "a claim while the destination is paused",
        _with(versions=[Version(1_200, "new", META, "pending", 1, lease_expires_at=1_260)]),
    ),
    (
        "I5",
        "a claim while the destination was told to wait",
        _with(
            standings=[Standing(4_500, GTM, "closed", not_before=9_000)],
        ),
    ),
    ("I5", "a request without a lease", _with(requests=[Request(400, META, ("e-late",), "500")])),
    ("I5", "a request before Retry-After", _set(asked_waits=[AskedWait(META, "503", 1_200)])),
    ("I6", "a refused event that was tried again", _with(
        attempts=[Attempt(14, "bad", "e-bad", "retry", 1, 9)]
    )),
    ("I6", "a mate that died with it", _row("mate", status="dead_letter")),
    ("I6", "a mate that was sent too often", _with(
        requests=[Request(12, META, ("e-mate",), "400")] * 3
    )),
    ("I7", "a lease that was settled twice", _with(
        attempts=[Attempt(903, "late", "e-late", "delivered", 1, 4)]
    )),
    ("I7", "a settle with a lease that another one has", _with(
        attempts=[Attempt(901, "late", "e-late", "delivered", 1, 3)]
    )),
    ("I7", "a resolved row that changed", _with(
        versions=[Version(903, "late", META, "retrying", 6, 2, next_retry_at=2_200)]
    )),
    ("I7", "a stale settle that nobody counted", _set(stale_settles=0)),
    ("I8", "a lease that came back too late", _late_claim(1_200)),
    ("I8", "a lease that was taken away", _late_claim(750)),
    ("I8", "a row that stays leased", _row("late", is_leased=True)),
    ("I9", "a neighbour that is slow", _set(rates=[Rate("beside", 0.5, 1.0)])),
    ("I9", "a neighbour whose events wait", _set(rates=[Rate("beside", 0.9, 3.0)])),
    ("I10", "a second over the pace", _with(requests=[Request(5_002, GTM, ("e-g1",), "500")] * 2)),
    ("I10", "a peak", _with(requests=[Request(5_002, GTM, ("e-g1",), "500")] * 9)),
    ("I10", "waits without jitter", _in_step),
    ("I11", "a start that nobody was told", _without("outbox", 0)),
    ("I11", "an end that nobody was told", _without("outbox", 1)),
    ("I11", "a message that was not sent", _set(messages=["paused"])),
    ("I11", "a message that was sent twice", _set(messages=["paused", "paused", "flows again"])),
    ("I11", "an episode that is owed twice", _with(
        outbox=[Owed("1/ended", "destination_paused", "ended", "hook", "flows again", is_sent=True)]
    )),
    ("I12", "a forecast that did not come true", _set(replays=[Replay(2, 1, 0, 30)])),
    ("I12", "a second replay that did something", _set(replays=[Replay(1, 1, 1, 30)])),
    ("I12", "a replay faster than its rate", _with(versions=[
        Version(13, "worse", META, "dead_letter", 2),
        Version(2_000, "worse", META, "pending", 2, next_retry_at=2_000.5),
    ])),
    ("I13", "a secret in what was written", _with(texts=["failed with token=s3cret"])),
    ("I13", "raw personal data at the sink", _set(sink_violations=["raw_personal_data: em"])),
    ("I14", "a lease by another clock", _late_claim(900, lease=3_660)),
    ("I14", "a wait by another clock", _with(
        versions=[Version(903, "other", META, "retrying", 6, 1, next_retry_at=5_103)]
    )),
    ("I15", "a rate that a snapshot halves", _set(
        is_snapshot_held=True, rates=[Rate("under a snapshot", 0.4, 1.0)]
    )),
]  # fmt: skip


def test_an_honest_history_keeps_every_promise_it_speaks_of() -> None:
    verdicts = check(honest())
    assert {number: lines for number, lines in verdicts.items() if lines} == {}
    assert [number for number, lines in verdicts.items() if lines is None] == ["I15"]
    assert check(replace(honest(), is_snapshot_held=True))["I15"] == []


def test_every_promise_has_histories_that_break_it() -> None:
    assert {number for number, _, _ in FALSIFIED} == {each.number for each in INVARIANTS}
    assert [each.number for each in INVARIANTS] == [f"I{n}" for n in range(1, 16)]


@pytest.mark.parametrize(
    ("number", "falsify"),
    [(n, f) for n, _, f in FALSIFIED],
    ids=[f"{n} {w}" for n, w, _ in FALSIFIED],
)
def test_a_falsified_history_is_found_out(number: str, falsify: Falsify) -> None:
    assert check(falsify(honest()))[number]


def test_what_was_in_flight_may_come_twice_and_no_more() -> None:
    twice = replace(honest(), requests=[*honest().requests, LATE_AGAIN])
    assert check(replace(twice, doubtful_events=1))["I3"] == []
    thrice = replace(twice, requests=[*twice.requests, LATE_AGAIN])
    assert check(replace(thrice, doubtful_events=1))["I3"]


def test_an_empty_history_says_nothing_of_most_promises() -> None:
    applies = {number for number, lines in check(History((), ())).items() if lines is not None}
    assert applies == {"I1"}
