from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from uuid import UUID

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline.delivery.engine.bisection import Tried, deliver_batch
from tracking_pipeline.delivery.engine.destination import Reply
from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Fault,
    Outcome,
    Paused,
    PerEvent,
    Refused,
    Retry,
    Suspected,
    Throttled,
    Uniform,
    Verdict,
    reject,
)
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline_tests.delivery.claimed import claimed

REJECTED = reject("refused by the other side", Failure.META_EVENT_INVALID)
FAULT = Fault("why", Failure.META_UNAVAILABLE)


class Remote:
    """The other side: refuses a request with a culprit in it as a whole, and remembers all.

    ``names`` is whether it says which are the culprits. ``instead`` gives another verdict for the
    request of this number, counted from 1.
    """

    def __init__(
        self,
        culprits: Collection[int],
        *,
        names: bool = False,
        instead: dict[int, Verdict] | None = None,
    ) -> None:
        self.culprits = frozenset(culprits)
        self.accepted: Counter[int] = Counter()
        self.requests: list[tuple[int, ...]] = []
        self._names = names
        self._instead = instead or {}

    async def send(self, batch: Sequence[Prepared]) -> Reply:
        members = tuple(int(prepared.body) for prepared in batch)
        self.requests.append(members)
        return Reply(self._instead.get(len(self.requests)) or self._judge(members), duration_ms=5)

    def _judge(self, members: tuple[int, ...]) -> Verdict:
        named = {i: REJECTED for i, member in enumerate(members) if member in self.culprits}
        if named:
            return Refused(REJECTED, named if self._names else {})
        self.accepted.update(members)
        return Uniform(Delivered(200))


def batch_of(size: int) -> list[Prepared]:
    event = claimed({})
    return [Prepared(event, str(number).encode()) for number in range(size)]


def deliver(
    remote: Remote, size: int, may_send: Callable[[Sequence[Prepared]], bool] = lambda batch: True
) -> list[Tried]:
    batch = batch_of(size)

    async def ask(asked: Sequence[Prepared]) -> bool:
        return may_send(asked)

    tried = anyio.run(deliver_batch, batch, remote.send, ask)
    assert [each.prepared for each in tried] == batch
    return tried


def outcomes(tried: Iterable[Tried]) -> list[Outcome | None]:
    return [each.outcome for each in tried]


def test_an_empty_batch_is_not_sent() -> None:
    remote = Remote(())

    assert deliver(remote, 0) == []
    assert remote.requests == []


def test_a_good_batch_is_one_request() -> None:
    remote = Remote(())

    tried = deliver(remote, 1_000)

    assert outcomes(tried) == [Delivered(200)] * 1_000
    assert len(remote.requests) == 1
    assert {each.requests for each in tried} == {1}
    assert len({each.request_id for each in tried}) == 1
    assert {each.duration_ms for each in tried} == {5}


@settings(deadline=None, database=None)
@given(st.data(), st.integers(1, 70))
def test_exactly_the_culprits_are_rejected_and_all_others_accepted_once(
    data: st.DataObject, size: int
) -> None:
    remote = Remote(data.draw(st.sets(st.integers(0, size - 1))), names=data.draw(st.booleans()))

    tried = deliver(remote, size)

    for number, outcome in enumerate(outcomes(tried)):
        assert outcome == (REJECTED if number in remote.culprits else Delivered(200))
        assert remote.accepted[number] == (number not in remote.culprits)
    searches = 3 * (math.ceil(math.log2(size)) + 1)
    assert len(remote.requests) <= 2 * size + searches


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16, 100, 1_000])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.5, 0.999])
def test_one_poison_event_costs_its_batch_about_log2_requests_more(size: int, place: float) -> None:
    poison = int(place * size)
    remote = Remote({poison})

    tried = deliver(remote, size)

    assert tried[poison].outcome == REJECTED
    assert sum(remote.accepted.values()) == size - 1
    assert len(remote.requests) - 1 <= math.ceil(math.log2(size)) + 3


def test_a_dead_letter_stands_on_an_answer_of_its_own() -> None:
    remote = Remote({3, 11, 12})

    deliver(remote, 40)

    for culprit in remote.culprits:
        assert (culprit,) in remote.requests


def test_a_batch_of_nothing_but_poison_costs_two_requests_an_event_at_most() -> None:
    remote = Remote(range(1_000))

    tried = deliver(remote, 1_000)

    assert set(outcomes(tried)) == {REJECTED}
    assert len(remote.requests) <= 2_000 + 40


def test_an_answer_that_names_the_culprits_costs_one_request_more() -> None:
    remote = Remote({3, 700, 999}, names=True)

    tried = deliver(remote, 1_000)

    assert [n for n, each in enumerate(tried) if each.outcome == REJECTED] == [3, 700, 999]
    assert len(remote.requests) == 2
    assert sum(remote.accepted.values()) == 997


def test_an_answer_that_names_everybody_is_the_last() -> None:
    remote = Remote(range(9), names=True)

    assert set(outcomes(deliver(remote, 9))) == {REJECTED}
    assert len(remote.requests) == 1


def test_each_event_that_an_answer_names_has_the_outcome_that_is_its_own() -> None:
    there, other = (
        Delivered(409, duplicate="event"),
        reject("for another reason", Failure.META_EVENT_INVALID),
    )
    named = {0: there, 2: REJECTED, 3: other, 5: there}
    remote = Remote((), instead={1: Refused(REJECTED, named)})

    tried = deliver(remote, 8)

    assert {place: tried[place].outcome for place in named} == named
    assert remote.requests[1:] == [(1, 4, 6, 7)]
    assert sum(remote.accepted.values()) == 4


def test_a_single_event_that_is_named_as_there_already_is_no_dead_letter() -> None:
    there = Delivered(409, duplicate="event")

    assert outcomes(deliver(Remote((), instead={1: Refused(REJECTED, {0: there})}), 1)) == [there]


@pytest.mark.parametrize("places", [{99}, {-1}, {8, 10**9}])
def test_an_answer_that_names_positions_outside_the_request_is_searched(places: set[int]) -> None:
    remote = Remote({5}, instead={1: Refused(REJECTED, dict.fromkeys(places, REJECTED))})

    tried = deliver(remote, 8)

    assert [n for n, each in enumerate(tried) if each.outcome == REJECTED] == [5]
    assert sum(remote.accepted.values()) == 7


@pytest.mark.parametrize("outcome", [Retry(FAULT, 30.0), Throttled(FAULT, 9.0), Paused(FAULT)])
def test_the_destinations_own_trouble_is_not_bisected(outcome: Outcome) -> None:
    remote = Remote((), instead={1: Uniform(outcome)})

    tried = deliver(remote, 50)

    assert outcomes(tried) == [outcome] * 50
    assert len(remote.requests) == 1


class Suspicious(Remote):
    """Answers a request with a culprit in it as if it were a fault of the call."""

    def _judge(self, members: tuple[int, ...]) -> Verdict:
        if self.culprits & set(members):
            return Suspected(Paused(FAULT, certain=False))
        return super()._judge(members)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1_000])
@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_one_event_that_draws_a_fault_of_the_call_spends_a_retry_of_its_own(
    size: int, place: float
) -> None:
    culprit = int(place * size)
    remote = Suspicious({culprit})

    tried = deliver(remote, size)

    assert tried[culprit].outcome == Retry(FAULT)
    assert sum(remote.accepted.values()) == size - 1
    assert len(remote.requests) <= 2 * math.ceil(math.log2(size)) + 1


@settings(deadline=None, database=None)
@given(st.integers(2, 60))
def test_a_fault_of_the_call_that_all_draw_costs_three_requests_and_no_event(size: int) -> None:
    remote = Suspicious(range(size))

    tried = deliver(remote, size)

    assert {type(outcome) for outcome in outcomes(tried)} == {Paused}
    assert len(remote.requests) == 3


@settings(deadline=None, database=None)
@given(st.sets(st.integers(0, 39), min_size=1))
def test_of_several_that_draw_it_none_pays_unless_all_others_were_accepted(
    culprits: set[int],
) -> None:
    remote = Suspicious(culprits)

    for member, outcome in enumerate(outcomes(deliver(remote, 40))):
        if outcome == Retry(FAULT):
            assert culprits == {member}
        else:
            assert remote.accepted[member] == isinstance(outcome, Delivered)


@settings(deadline=None, database=None)
@given(st.sets(st.integers(0, 39), min_size=1), st.integers(2, 25))
def test_a_retry_in_the_middle_costs_only_those_it_carried(culprits: set[int], number: int) -> None:
    outcome = Retry(FAULT)
    remote = Remote(culprits, instead={number: Uniform(outcome)})

    tried = deliver(remote, 40)

    carried = set(remote.requests[number - 1]) if len(remote.requests) >= number else set()
    for member, each in enumerate(tried):
        if each.outcome == outcome:
            assert member in carried
            assert not remote.accepted[member]
        else:
            assert each.outcome == (REJECTED if member in culprits else Delivered(200))
            assert remote.accepted[member] == (member not in culprits)


@settings(deadline=None, database=None)
@given(
    st.sets(st.integers(0, 39), min_size=1),
    st.integers(1, 25),
    st.sampled_from((Throttled(FAULT, 9.0), Paused(FAULT))),
)
def test_after_a_throttle_or_a_pause_nothing_more_is_sent(
    culprits: set[int], number: int, outcome: Outcome
) -> None:
    remote = Remote(culprits, instead={number: Uniform(outcome)})

    tried = deliver(remote, 40)

    assert len(remote.requests) <= number
    for member, each in enumerate(tried):
        if remote.accepted[member]:
            assert each.outcome == Delivered(200)
        else:
            assert each.outcome in (outcome, REJECTED)
            assert each.outcome == outcome or member in culprits


@settings(deadline=None, database=None)
@given(st.sets(st.integers(0, 39), min_size=1), st.integers(0, 25))
def test_what_may_no_longer_be_sent_keeps_no_outcome(culprits: set[int], allowed: int) -> None:
    remote = Remote(culprits)

    tried = deliver(remote, 40, lambda batch: len(remote.requests) < allowed)

    assert len(remote.requests) <= allowed
    for member, each in enumerate(tried):
        if remote.accepted[member]:
            assert each.outcome == Delivered(200)
        elif each.outcome is not None:
            assert each.outcome == REJECTED
            assert (member,) in remote.requests
    # The answers so far are kept: nothing that was accepted is sent again later.
    assert sum(each.outcome == Delivered(200) for each in tried) == sum(remote.accepted.values())


def test_an_answer_for_each_event_is_taken_as_it_is() -> None:
    given: list[Outcome] = [Delivered(200), REJECTED, Retry(FAULT)]
    remote = Remote((), instead={1: PerEvent(given)})

    assert outcomes(deliver(remote, 3)) == given
    assert len(remote.requests) == 1


def test_each_event_knows_how_many_requests_carried_it_and_the_last_one() -> None:
    remote = Remote({0})

    tried = deliver(remote, 4)

    for member, each in enumerate(tried):
        assert each.requests == sum(member in request for request in remote.requests)
    assert isinstance(tried[0].request_id, UUID)
    assert tried[0].request_id != tried[3].request_id


class Upset(Remote):
    """Answers a request with a culprit in it as if it were in trouble itself."""

    retry_after: float | None = None

    def _judge(self, members: tuple[int, ...]) -> Verdict:
        if self.culprits & set(members):
            return Uniform(Retry(FAULT, self.retry_after))
        return super()._judge(members)


def deliver_at_last_try(
    remote: Remote,
    size: int,
    *,
    worn: Collection[int] | None = None,
    may_send: Callable[[], bool] = lambda: True,
) -> list[Tried]:
    """``worn`` are those at their last try; None: all."""

    def is_last_try(prepared: Prepared, retry: Retry) -> bool:
        return worn is None or int(prepared.body) in worn

    async def ask(asked: Sequence[Prepared]) -> bool:
        return may_send()

    async def run() -> list[Tried]:
        return await deliver_batch(batch_of(size), remote.send, ask, is_last_try=is_last_try)

    return anyio.run(run)


def halvings(size: int) -> int:
    return math.ceil(math.log2(size)) if size > 1 else 0


@settings(deadline=None, database=None)
@given(st.data(), st.integers(1, 70))
def test_whoever_upsets_the_other_side_pays_alone_or_all_of_them_one_try(
    data: st.DataObject, size: int
) -> None:
    remote = Upset(data.draw(st.sets(st.integers(0, size - 1))))

    tried = deliver_at_last_try(remote, size)

    for member, each in enumerate(tried):
        if not remote.accepted:
            assert each.outcome == Retry(FAULT)
        elif member in remote.culprits:
            assert each.outcome == Retry(FAULT)
            assert (member,) in remote.requests
        else:
            assert each.outcome == Delivered(200)
            assert remote.accepted[member] == 1
    if not remote.accepted:
        assert len(remote.requests) <= 1 + 2 * halvings(size)
    assert len(remote.requests) <= 2 * size


@settings(deadline=None, database=None)
@given(st.data(), st.integers(2, 1_000))
def test_as_many_as_there_are_halvings_are_always_found(data: st.DataObject, size: int) -> None:
    most = int(math.log2(size))
    culprits = data.draw(st.sets(st.integers(0, size - 1), max_size=most))
    remote = Upset(culprits)

    tried = deliver_at_last_try(remote, size)

    assert sum(remote.accepted.values()) == size - len(culprits)
    assert {n for n, each in enumerate(tried) if each.outcome == Retry(FAULT)} == culprits
    assert len(remote.requests) <= 1 + 2 * halvings(size) * max(1, len(culprits))


@pytest.mark.parametrize("size", [1, 2, 3, 6, 100, 1_000, 2_000])
def test_an_outage_is_asked_two_requests_a_halving_and_costs_each_one_try(size: int) -> None:
    remote = Upset(range(size))

    tried = deliver_at_last_try(remote, size)

    assert outcomes(tried) == [Retry(FAULT)] * size
    assert len(remote.requests) <= 1 + 2 * halvings(size)


def test_one_at_its_last_try_is_enough_and_none_is_none() -> None:
    remote, other = Upset({3}), Upset({3})

    tried = deliver_at_last_try(remote, 6, worn={5})

    assert [n for n, each in enumerate(tried) if each.outcome != Delivered(200)] == [3]
    assert outcomes(deliver_at_last_try(other, 6, worn=())) == [Retry(FAULT)] * 6
    assert len(other.requests) == 1


def test_a_destination_that_names_its_time_is_not_asked_before() -> None:
    remote = Upset({3})
    remote.retry_after = 30.0

    assert outcomes(deliver_at_last_try(remote, 6)) == [Retry(FAULT, 30.0)] * 6
    assert len(remote.requests) == 1


@settings(deadline=None, database=None)
@given(st.sets(st.integers(0, 39), min_size=1), st.integers(1, 40))
def test_an_interrupted_search_costs_nobody_a_try_who_did_not_stand_alone(
    culprits: set[int], allowed: int
) -> None:
    remote = Upset(culprits)

    tried = deliver_at_last_try(remote, 40, may_send=lambda: len(remote.requests) < allowed)

    assert len(remote.requests) <= allowed
    for member, each in enumerate(tried):
        if remote.accepted[member]:
            assert each.outcome == Delivered(200)
        elif remote.accepted:
            assert each.outcome in (None, Retry(FAULT))
            assert each.outcome is None or (member,) in remote.requests
        else:
            assert each.outcome == Retry(FAULT)


@settings(deadline=None, database=None)
@given(
    st.sets(st.integers(0, 39), min_size=1),
    st.integers(2, 25),
    st.sampled_from((Throttled(FAULT, 9.0), Paused(FAULT))),
)
def test_a_throttle_or_a_pause_ends_the_search_and_spends_nothing(
    culprits: set[int], number: int, outcome: Outcome
) -> None:
    remote = Upset(culprits, instead={number: Uniform(outcome)})

    tried = deliver_at_last_try(remote, 40)

    if len(remote.requests) < number:
        return
    assert len(remote.requests) == number
    for member, each in enumerate(tried):
        if remote.accepted[member]:
            assert each.outcome == Delivered(200)
        elif each.outcome == Retry(FAULT):
            assert (member,) in remote.requests
        else:
            assert each.outcome == outcome


@settings(deadline=None, database=None)
@given(st.data(), st.integers(2, 40))
def test_a_refused_event_among_those_that_upset_is_rejected_all_the_same(
    data: st.DataObject, size: int
) -> None:
    upsetting, bad = data.draw(
        st.lists(st.integers(0, size - 1), min_size=2, max_size=2, unique=True)
    )

    class Both(Upset):
        def _judge(self, members: tuple[int, ...]) -> Verdict:
            if upsetting not in members and bad in members:
                return Refused(REJECTED)
            return super()._judge(members)

    remote = Both({upsetting})
    tried = deliver_at_last_try(remote, size)

    assert tried[upsetting].outcome == Retry(FAULT)
    if remote.accepted:
        assert tried[bad].outcome == REJECTED
        assert sum(remote.accepted.values()) == size - 2
