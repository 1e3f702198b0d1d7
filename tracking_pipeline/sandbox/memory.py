"""What the sandbox remembers: every request, every accepted event, every broken promise.

Tests hold the delivery against it: nothing lost, nothing sent twice, nobody's e-mail in the clear.
Thread safe: tests ask while the server answers. What must survive when one process of a rehearsal
follows another stands in the journal.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson


class Journal:
    """An append-only NDJSON file: one JSON object a line, appended in one write each. It holds ids,
    event names, answers and scripts; no match keys and nothing else about a person.

    Failure policy, reading: a line that cannot be read is skipped and counted. A process that is
    killed while it writes leaves half a line, and a rehearsal that cannot start helps nobody.
    Failure policy, writing: an error is the caller's. A rehearsal that forgets in silence is worse.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file, and creates it and its folder when they are missing."""
        self.path = path
        self.skipped_lines = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        if not self._ends_with_newline():
            # Half a line of a killed process: end it, so that it does not spoil the next one.
            os.write(self._file, b"\n")

    def read(self) -> Iterator[dict[str, Any]]:
        """Every record of the file, oldest first."""
        with self.path.open("rb") as lines:
            for line in lines:
                try:
                    record = orjson.loads(line)
                except orjson.JSONDecodeError:
                    self.skipped_lines += bool(line.strip())
                    continue
                if isinstance(record, dict):
                    yield record

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends one record. Raises `OSError` when the file cannot be written."""
        os.write(self._file, orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        """Closes the file; the journal cannot be written afterwards."""
        os.close(self._file)

    def _ends_with_newline(self) -> bool:
        size = os.fstat(self._file).st_size
        return size == 0 or os.pread(self._file, 1, size - 1) == b"\n"


# Meta keeps only the first of several events with one name and one id within 48 hours.
# https://developers.facebook.com/docs/marketing-api/conversions-api/deduplicate-pixel-and-server-events
DEDUPLICATION_SECONDS = 48 * 3600

# A request that was on its way when the answer with Retry-After left did not break the promise.
IN_FLIGHT_GRACE_SECONDS = 0.05


@dataclass(frozen=True)
class ReceivedRequest:
    """One request: when (monotonic seconds), for whom, with which events, and the answer it got.

    `answer` is the HTTP status as text, or `timeout`, `reset`, `late_reset`; `reason` is why it was
    no success. `accepted` says whether the destination has the events now, whatever the client was
    told.
    """

    destination: str
    at: float
    event_ids: tuple[str, ...]
    answer: str
    accepted: bool
    reason: str | None = None
    test_event_code: str | None = None


@dataclass(frozen=True)
class BrokenPromise:
    """Something that the project promises never to do. `what` never holds the value itself."""

    kind: str
    what: str
    event_id: str | None = None


class Memory:
    """All that one sandbox received."""

    def __init__(self, journal: Journal | None = None, *, keep_events: bool = True) -> None:
        """With a `journal` the counts start from what it holds, and go on into it.

        Without `keep_events` only ids and counts are kept, for long benchmarks.
        """
        self._lock = threading.Lock()
        self._journal = journal
        self._keep_events = keep_events
        self._requests: list[ReceivedRequest] = []
        self._violations: list[BrokenPromise] = []
        self._answers: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        self._accepted: Counter[str] = Counter()
        self._events: dict[str, list[Any]] = {}
        self._first_kept_at: dict[tuple[str, str, str], float] = {}
        self._kept = 0
        self._wait_until: dict[str, tuple[float, float]] = {}

    # --- what stand-ins tell -------------------------------------------------------------------

    def remember(
        self,
        request: ReceivedRequest,
        events: Sequence[object],
        *,
        clock_seconds: float,
    ) -> None:
        """Remembers one request and the events it carried, in the order of its `event_ids`.

        `clock_seconds` is the stand-in's time of day (Unix seconds). Raises `OSError` when the
        journal cannot be written.
        """
        names = [_event_name(event) for event in events]
        with self._lock:
            self._requests.append(request)
            self._count(request, names, clock_seconds)
            if request.accepted and self._keep_events:
                for event_id, event in zip(request.event_ids, events, strict=True):
                    self._events.setdefault(event_id, []).append(event)
            if self._journal is not None:
                self._journal.write(
                    {
                        "record": "request",
                        "at": clock_seconds,
                        "destination": request.destination,
                        "answer": request.answer,
                        "accepted": request.accepted,
                        "events": list(zip(names, request.event_ids, strict=True)),
                    }
                )

    def restore(self, record: Mapping[str, Any]) -> None:
        """Takes over the counts of one request of an earlier process, as `remember` wrote it."""
        events = record["events"]
        request = ReceivedRequest(
            destination=record["destination"],
            at=time.monotonic(),
            event_ids=tuple(event_id for _, event_id in events),
            answer=record["answer"],
            accepted=record["accepted"],
        )
        with self._lock:
            self._count(request, [name for name, _ in events], record["at"])

    def violate(self, kind: str, what: str, event_id: str | None = None) -> None:
        """Remembers a broken promise."""
        with self._lock:
            self._violations.append(BrokenPromise(kind, what, event_id))

    def told_to_wait(self, destination: str, seconds: float) -> None:
        """Remembers that an answer asked the client to leave the destination alone for so long."""
        now = time.monotonic()
        with self._lock:
            self._wait_until[destination] = (now + IN_FLIGHT_GRACE_SECONDS, now + seconds)

    def check_waited(self, destination: str) -> None:
        """Remembers a violation when a request comes while the client was told to wait."""
        now = time.monotonic()
        with self._lock:
            since, until = self._wait_until.get(destination, (now, now))
            if since < now < until:
                early = f"{until - now:.1f} s before the time that Retry-After named"
                self._violations.append(BrokenPromise("request_while_told_to_wait", early))

    def close(self) -> None:
        """Closes the journal. What was remembered can still be asked for. May be called twice."""
        with self._lock:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    # --- what tests ask ------------------------------------------------------------------------

    @property
    def requests(self) -> list[ReceivedRequest]:
        """Every request of this process, oldest first."""
        with self._lock:
            return list(self._requests)

    @property
    def violations(self) -> list[BrokenPromise]:
        """Every broken promise of this process, oldest first. A clean run leaves none."""
        with self._lock:
            return list(self._violations)

    def accepted(self, event_id: str) -> int:
        """How often the event was accepted; more than once means duplicates were sent."""
        with self._lock:
            return self._accepted[event_id]

    def requests_with(self, event_id: str) -> int:
        """How many requests carried the event, whatever became of them."""
        with self._lock:
            return self._seen[event_id]

    def events(self, event_id: str) -> list[Any]:
        """The event as it was accepted, once for each time."""
        with self._lock:
            return list(self._events.get(event_id, ()))

    @property
    def accepted_events(self) -> list[Any]:
        """All events that this process accepted, as far as events are kept."""
        with self._lock:
            return [event for events in self._events.values() for event in events]

    @property
    def accepted_ids(self) -> set[str]:
        """The ids of all events that were accepted at least once."""
        with self._lock:
            return set(self._accepted)

    def summary(self) -> dict[str, Any]:
        """Counts. `accepted = kept + duplicates`; `kept` is what is left after de-duplication."""
        with self._lock:
            accepted = sum(self._accepted.values())
            return {
                "requests": sum(self._answers.values()),
                "answers": dict(self._answers),
                "accepted": accepted,
                "kept": self._kept,
                "duplicates": accepted - self._kept,
                "distinct_events": len(self._accepted),
                "violations": dict(Counter(violation.kind for violation in self._violations)),
            }

    def _count(self, request: ReceivedRequest, names: Sequence[str], clock_seconds: float) -> None:
        self._answers[request.answer] += 1
        self._seen.update(dict.fromkeys(request.event_ids, 1))
        if not request.accepted:
            return
        self._accepted.update(request.event_ids)
        for event_id, name in zip(request.event_ids, names, strict=True):
            key = (request.destination, name, event_id)
            first = self._first_kept_at.get(key)
            # An event without an id cannot be recognised again, so each one is kept.
            if event_id and first is not None and clock_seconds - first < DEDUPLICATION_SECONDS:
                continue
            self._first_kept_at[key] = clock_seconds
            self._kept += 1


def _event_name(event: object) -> str:
    name = event.get("event_name") if isinstance(event, dict) else None
    return name if isinstance(name, str) else ""
