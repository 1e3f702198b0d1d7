"""Whether what the database says of a soak agrees with its plan and with what the sandbox received.

Pure. A disagreement names the event by its id and says what was expected and found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from benchmarks.soak_plan import Planned
from tracking_pipeline.sandbox.memory import ReceivedRequest


@dataclass(frozen=True)
class Ended:
    """What the database says of one event: its row, and the log of its attempts summed up."""

    status: str
    reason: str | None
    attempts: int
    requests: int
    deliveries: int
    ledger_rows: int


@dataclass(frozen=True)
class Received:
    """What the sandbox says of its events, by the id they were sent under.

    ``in_doubt`` counts acceptances whose sender was never told: the connection broke, or the answer
    could not be read.
    """

    carried: Mapping[str, int]
    accepted: Mapping[str, int]
    in_doubt: Mapping[str, int]


def received(requests: Iterable[ReceivedRequest]) -> Received:
    carried: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    in_doubt: Counter[str] = Counter()
    for request in requests:
        carried.update(request.event_ids)
        if request.accepted:
            (accepted if request.reason is None else in_doubt).update(request.event_ids)
    return Received(carried, accepted, in_doubt)


def disagreements(
    planned: Sequence[Planned], ended: Mapping[UUID, Ended], sandbox: Received
) -> Iterator[str]:
    """Every event that is not in the state its script demands, or that log and sandbox count
    differently, one line each."""
    for event in planned:
        found = ended.get(event.event_id)
        if found is None:
            yield f"{_named(event)}: its row is gone"
            continue
        for what, expected, actual in _compared(event, found, sandbox):
            if expected != actual:
                yield f"{_named(event)}: {what}: expected {expected}, found {actual}"


def _compared(
    event: Planned, found: Ended, sandbox: Received
) -> Iterator[tuple[str, object, object]]:
    resolved = int(event.status == "resolved")
    yield "status", event.status, found.status
    begins = found.reason or ""
    if event.reason and begins.startswith(event.reason):
        begins = event.reason
    yield "reason", event.reason or "", begins
    yield "deliveries in the log", resolved, found.deliveries
    if event.destination == "supabase":
        yield "rows in the ledger", resolved, found.ledger_rows
        return
    sent_as = str(event.event_id)
    yield "requests in the log and at the sandbox", sandbox.carried.get(sent_as, 0), found.requests
    yield "acceptances that the sender was told of", resolved, sandbox.accepted.get(sent_as, 0)


def _named(event: Planned) -> str:
    return f"{event.destination} {event.kind} {event.event_id}"
