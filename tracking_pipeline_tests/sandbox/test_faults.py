from __future__ import annotations

import pytest

from tracking_pipeline.sandbox.stage import Conditions, RandomFaults
from tracking_pipeline.sandbox.steps import StepError

_IDS = [f"event-{number}" for number in range(2000)]


def _drawn(faults: RandomFaults, event_ids: list[str], sight: int = 0) -> str | None:
    step = faults.draw(event_ids, lambda _: sight)
    return None if step is None else step.label


def test_the_same_seed_draws_the_same_faults_and_another_seed_others() -> None:
    def drawn(seed: int) -> list[str | None]:
        faults = RandomFaults(seed, share_transient=0.2, share_timeout=0.1, share_reset=0.1)
        return [_drawn(faults, [event_id], sight) for event_id in _IDS[:50] for sight in range(3)]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_faults_are_drawn_in_the_shares_that_were_asked_for() -> None:
    faults = RandomFaults(7, share_transient=0.2, share_timeout=0.1, share_throttled=0.05)
    labels = [_drawn(faults, [event_id]) for event_id in _IDS]
    for label, share in (("503", 0.2), ("timeout", 0.1), ("429", 0.05), (None, 0.65)):
        assert labels.count(label) / len(labels) == pytest.approx(share, abs=0.03)


def test_a_large_request_fails_no_more_often_than_a_small_one() -> None:
    faults = RandomFaults(7, share_transient=0.1)
    labels = [_drawn(faults, [event_id, *_IDS[:500]]) for event_id in _IDS[500:900]]
    assert labels.count("503") / len(labels) == pytest.approx(0.1, abs=0.05)


def test_an_event_that_is_refused_by_lot_is_refused_at_every_sight_and_in_every_batch() -> None:
    faults = RandomFaults(7, share_rejected=0.05)
    refused = [event_id for event_id in _IDS if _drawn(faults, [event_id]) == "400"]
    assert len(refused) / len(_IDS) == pytest.approx(0.05, abs=0.02)
    good = [event_id for event_id in _IDS if event_id not in refused][:100]
    assert _drawn(faults, [*good, refused[0]]) == "400"
    assert _drawn(faults, [refused[0]], sight=9) == "400"
    assert _drawn(faults, good) is None


def test_an_event_that_failed_gets_a_new_lot_at_its_next_sight() -> None:
    faults = RandomFaults(7, share_transient=0.5)
    labels = {_drawn(faults, ["event-1"], sight) for sight in range(20)}
    assert labels == {"503", None}


def test_an_outage_lasts_until_it_is_taken_away() -> None:
    conditions = Conditions()
    conditions.outage("timeout")
    assert [step.kind for step in (conditions.take(), conditions.take()) if step] == ["timeout"] * 2
    conditions.outage(None)
    assert conditions.take() is None


def test_a_throttle_counts_its_requests_down() -> None:
    conditions = Conditions()
    conditions.throttle(2, retry_after="30")
    steps = [conditions.take() for _ in range(3)]
    assert [step and (step.status, step.retry_after) for step in steps] == [(429, "30")] * 2 + [
        None
    ]


def test_a_good_answer_is_no_outage() -> None:
    with pytest.raises(StepError):
        Conditions().outage(200)
