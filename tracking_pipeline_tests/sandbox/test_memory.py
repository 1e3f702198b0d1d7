from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracking_pipeline.sandbox.memory import Memory, ReceivedRequest
from tracking_pipeline.sandbox.server import Sandbox

_HOUR = 3600.0


def _receive(memory: Memory, *event_ids: str, at: float = 0.0, accepted: bool = True) -> None:
    request = ReceivedRequest("meta_capi", 0.0, event_ids, "200", accepted)
    memory.remember(request, [{"event_name": "Lead"}] * len(event_ids), clock_seconds=at)


def test_an_event_that_comes_again_within_48_hours_is_accepted_and_not_kept() -> None:
    memory = Memory()
    _receive(memory, "a", "b", at=0)
    _receive(memory, "a", at=47 * _HOUR)
    assert memory.accepted("a") == 2
    summary = memory.summary()
    assert (summary["accepted"], summary["kept"], summary["duplicates"]) == (3, 2, 1)


def test_an_event_that_comes_again_after_48_hours_is_counted_twice() -> None:
    memory = Memory()
    _receive(memory, "a", at=0)
    _receive(memory, "a", at=47 * _HOUR)
    # 48 hours are counted from the first one, not from the last.
    _receive(memory, "a", at=49 * _HOUR)
    assert memory.summary()["kept"] == 2


def test_the_same_id_under_another_name_is_another_event() -> None:
    memory = Memory()
    request = ReceivedRequest("meta_capi", 0.0, ("a", "a"), "200", True)
    memory.remember(
        request, [{"event_name": "Lead"}, {"event_name": "Purchase"}], clock_seconds=0.0
    )
    assert memory.summary()["kept"] == 2


def test_events_without_an_id_are_all_kept() -> None:
    memory = Memory()
    _receive(memory, "", "")
    assert memory.summary()["kept"] == 2


def test_a_refused_event_is_seen_and_not_accepted() -> None:
    memory = Memory()
    _receive(memory, "a", accepted=False)
    assert (memory.requests_with("a"), memory.accepted("a")) == (1, 0)
    assert memory.accepted_ids == set()


def test_every_accepted_event_is_kept_whole_once_for_each_time(
    sandbox: Sandbox, send: Any, event: Callable[..., Any]
) -> None:
    first = event("a", custom_data={"value": 1})
    send(first)
    send(event("b"), first)
    assert sandbox.memory.events("a") == [first, first]
    assert sandbox.memory.requests_with("a") == 2
    assert sandbox.memory.accepted_ids == {"a", "b"}
    assert [request.event_ids for request in sandbox.memory.requests] == [("a",), ("b", "a")]
