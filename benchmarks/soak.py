"""Drains a queue of mixed events with scripted faults to its end, and audits what came of it.

    python -m benchmarks.soak [--events N] [--seed S] [--destination D ...]

Drain follows drain over all destinations, or those that are named. Between two of them time passes
by SQL: what waits for a retry or a probe is due at once; only a ``Retry-After`` is really waited
for. When nothing waits any more, every event must be in the state that its script demands, and the
log of attempts and the sandbox must have counted the same requests for each. Prints a verdict; ends
with 1 on any disagreement.

No script makes a request time out: each would hang for the whole of the client's 20 seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import psycopg
from psycopg.types.json import Jsonb
from typing_extensions import LiteralString

from benchmarks.retry_stand import temporary_postgres
from benchmarks.soak_plan import Planned, plan
from benchmarks.soak_verdict import Ended, disagreements, received
from tracking_pipeline.delivery.destinations.registry import DESTINATIONS, REGISTRY, DestinationName
from tracking_pipeline.delivery.engine.destination import Destination, NotConfigured, Reply
from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import Throttled, Uniform
from tracking_pipeline.delivery.engine.retry import RetryRequest, retry_failed_events
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.store.migrate import migrate
from tracking_pipeline.wiring.destinations import Made, configured_destinations

# Far more than any soak has needed: one that does not end by itself is a finding, not a wait.
MOST_DRAINS = 500
_TIME_BUDGET_SECONDS = 3_600.0
_MOST_SHOWN = 20
# What the sandbox sees come too early may have begun before the answer that asks to wait was read:
# with 64 in flight on busy cores that takes a while. Whether it did, :class:`Heard` knows.
_CROSSED = "request_while_told_to_wait"

Connection = psycopg.Connection[tuple[Any, ...]]

_COPY: LiteralString = """
copy tracking_failed_events (
    event_id, event_name, event_payload, destination, error_message, max_retries) from stdin
"""
_PRESENT: LiteralString = """
insert into wm_event_log (event_id, event_name) select event_id, 'Lead' from unnest(%s::uuid[]) as
    present (event_id)
"""
# In an order of chance, or the same event would be the probe each time.
_LET_TIME_PASS: LiteralString = """
with due as (
    update tracking_failed_events set next_retry_at = now() - random() * interval '1 minute'
    where status = 'retrying'
)
update tracking_destination_state set probe_at = now() where state <> 'closed'
"""
_LONGEST_WAIT: LiteralString = """
select coalesce(extract(epoch from max(not_before) - now()), 0)::float8
from tracking_destination_state
"""
_WAITING: LiteralString = """
select count(*) from tracking_failed_events where status in ('pending', 'retrying')
"""
_ENDED: LiteralString = """
select f.event_id, f.status, f.dead_letter_reason, count(a.id), coalesce(sum(a.requests), 0),
    count(*) filter (where a.outcome = 'delivered'),
    (select count(*) from wm_event_log l where l.event_id = f.event_id)
from tracking_failed_events f
left join tracking_delivery_attempts a on a.failed_event_id = f.id
group by f.id
"""


@dataclass(frozen=True)
class Verdict:
    """What a soak came to. ``in_doubt`` counts acceptances that the sender was not told of,
    ``duplicates`` what the sandbox had to de-duplicate because of them. ``too_early`` counts the
    requests that began although the sender had been asked to wait, by destination."""

    events: int
    drains: int
    seconds: float
    kinds: dict[str, int]
    requests: int
    in_doubt: int
    duplicates: int
    violations: dict[str, int]
    too_early: dict[str, int]
    disagreements: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        broken = self.violations.keys() - {_CROSSED}
        return not (self.disagreements or self.too_early or broken)


class Heard:
    """What the sender was asked to wait for, by its own clock, and the requests that began all the
    same."""

    def __init__(self) -> None:
        self.too_early: Counter[str] = Counter()
        self._until: dict[str, float] = {}

    def listen(self, destination: Destination) -> None:
        """Notes when each request of the destination begins and what comes back."""
        name, send = destination.name, destination.send

        async def heard(batch: Sequence[Prepared], now: datetime) -> Reply:
            self.too_early[name] += time.monotonic() < self._until.get(name, 0.0)
            reply = await send(batch, now)
            outcome = reply.verdict.outcome if isinstance(reply.verdict, Uniform) else None
            if isinstance(outcome, Throttled):
                self._until[name] = time.monotonic() + outcome.wait_seconds
            return reply

        destination.send = heard


def soak(
    url: str, events: int, seed: int, destinations: Sequence[DestinationName] = DESTINATIONS
) -> Verdict:
    """One soak on the migrated and empty database at ``url``. Raises RuntimeError where the queue
    does not come to its end."""
    started = time.monotonic()
    with Sandbox() as sandbox, psycopg.connect(url, autocommit=True) as connection:
        now = connection.execute("select now()").fetchall()[0][0]
        planned = plan(events, seed, now, destinations)
        _fill(connection, planned)
        sandbox.scripts.update(
            {str(event.event_id): event.script for event in planned if event.script}
        )
        heard = Heard()
        drains = _drain_to_the_end(url, connection, sandbox, heard)
        ended = _ended(connection)
        log = received(sandbox.memory.requests)
        summary = sandbox.memory.summary()
    return Verdict(
        events=len(planned),
        drains=drains,
        seconds=time.monotonic() - started,
        kinds=dict(Counter(event.kind for event in planned)),
        requests=summary["requests"],
        in_doubt=sum(log.in_doubt.values()),
        duplicates=summary["duplicates"],
        violations=summary["violations"],
        too_early=dict(+heard.too_early),
        disagreements=tuple(disagreements(planned, ended, log)),
    )


def _fill(connection: Connection, planned: Sequence[Planned]) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for event in planned:
            copy.write_row(
                (
                    event.event_id,
                    "Lead",
                    Jsonb(event.payload),
                    event.destination,
                    "timeout",
                    event.max_retries,
                )
            )
    present = [event.event_id for event in planned if event.kind == "present"]
    connection.execute(_PRESENT, [present])
    connection.execute("vacuum analyze tracking_failed_events")


def _drain_to_the_end(url: str, connection: Connection, sandbox: Sandbox, heard: Heard) -> int:
    """Drains until nothing waits. Returns the number of drains that it took."""
    httpx.post(
        f"{sandbox.google_url}/_behaviour", json={"requests_per_minute": None}
    ).raise_for_status()
    settings = _settings(sandbox)

    def make(client: DeliveryClient, pool: AsyncPool) -> Sequence[Made]:
        made = configured_destinations(settings, client, pool)
        for each in made:
            if not isinstance(each, NotConfigured):
                heard.listen(each)
        return made

    request = RetryRequest(time_budget_seconds=_TIME_BUDGET_SECONDS)
    for drains in range(1, MOST_DRAINS + 1):
        asyncio.run(retry_failed_events(url, make, request))
        if not _number(connection, _WAITING):
            return drains
        connection.execute(_LET_TIME_PASS)
        time.sleep(max(_number(connection, _LONGEST_WAIT), 0.0))
    raise RuntimeError(
        f"{_number(connection, _WAITING):.0f} events still wait: {MOST_DRAINS} drains"
    )


def _settings(sandbox: Sandbox) -> Settings:
    """Every destination at its stand-in, as fast as answers come. Where the events of a lost answer
    would be given up, they go again: what is scripted for one must not end its neighbours."""
    values: dict[str, object] = {"reddit_resend_in_doubt": True}
    for spec in REGISTRY:
        if spec.stand_in:
            pace = spec.variable("requests_per_second").lower()
            address = {spec.url_setting: sandbox.address_of(spec.name)}
            values |= {**spec.rehearsal, **address, pace: None}
    return Settings.model_validate(values)


def _number(connection: Connection, statement: LiteralString) -> float:
    return float(connection.execute(statement).fetchall()[0][0])


def _ended(connection: Connection) -> dict[UUID, Ended]:
    return {event_id: Ended(*found) for event_id, *found in connection.execute(_ENDED).fetchall()}


def _show(verdict: Verdict, seed: int) -> None:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(verdict.kinds.items()))
    print(f"{verdict.events:,} events (seed {seed}): {kinds}")
    print(
        f"{verdict.drains} drains in {verdict.seconds:.0f} s, {verdict.requests:,} requests, "
        f"{verdict.in_doubt:,} acceptances in doubt, {verdict.duplicates:,} duplicates"
    )
    for line in verdict.disagreements[:_MOST_SHOWN]:
        print(f"  {line}")
    for kind, count in verdict.violations.items():
        print(f"  the sandbox counts {count} times: {kind}")
    for name, count in verdict.too_early.items():
        print(f"  {name} began {count} requests although it had been asked to wait")
    if verdict.agrees:
        print("every event is in the state its script demands, and both logs agree on each")
    else:
        print(f"DISAGREEMENT about {len(verdict.disagreements):,} points")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--destination", action="append", choices=DESTINATIONS)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with temporary_postgres() as postgres:
        url = postgres.ensure_database("soak")
        migrate(url)
        verdict = soak(url, options.events, options.seed, options.destination or DESTINATIONS)
    _show(verdict, options.seed)
    sys.exit(not verdict.agrees)


if __name__ == "__main__":
    main()
